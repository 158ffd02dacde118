//! Against a server that sends a video as it is told, over a real socket.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::api::desktop::Desktop;
use crate::api::fs::Transfer;
use crate::{ErrorKind, SandboxAgent};

const MIB: usize = 1024 * 1024;
const HEALTHY: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
/// Between two looks at a folder.
const POLL: Duration = Duration::from_millis(10);

/// The desktop of a server that sends `head` and `first`, and `rest` once it is told to.
async fn desktop(head: String, first: Vec<u8>, rest: Vec<u8>) -> (Desktop, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, told) = oneshot::channel();
    tokio::spawn(async move {
        let asked = async || {
            let (mut socket, _) = listener.accept().await.unwrap();
            assert_ne!(socket.read(&mut [0; 4096]).await.unwrap(), 0);
            socket
        };
        asked().await.write_all(HEALTHY.as_bytes()).await.unwrap();
        let mut socket = asked().await;
        socket.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
        socket.write_all(&first).await.unwrap();
        if told.await.is_ok() {
            // Whoever has enough hangs up.
            let _ = socket.write_all(&rest).await;
        }
    });
    (SandboxAgent::connect(url).await.unwrap().desktop(), go_on)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// The sizes of the files in a folder, by name.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let size = |entry: &fs::DirEntry| entry.metadata().map_or(0, |metadata| metadata.len());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), size(&entry))).collect()
}

#[tokio::test]
async fn what_has_come_is_on_the_disk_while_the_rest_is_awaited() {
    let video = content(16 * MIB);
    let head = format!("content-length: {}", video.len());
    let (desktop, go_on) = desktop(head, video[..12 * MIB].to_vec(), video[12 * MIB..].to_vec()).await;
    let folder = tempdir().unwrap();
    let to = folder.path().join("video.mp4");
    let carrying = tokio::spawn({
        let to = to.clone();
        async move { desktop.download_recording_file("rec_1", to, Transfer::new()).await }
    });
    // What isn't there yet is in memory.
    let most_in_memory = 4 * MIB as u64;
    let carried = async {
        while files(folder.path()).iter().all(|(_, size)| *size < 12 * MIB as u64 - most_in_memory) {
            sleep(POLL).await;
        }
    };
    timeout(Duration::from_secs(20), carried).await.unwrap();
    assert!(!to.exists(), "a part of it is not in its place");
    go_on.send(()).unwrap();
    let done = carrying.await.unwrap().unwrap();
    assert_eq!((done.bytes, done.sha256.len()), (16 * MIB as u64, 64));
    assert!(fs::read(&to).unwrap() == video);
    assert_eq!(files(folder.path()).len(), 1, "nothing else is left");
}

#[tokio::test]
async fn what_breaks_off_leaves_what_was_there() {
    let (desktop, go_on) = desktop(format!("content-length: {MIB}"), content(1000), Vec::new()).await;
    let folder = tempdir().unwrap();
    let to = folder.path().join("video.mp4");
    fs::write(&to, "before").unwrap();
    drop(go_on);
    let error = desktop.download_recording_file("rec_1", &to, Transfer::new()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unreachable);
    assert_eq!(fs::read(&to).unwrap(), b"before");
    assert_eq!(files(folder.path()).len(), 1, "nothing else is left");
}

#[tokio::test]
async fn a_video_without_a_length_ends_at_the_bound() {
    let chunk = [b"10000\r\n".to_vec(), content(0x10000), b"\r\n".to_vec()].concat();
    let (desktop, _go_on) = desktop("transfer-encoding: chunked".into(), chunk.repeat(3), Vec::new()).await;
    let folder = tempdir().unwrap();
    let to = folder.path().join("video.mp4");
    let transfer = Transfer::new().most_bytes(0x20000);
    let error = desktop.download_recording_file("rec_1", &to, transfer).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 0x20000 });
    assert_eq!(files(folder.path()), []);
}

#[tokio::test]
async fn a_length_above_the_bound_is_refused_before_anything_is_written() {
    let (desktop, _go_on) = desktop(format!("content-length: {MIB}"), Vec::new(), Vec::new()).await;
    let nowhere = Path::new("/no/such/folder/video.mp4");
    let transfer = Transfer::new().most_bytes(MIB as u64 - 1);
    let error = desktop.download_recording_file("rec_1", nowhere, transfer).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: MIB - 1 });
}
