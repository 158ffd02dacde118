//! Files and folders over what the server takes at once, both ways.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use sandbox_agent_sdk::api::fs::{Fs, Transfer};
use sandbox_agent_sdk::{ErrorKind, Limits, SandboxAgent};
use sandbox_agent_testkit::proxy::Proxy;
use tempfile::tempdir;

use super::connected;
use crate::server;

const MIB: usize = 1024 * 1024;

/// Bytes of which no part is like another.
pub(super) fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A transfer's scratch folders are deleted in the background where it failed.
pub(super) async fn only(folder: &Path, expected: &[&str]) {
    for _ in 0..1000 {
        if names(folder) == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(names(folder), expected);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_file_of_any_size_goes_and_comes_back() {
    let (_server, sdk) = connected().await;
    let (fs, folder) = (sdk.fs(), tempdir().unwrap());
    for length in [0, 1, MIB, MIB + 1, 9 * MIB, 9 * MIB + 12_345] {
        let remote = folder.path().join(format!("a name with 'quotes' {length}"));
        let sent = content(length);
        let up = fs.upload(&sent[..], text(&remote), Transfer::new()).await.unwrap();
        assert_eq!(std::fs::read(&remote).unwrap(), sent, "{length}");
        let mut got = Vec::new();
        let down = fs.download(text(&remote), &mut got, Transfer::new()).await.unwrap();
        assert_eq!(got, sent);
        assert_eq!((&up, up.bytes), (&down, length as u64));
        assert_eq!(up.sha256.len(), 64);
    }
    assert_eq!(names(folder.path()).len(), 6, "nothing else is left");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_local_file_keeps_its_permissions_and_replaces_at_once() {
    let (_server, sdk) = connected().await;
    let (fs, folder) = (sdk.fs(), tempdir().unwrap());
    let (local, remote) = (folder.path().join("local"), folder.path().join("remote"));
    std::fs::write(&local, content(3 * MIB)).unwrap();
    std::fs::set_permissions(&local, std::fs::Permissions::from_mode(0o751)).unwrap();
    std::fs::write(&remote, "before").unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    let transfer = Transfer::new().progress(move |progress| seen.lock().unwrap().push(progress.to_string()));
    fs.upload_file(&local, text(&remote), transfer).await.unwrap();
    assert_eq!(std::fs::read(&remote).unwrap(), content(3 * MIB));
    assert_eq!(std::fs::metadata(&remote).unwrap().permissions().mode() & 0o777, 0o751);
    let expected: Vec<_> = (1..=3).map(|n| format!("{} of {} bytes", n * MIB, 3 * MIB)).collect();
    assert_eq!(*steps.lock().unwrap(), expected);

    let back = folder.path().join("back");
    std::fs::write(&back, "before").unwrap();
    fs.download_file(text(&remote), &back, Transfer::new()).await.unwrap();
    assert_eq!(std::fs::read(&back).unwrap(), content(3 * MIB));
    only(folder.path(), &["back", "local", "remote"]).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_fails_leaves_what_was_there_and_nothing_else() {
    let (_server, sdk) = connected().await;
    let (fs, folder) = (sdk.fs(), tempdir().unwrap());
    let remote = folder.path().join("remote");
    std::fs::write(&remote, "before").unwrap();
    let transfer = || Transfer::new().most_bytes(2 * MIB as u64);
    let error = fs.upload(&content(3 * MIB)[..], text(&remote), transfer()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 2 * MIB });
    assert_eq!(std::fs::read(&remote).unwrap(), b"before");
    only(folder.path(), &["remote"]).await;

    std::fs::write(&remote, content(3 * MIB)).unwrap();
    let error = fs.download_file(text(&remote), folder.path().join("local"), transfer()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 2 * MIB });
    only(folder.path(), &["remote"]).await;
    let error = fs.upload(&b"x"[..], text(folder.path()), Transfer::new()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput);
    let error = fs.upload_file(folder.path().join("none"), text(&remote), Transfer::new()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Io);
    let error = fs.download(text(folder.path()), &mut Vec::new(), Transfer::new()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_cut_costs_a_part_and_no_more() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    // It is the time that the server is away that ends a transfer, and not how often a call is tried.
    let limits = Limits::default().tries(1);
    let sdk = SandboxAgent::builder(proxy.url()).limits(limits).connect().await.unwrap();
    let (fs, folder) = (sdk.fs(), tempdir().unwrap());
    let remote = folder.path().join("remote");
    let proxy = Arc::new(proxy);
    let cutting = |proxy: &Arc<Proxy>| {
        let proxy = proxy.clone();
        // Whatever is on its way then is cut.
        Transfer::new().progress(move |_| {
            let proxy = proxy.clone();
            tokio::spawn(async move {
                proxy.wait_for_connections(proxy.connections() + 1).await;
                proxy.cut_all();
            });
        })
    };
    let sent = content(8 * MIB + 1);
    fs.upload(&sent[..], text(&remote), cutting(&proxy)).await.unwrap();
    assert_eq!(std::fs::read(&remote).unwrap(), sent);
    let mut got = Vec::new();
    fs.download(text(&remote), &mut got, cutting(&proxy)).await.unwrap();
    assert_eq!(got, sent);
}

/// A folder with all that may be carried; `large` is over what the server unpacks by itself.
fn folder(at: &Path, large: usize) {
    fs::create_dir_all(at.join("a/empty")).unwrap();
    fs::write(at.join("a/run"), "#!").unwrap();
    fs::set_permissions(at.join("a/run"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("../a/run", at.join("a/link")).unwrap();
    fs::write(at.join("large ä"), content(large)).unwrap();
}

fn assert_same(one: &Path, other: &Path) {
    let same = Command::new("diff").arg("-r").arg("--no-dereference").args([one, other]).output().unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    assert_eq!(fs::metadata(other.join("a/run")).unwrap().permissions().mode() & 0o777, 0o750);
}

async fn there_and_back(fs: &Fs, at: &Path, large: usize) {
    let (local, remote, back) = (at.join("local"), at.join("remote"), at.join("back"));
    folder(&local, large);
    let up = fs.upload_dir(&local, text(&remote), Transfer::new()).await.unwrap();
    assert!(up.bytes > large as u64);
    assert_same(&local, &remote);
    fs.download_dir(text(&remote), &back, Transfer::new()).await.unwrap();
    assert_same(&local, &back);
    let error = fs.upload_dir(&local, text(&remote), Transfer::new()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput);
    let error = fs.download_dir(text(&remote), &back, Transfer::new()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput);
    only(at, &["back", "local", "remote"]).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_small_folder_goes_and_comes_back() {
    let (_server, sdk) = connected().await;
    there_and_back(&sdk.fs(), tempdir().unwrap().path(), 1000).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_large_folder_goes_and_comes_back() {
    let (_server, sdk) = connected().await;
    there_and_back(&sdk.fs(), tempdir().unwrap().path(), 5 * MIB).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_folder_with_a_way_out_is_refused_by_name() {
    let (_server, sdk) = connected().await;
    let (fs, at) = (sdk.fs(), tempdir().unwrap());
    let (bad, to) = (at.path().join("bad"), at.path().join("to"));
    std::fs::create_dir(&bad).unwrap();
    let unsafe_path = |path: &str| ErrorKind::UnsafePath { path: path.into() };
    symlink("/etc", bad.join("out")).unwrap();
    let down = fs.download_dir(text(&bad), &to, Transfer::new()).await.unwrap_err();
    assert_eq!(*down.kind(), unsafe_path("out"));
    let up = fs.upload_dir(&bad, text(&to), Transfer::new()).await.unwrap_err();
    assert_eq!(*up.kind(), unsafe_path("out"));
    std::fs::remove_file(bad.join("out")).unwrap();
    assert!(Command::new("mkfifo").arg(bad.join("pipe")).status().unwrap().success());
    let down = fs.download_dir(text(&bad), &to, Transfer::new()).await.unwrap_err();
    assert_eq!(*down.kind(), unsafe_path("pipe"));
    let up = fs.upload_dir(&bad, text(&to), Transfer::new()).await.unwrap_err();
    assert_eq!(*up.kind(), unsafe_path("pipe"));
    std::fs::remove_file(bad.join("pipe")).unwrap();
    std::fs::write(bad.join("one"), "1").unwrap();
    let few = fs.download_dir(text(&bad), &to, Transfer::new().most_entries(1)).await.unwrap_err();
    assert_eq!(*few.kind(), ErrorKind::TooLarge { limit: 1 });
    only(at.path(), &["bad"]).await;
}
