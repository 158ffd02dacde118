//! What must hold of any archive that a sandbox makes.
#![allow(clippy::expect_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::{Bounds, unpack};
use crate::error::ErrorKind;

const BOUNDS: Bounds = Bounds { bytes: 4096, entries: 16 };

/// Lines, each an entry of an archive: its kind, its path, and behind a NUL where it leads or what is in it.
///
/// # Panics
/// When anything is outside of the folder afterwards, or leads out of it, or a refused archive left something.
pub fn archives(bytes: &[u8]) {
    let outer = std::env::temp_dir().join(format!("archives-{}", uuid::Uuid::new_v4().simple()));
    let tree = outer.join("middle/tree");
    fs::create_dir_all(&tree).expect("the folder can be made");
    let archive = outer.join("archive");
    write(bytes, &archive);
    let outcome = unpack(&archive, &tree, BOUNDS);
    let refused = outcome.is_err_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::UnsafePath { .. } | ErrorKind::TooLarge { .. } | ErrorKind::Protocol
        )
    });
    assert_eq!(names(&outer), ["archive", "middle"].map(PathBuf::from));
    assert_eq!(names(&outer.join("middle")), ["tree"].map(PathBuf::from));
    assert!(!refused || names(&tree).is_empty(), "a refused archive left {:?}", names(&tree));
    let root = tree.canonicalize().expect("the folder is there");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for name in names(&folder) {
            let path = folder.join(name);
            let kind = path.symlink_metadata().expect("it was listed").file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                // One that leads to nothing, or around, leads nowhere.
                let leads_to = path.canonicalize().unwrap_or_else(|_| root.clone());
                assert!(leads_to.starts_with(&root), "{path:?} leads to {leads_to:?}");
            } else {
                assert!(kind.is_file(), "{path:?} is a {kind:?}");
            }
        }
    }
    fs::remove_dir_all(&outer).expect("the folder can be removed");
}

fn write(bytes: &[u8], to: &Path) {
    let mut builder = Builder::new(File::create(to).expect("the archive can be made"));
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| line.len() > 1).take(64) {
        let (head, content) = match line.iter().position(|byte| *byte == 0) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let Some((kind, path)) = head.split_first() else { continue };
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(*kind));
        let fields = header.as_old_mut();
        let length = path.len().min(fields.name.len());
        fields.name[..length].copy_from_slice(&path[..length]);
        let length = content.len().min(fields.linkname.len());
        fields.linkname[..length].copy_from_slice(&content[..length]);
        let data = if header.entry_type().is_file() { content } else { &[] };
        // What is in a folder has to be looked at.
        header.set_mode(0o755);
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).expect("an entry can be written");
    }
    builder.finish().expect("the archive can be written");
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry can be read").file_name().into())
        .collect();
    names.sort();
    names
}
