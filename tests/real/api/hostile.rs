//! Archives of a sandbox that would get at this machine.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sandbox_agent_sdk::api::fs::Transfer;
use sandbox_agent_sdk::{Delivery, ErrorKind};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tar::{Builder, EntryType, Header};
use tempfile::tempdir;

use crate::builder;

/// Packs what lies beside it, whatever it is told to pack.
const TAR: &str = "#!/bin/sh\nwhile [ \"$1\" != -f ]; do shift; done\nexec cp \"${0%/*}/archive\" \"$2\"\n";

/// A server whose `tar` lies.
async fn server(programs: &Path) -> RealServer {
    fs::create_dir(programs).unwrap();
    fs::write(programs.join("tar"), TAR).unwrap();
    fs::set_permissions(programs.join("tar"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    RealServer::start(RealServerOptions::new().env("PATH", path)).await.unwrap()
}

/// An archive of a file and of this: a kind, a path, and where it leads or what is in it.
fn archive(to: &Path, (kind, path, content): (EntryType, &str, &str)) {
    let mut builder = Builder::new(File::create(to).unwrap());
    for (kind, path, content) in [(EntryType::Regular, "first", "harmless"), (kind, path, content)] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
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
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_leads_out_of_an_archive_is_refused_by_name_and_nothing_is_written() {
    use EntryType::*;
    let at = tempdir().unwrap();
    let programs = at.path().join("programs");
    let server = server(&programs).await;
    let sdk = builder(&server).connect().await.unwrap();
    let (remote, to) = (at.path().join("remote"), at.path().join("to"));
    fs::create_dir(&remote).unwrap();
    let absolute = at.path().join("absolute");
    for entry in [
        (Regular, "../x", "x"),
        (Regular, "in/../../x", "x"),
        (Regular, absolute.to_str().unwrap(), "x"),
        (Directory, "../x", ""),
        (Symlink, "link", "../x"),
        (Symlink, "link", "/etc/passwd"),
        (Symlink, "link", "in/../../x"),
        (Link, "link", "../x"),
        (Link, "link", "/etc/passwd"),
        (Char, "device", ""),
        (Block, "device", ""),
        (Fifo, "pipe", ""),
    ] {
        archive(&programs.join("archive"), entry);
        let down = sdk.fs().download_dir(remote.to_str().unwrap(), &to, Transfer::new()).await;
        let error = down.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::UnsafePath { path: entry.1.into() }, "{entry:?}");
        assert!(error.to_string().contains(entry.1), "{error}");
        let mut left: Vec<_> =
            fs::read_dir(at.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["programs", "remote"], "{entry:?}");
        // The same archive, from here.
        let tar = fs::read(programs.join("archive")).unwrap();
        let up = sdk.fs().upload_batch(to.to_str().unwrap(), tar).await;
        let error = up.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::UnsafePath { path: entry.1.into() }, "{entry:?}");
        assert_eq!(error.delivery(), Some(Delivery::NotSent));
        assert!(!to.exists() && !absolute.exists(), "{entry:?}");
    }
    // The same way brings what is harmless.
    archive(&programs.join("archive"), (Symlink, "link", "first"));
    sdk.fs().download_dir(remote.to_str().unwrap(), &to, Transfer::new()).await.unwrap();
    assert_eq!(fs::read(to.join("link")).unwrap(), b"harmless");
}
