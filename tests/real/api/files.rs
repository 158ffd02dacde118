//! Files in the sandbox, which here is this machine.

use std::os::unix::fs::symlink;

use futures::TryStreamExt;
use sandbox_agent_sdk::ErrorKind;
use sandbox_agent_sdk::api::fs::{FsEntry, FsEntryType, FsMoveRequest};
use tempfile::tempdir;

use super::{code, connected};

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_file_from_its_writing_to_its_deletion() {
    let (_server, sdk) = connected().await;
    let fs = sdk.fs();
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let content = &b"\xff\x00 bytes"[..];
    let written = fs.write(&path("new/a.bin"), content).await.unwrap();
    assert_eq!((written.path, written.bytes_written), (path("new/a.bin"), 8));
    assert_eq!(fs.read(&path("new/a.bin")).await.unwrap(), content);
    let stat = fs.stat(&path("new/a.bin")).await.unwrap();
    assert_eq!((stat.entry_type, stat.size), (FsEntryType::File, 8));
    assert!(stat.modified.is_some());
    assert_eq!(fs.stat(&path("new")).await.unwrap().entry_type, FsEntryType::Directory);

    fs.mkdir(&path("other/deep")).await.unwrap();
    fs.mkdir(&path("other/deep")).await.unwrap();
    let moved = fs.move_entry(&FsMoveRequest::new(path("new/a.bin"), path("other/b.bin"))).await.unwrap();
    assert_eq!((moved.from, moved.to), (path("new/a.bin"), path("other/b.bin")));
    fs.write(&path("c.bin"), "c").await.unwrap();
    let onto = FsMoveRequest::new(path("c.bin"), path("other/b.bin"));
    assert_eq!(code(&fs.move_entry(&onto).await.unwrap_err()), "invalid_request");
    fs.move_entry(&onto.overwrite(true)).await.unwrap();
    assert_eq!(fs.read(&path("other/b.bin")).await.unwrap(), "c");

    assert_eq!(code(&fs.delete(&path("other"), false).await.unwrap_err()), "stream_error");
    fs.delete(&path("other"), true).await.unwrap();
    let error = fs.stat(&path("other")).await.unwrap_err();
    assert!(error.to_string().contains("not found") && error.to_string().contains("other"), "{error}");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_write_is_as_large_as_the_server_takes_and_no_larger() {
    let (_server, sdk) = connected().await;
    let folder = tempdir().unwrap();
    let path = folder.path().join("large").to_str().unwrap().to_owned();
    let most = 2 * 1024 * 1024;
    sdk.fs().write(&path, vec![1; most]).await.unwrap();
    assert_eq!(sdk.fs().read(&path).await.unwrap().len(), most);
    let error = sdk.fs().write(&path, vec![1; most + 1]).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: most });
    assert!(error.to_string().contains("large"), "{error}");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_walk_goes_as_deep_as_it_is_told_and_follows_no_link() {
    let (_server, sdk) = connected().await;
    let folder = tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
    std::fs::write(folder.path().join("a/b/f"), "f").unwrap();
    std::fs::write(folder.path().join("z"), "z").unwrap();
    symlink(folder.path(), folder.path().join("a/loop")).unwrap();
    let root = folder.path().to_str().unwrap();
    let walked = async |depth| {
        let entries: Vec<FsEntry> = sdk.fs().walk(root, depth).try_collect().await.unwrap();
        entries.iter().map(|entry| entry.path[root.len() + 1..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(walked(0).await, [""; 0]);
    assert_eq!(walked(1).await, ["a", "z"]);
    assert_eq!(walked(2).await, ["a", "z", "a/b", "a/loop"]);
    assert_eq!(walked(9).await, ["a", "z", "a/b", "a/loop", "a/b/c", "a/b/f"]);
    let mut names: Vec<_> =
        sdk.fs().entries(root).await.unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    assert_eq!(names, ["a", "z"]);
    assert_eq!(code(&sdk.fs().walk("/nowhere", 2).try_next().await.unwrap_err()), "invalid_request");
}
