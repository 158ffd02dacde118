//! A file of 200 MB and folders of 2,000 files, both ways, over connections that break.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Instant;

use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::fs::Transfer;
use sandbox_agent_testkit::proxy::Proxy;
use tempfile::tempdir;

use super::cuts::Cuts;
use super::seeded::{Seeded, sha256};
use crate::{child, server};

const BYTES: usize = 200 * 1000 * 1000;
const MOST_KIB: u64 = 32_000_000 / 1024;
const FILES: usize = 2_000;
const FOLDERS: usize = 40;
const URL: &str = "TEST_LARGE_URL";
const FOLDER: &str = "TEST_LARGE_FOLDER";

/// So many KiB of memory this process has, or had at most.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The child of the test below; alone it has nothing to do.
#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_process_that_carries_a_file() {
    let (Some(url), Some(folder)) = (child::variable(URL), child::variable(FOLDER)) else { return };
    let folder = Path::new(&folder);
    let sdk = SandboxAgent::connect(url).await.unwrap();
    let (fs, remote) = (sdk.fs(), folder.join("remote"));
    // A higher one from before counts against it.
    let before = memory("VmRSS");
    let started = Instant::now();
    let up = fs.upload_file(folder.join("local"), remote.to_str().unwrap(), Transfer::new()).await.unwrap();
    let (there, at_most_up) = (started.elapsed(), memory("VmHWM") - before);
    let started = Instant::now();
    let down =
        fs.download_file(remote.to_str().unwrap(), folder.join("back"), Transfer::new()).await.unwrap();
    assert_eq!(up, down);
    let at_most = memory("VmHWM") - before;
    eprintln!("up in {there:?}, {at_most_up} KiB; down in {:?}, {at_most} KiB", started.elapsed());
    println!("memory grew by {at_most} KiB, SHA-256 {}", up.sha256);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_file_of_200_mb_goes_and_comes_back_over_cuts_in_32_mb_of_memory() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let folder = tempdir().unwrap();
    let sent = Seeded(200).file(&folder.path().join("local"), BYTES);
    let cuts = Cuts::through(&proxy);
    let variables = [(URL, proxy.url()), (FOLDER, folder.path().to_str().unwrap())];
    let child = child::command("api::large::the_process_that_carries_a_file", &variables);
    let output = tokio::process::Command::from(child).kill_on_drop(true).output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let (_, said) = printed.split_once("memory grew by ").unwrap_or_else(|| {
        panic!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    });
    let (kib, said) = said.split_once(' ').unwrap();
    eprintln!("{}memory grew by {kib} KiB", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&sent), "{said}");
    for name in ["remote", "back"] {
        assert_eq!(sha256(&folder.path().join(name)), sent, "{name}");
    }
    assert!(kib.parse::<u64>().unwrap() < MOST_KIB, "{kib} KiB");
    cuts.assert_all_of(&[
        "PUT /v1/fs/file",
        "GET /v1/fs/file",
        "GET /v1/fs/stat",
        "POST /v1/fs/mkdir",
        "POST /v1/processes/run",
        "DELETE /v1/fs/entry",
    ]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
}

/// Files of all sizes below one, with all kinds of names and permissions, in folders that have such, too.
fn many(at: &Path, seed: u64, below: usize) {
    let mut seeded = Seeded(seed);
    let mut folders = vec![at.to_owned()];
    fs::create_dir(at).unwrap();
    for number in 1..FOLDERS {
        let folder = folders[seeded.below(folders.len())].join(format!("folder {number} ä"));
        fs::create_dir(&folder).unwrap();
        folders.push(folder);
    }
    for number in 0..FILES {
        let name = match number % 500 {
            0 => format!("{number}{}", "n".repeat(200)),
            1 => format!("-{number} 'quoted' \"twice\" \\ $HOME *"),
            2 => format!(".{number}\nline"),
            _ => format!("{number}.txt"),
        };
        let file = folders[seeded.below(folders.len())].join(name);
        let size = seeded.below(below);
        fs::write(&file, seeded.bytes(size)).unwrap();
        set_mode(&file, [0o644, 0o600, 0o664, 0o755, 0o777, 0o400][seeded.below(6)]);
    }
    let empty = at.join("nothing may be put here");
    fs::create_dir(&empty).unwrap();
    set_mode(&empty, 0o555);
    symlink("folder 1 ä", at.join("link")).unwrap();
    for folder in &folders[1..] {
        set_mode(folder, [0o755, 0o700, 0o775, 0o711][seeded.below(4)]);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// All that is in a folder: paths, permissions, and contents or where a link leads.
fn all_of(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let mut content = Vec::new();
            if metadata.is_dir() {
                folders.push(path.clone());
            } else if metadata.is_symlink() {
                content = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
            } else {
                content = fs::read(&path).unwrap();
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            all.insert(name, (metadata.permissions().mode(), content));
        }
    }
    all
}

/// Takes a folder there and back, while connections are cut; the bytes of its archive.
async fn there_and_back(seed: u64, below: usize, kinds: &[&str]) -> u64 {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let at = tempdir().unwrap();
    let (local, remote, back) = (at.path().join("local"), at.path().join("remote"), at.path().join("back"));
    many(&local, seed, below);
    let sent = all_of(&local);
    assert_eq!(sent.len(), FILES + FOLDERS - 1 + 2);
    let cuts = Cuts::through(&proxy);
    let started = Instant::now();
    let up = sdk.fs().upload_dir(&local, remote.to_str().unwrap(), Transfer::new()).await.unwrap();
    let there = started.elapsed();
    sdk.fs().download_dir(remote.to_str().unwrap(), &back, Transfer::new()).await.unwrap();
    eprintln!("{FILES} files in {} bytes: up in {there:?}, both in {:?}", up.bytes, started.elapsed());
    for folder in [&remote, &back] {
        let came = all_of(folder);
        assert!(came.keys().eq(sent.keys()), "{folder:?} has {} of {}", came.len(), sent.len());
        for (name, entry) in &sent {
            assert!(came[name] == *entry, "{name:?} in {folder:?}: {:o} of {:o}", came[name].0, entry.0);
        }
    }
    cuts.assert_all_of(kinds);
    let mut left: Vec<_> = fs::read_dir(at.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["back", "local", "remote"]);
    up.bytes
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_folder_of_2000_files_goes_and_comes_back_over_cuts() {
    let kinds = ["PUT /v1/fs/file", "GET /v1/fs/file", "POST /v1/processes/run", "POST /v1/fs/move"];
    let bytes = there_and_back(2000, 20_000, &kinds).await;
    assert!(bytes > 10_000_000, "{bytes}: in parts");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_folder_of_2000_small_files_goes_and_comes_back_over_cuts() {
    let kinds = ["POST /v1/fs/upload-batch", "GET /v1/fs/file", "POST /v1/fs/move", "DELETE /v1/fs/entry"];
    let bytes = there_and_back(2001, 300, &kinds).await;
    assert!(bytes <= 2 * 1024 * 1024, "{bytes}: all at once");
}
