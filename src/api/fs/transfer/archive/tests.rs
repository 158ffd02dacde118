//! Archives that a sandbox might make to get at this machine.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::{TempDir, tempdir};

use super::*;

const BOUNDS: Bounds = Bounds { bytes: 1000, entries: 20 };

/// An archive with these entries: a kind, a path, and where it leads or what is in it.
fn archive(entries: &[(EntryType, &str, &str)]) -> TempDir {
    let folder = tempdir().unwrap();
    let mut builder = Builder::new(File::create(folder.path().join("a.tar")).unwrap());
    for (kind, path, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        // As bytes: the builder itself refuses what is to be refused here.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        let data = if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            ""
        } else {
            content
        };
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.finish().unwrap();
    folder
}

fn unpacked(entries: &[(EntryType, &str, &str)]) -> (TempDir, Result<()>) {
    let from = archive(entries);
    let to = tempdir().unwrap();
    let outcome = unpack(&from.path().join("a.tar"), to.path(), BOUNDS);
    (to, outcome)
}

#[test]
fn what_leads_out_is_refused_by_name_and_leaves_nothing() {
    use EntryType::*;
    for (kind, path, content) in [
        (Regular, "../out", "x"),
        (Regular, "/out", "x"),
        (Regular, "a/../../out", "x"),
        (Directory, "..", ""),
        (Symlink, "link", "/etc/passwd"),
        (Symlink, "link", "../out"),
        (Symlink, "link", "ok/../../out"),
        (Link, "link", "/etc/passwd"),
        (Link, "link", "../out"),
        (Char, "null", ""),
        (Block, "disk", ""),
        (Fifo, "pipe", ""),
    ] {
        let (to, outcome) = unpacked(&[(Regular, "ok", "ok"), (kind, path, content)]);
        let error = outcome.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::UnsafePath { path: path.into() });
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0, "{path}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    use EntryType::*;
    let (_to, outcome) = unpacked(&[(Directory, "d", ""), (Symlink, "l", "d"), (Regular, "l/file", "x")]);
    assert_eq!(*outcome.unwrap_err().kind(), ErrorKind::UnsafePath { path: "l/file".into() });
    // A link that takes the place of a folder that has something in it.
    let (to, outcome) = unpacked(&[(Regular, "d/file", "x"), (Symlink, "d", "e"), (Regular, "e", "y")]);
    assert_eq!(*outcome.unwrap_err().kind(), ErrorKind::Io);
    assert!(to.path().join("d").is_dir());
}

#[test]
fn a_link_gets_no_second_name() {
    use EntryType::*;
    // From where it is, the link leads into the folder; from the second name's place, out of it.
    let (to, outcome) = unpacked(&[(Regular, "x", ""), (Symlink, "a/b/l", "../../x"), (Link, "m", "a/b/l")]);
    assert_eq!(*outcome.unwrap_err().kind(), ErrorKind::UnsafePath { path: "m".into() });
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
}

#[test]
fn the_bounds_hold_for_what_is_unpacked() {
    let (_to, outcome) = unpacked(&[(EntryType::Regular, "large", &"x".repeat(1001))]);
    let error = outcome.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 1000 });
    assert!(error.to_string().contains("large"), "{error}");
    let names: Vec<_> = (0..21).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (EntryType::Directory, name.as_str(), "")).collect();
    assert_eq!(*unpacked(&many).1.unwrap_err().kind(), ErrorKind::TooLarge { limit: 20 });
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let from = tempdir().unwrap();
    fs::create_dir_all(from.path().join("a/empty")).unwrap();
    fs::write(from.path().join("a/run"), "#!").unwrap();
    fs::set_permissions(from.path().join("a/run"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(from.path().join("a/empty"), fs::Permissions::from_mode(0o550)).unwrap();
    fs::set_permissions(from.path().join("a"), fs::Permissions::from_mode(0o2710)).unwrap();
    symlink("../a/run", from.path().join("a/link")).unwrap();
    let long = "n".repeat(180);
    fs::write(from.path().join(&long), "long").unwrap();

    let to = tempdir().unwrap();
    let archive = to.path().join("a.tar");
    pack(from.path(), &File::create(&archive).unwrap(), BOUNDS).unwrap();
    let tree = to.path().join("tree");
    unpack(&archive, &tree, BOUNDS).unwrap();
    for (path, mode) in [("a", 0o710), ("a/empty", 0o550), ("a/run", 0o750)] {
        assert_eq!(fs::metadata(tree.join(path)).unwrap().permissions().mode() & 0o7777, mode, "{path}");
    }
    assert_eq!(fs::read_link(tree.join("a/link")).unwrap(), Path::new("../a/run"));
    assert_eq!(fs::read(tree.join(long)).unwrap(), b"long");
}

#[test]
fn hard_links_stay_links_and_no_file_runs_as_somebody_else() {
    use EntryType::*;
    let (to, outcome) = unpacked(&[(Regular, "one", "x"), (Link, "two", "one")]);
    outcome.unwrap();
    assert_eq!(fs::read(to.path().join("two")).unwrap(), b"x");
    assert_eq!(fs::metadata(to.path().join("one")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn an_archive_of_all_that_may_be_in_one_is_passed() {
    use EntryType::*;
    let from = archive(&[
        (XGlobalHeader, "pax_global_header", "12 comment=x\n"),
        (Directory, "a", ""),
        (Regular, "a/file", "x"),
        (Symlink, "a/link", "file"),
        (Link, "second", "a/file"),
    ]);
    super::super::look_at(&fs::read(from.path().join("a.tar")).unwrap()).unwrap();
    let error = super::super::look_at(&[7; 512]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput, "no archive at all");
}

#[test]
fn a_local_folder_with_a_way_out_is_not_packed() {
    let from = tempdir().unwrap();
    symlink("/etc", from.path().join("out")).unwrap();
    let archive = tempfile::tempfile().unwrap();
    let error = pack(from.path(), &archive, BOUNDS).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::UnsafePath { path: "out".into() });
}

/// An archive with something of this kind and length before its only file, as a long name is.
fn with_head(kind: EntryType, length: usize) -> TempDir {
    let folder = archive(&[]);
    let mut builder = Builder::new(File::create(folder.path().join("a.tar")).unwrap());
    let mut append = |kind, name: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    };
    append(EntryType::Regular, "before", &[7; 700]);
    append(kind, "head", &vec![b'n'; length]);
    append(EntryType::Regular, "file", b"x");
    builder.finish().unwrap();
    folder
}

#[test]
fn a_head_that_would_fill_the_memory_is_not_read() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let from = with_head(kind, 2 * 1024 * 1024);
        let to = tempdir().unwrap();
        let error = unpack(&from.path().join("a.tar"), to.path(), BOUNDS).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 1024 * 1024 }, "{kind:?}");
        assert!(error.to_string().contains("1048576 bytes"), "{kind:?}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }
    let from = with_head(EntryType::GNULongLink, 64 * 1024);
    unpack(&from.path().join("a.tar"), tempdir().unwrap().path(), BOUNDS).unwrap();
}

#[test]
fn what_is_in_a_file_is_no_head() {
    let from = tempdir().unwrap();
    let (content, archive) = (vec![7; 3 * 1024 * 1024 + 1], from.path().join("a.tar"));
    let mut builder = Builder::new(File::create(&archive).unwrap());
    for name in ["one", "two"] {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    builder.finish().unwrap();
    let to = tempdir().unwrap();
    unpack(&archive, to.path(), Bounds { bytes: 7 * 1024 * 1024, entries: 2 }).unwrap();
    assert!(fs::read(to.path().join("two")).unwrap() == content);
}
