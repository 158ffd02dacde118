//! Transfers when nobody knows whether a step was done: its answer is lost, it comes late, somebody else answers.

use std::fs;
use std::path::Path;

use sandbox_agent_sdk::api::fs::Transfer;
use sandbox_agent_sdk::{ErrorKind, Limits, SandboxAgent};
use sandbox_agent_testkit::real::RealServer;
use tempfile::tempdir;

use super::front::{Act, Front};
use super::transfer::{content, only};
use crate::server;

/// The request line and the content have it.
fn is(request: &str, line: &str, content: &str) -> bool {
    request.starts_with(line) && request.contains(content)
}

/// Numbers the requests of a kind, from 1.
fn count(number: &mut u32, counts: bool) -> u32 {
    *number += u32::from(counts);
    if counts { *number } else { 0 }
}

async fn through(decide: impl FnMut(&str) -> Act + Send + 'static) -> (RealServer, SandboxAgent) {
    let server = server().await;
    let front = Front::start(server.address(), decide).await;
    // What is not told apart by a count of tries is not to be.
    let sdk = SandboxAgent::builder(front.url()).limits(Limits::default().tries(1)).connect().await.unwrap();
    (server, sdk)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn local(at: &Path) -> std::path::PathBuf {
    let local = at.join("local");
    fs::create_dir(&local).unwrap();
    fs::write(local.join("file"), "content").unwrap();
    local
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_page_that_is_not_the_servers_does_not_move_a_folder() {
    let mut moves = 0;
    let (_server, sdk) = through(move |request| {
        // The move gets nowhere, and then nothing is found there, says somebody who doesn't know.
        let moving = count(&mut moves, request.starts_with("POST /v1/fs/move"));
        match moves {
            1.. if is(request, "GET /v1/fs/stat", "tree.1") => Act::Keep(404),
            _ if moving == 1 => Act::Keep(502),
            _ => Act::Pass,
        }
    })
    .await;
    let at = tempdir().unwrap();
    let to = at.path().join("to");
    let error = sdk.fs().upload_dir(local(at.path()), text(&to), Transfer::new()).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 404);
    only(at.path(), &["local"]).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_folder_that_is_moved_late_is_in_its_place() {
    let mut moves = 0;
    let (_server, sdk) =
        through(move |request| match count(&mut moves, request.starts_with("POST /v1/fs/move")) {
            1 => Act::Keep(502),
            // The first one is done just before it, so that this one is refused.
            2 => Act::PassBehindKept,
            _ => Act::Pass,
        })
        .await;
    let at = tempdir().unwrap();
    let to = at.path().join("to");
    sdk.fs().upload_dir(local(at.path()), text(&to), Transfer::new()).await.unwrap();
    assert_eq!(fs::read(to.join("file")).unwrap(), b"content");
    only(at.path(), &["local", "to"]).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_folder_of_somebody_elses_is_no_success() {
    let at = tempdir().unwrap();
    let to = at.path().join("to");
    let (theirs, mut moves) = (to.clone(), 0);
    let (_server, sdk) =
        through(move |request| match count(&mut moves, request.starts_with("POST /v1/fs/move")) {
            1 => {
                fs::create_dir(&theirs).unwrap();
                Act::Keep(502)
            }
            _ => Act::Pass,
        })
        .await;
    let error = sdk.fs().upload_dir(local(at.path()), text(&to), Transfer::new()).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code(), "invalid_request");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    only(at.path(), &["local", "to"]).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_file_does_not_go_into_a_folder_that_was_not_seen() {
    for (status, kind) in [(502, Some(ErrorKind::InvalidInput)), (404, None)] {
        let mut looks = 0;
        let (_server, sdk) =
            through(move |request| match count(&mut looks, request.starts_with("GET /v1/fs/stat")) {
                1 => Act::Keep(status),
                _ => Act::Pass,
            })
            .await;
        let at = tempdir().unwrap();
        let to = at.path().join("to");
        fs::create_dir(&to).unwrap();
        let error = sdk.fs().upload(&b"content"[..], text(&to), Transfer::new()).await.unwrap_err();
        match kind {
            Some(kind) => assert_eq!(*error.kind(), kind),
            None => assert_eq!(error.problem().unwrap().status, status),
        }
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "{status}");
        only(at.path(), &["to"]).await;
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_part_that_is_copied_late_is_not_the_file() {
    let (mut copies, mut moves) = (0, 0);
    let (_server, sdk) = through(move |request| {
        let run = |script| is(request, "POST /v1/processes/run", script);
        let copying = count(&mut copies, run("exec dd"));
        let moving = count(&mut moves, run("mv -f \\\"$1\\\""));
        match (copying, moving) {
            // The last of two parts.
            (2, _) => Act::Keep(502),
            (_, 1) => Act::PassBeforeKept(502),
            _ => Act::Pass,
        }
    })
    .await;
    let at = tempdir().unwrap();
    let (to, sent) = (at.path().join("to"), content(1024 * 1024 + 1));
    sdk.fs().upload(&sent[..], text(&to), Transfer::new()).await.unwrap();
    assert!(fs::read(&to).unwrap() == sent, "another file was moved to its place");
    only(at.path(), &["to"]).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_transfer_that_is_dropped_at_its_beginning_leaves_nothing() {
    let (making, mut made) = tokio::sync::mpsc::unbounded_channel();
    let (_server, sdk) = through(move |request| match request.starts_with("POST /v1/fs/mkdir") {
        true => {
            making.send(()).unwrap();
            Act::PassSilently
        }
        false => Act::Pass,
    })
    .await;
    let at = tempdir().unwrap();
    let to = at.path().join("to");
    let fs = sdk.fs();
    let upload = fs.upload(&b"content"[..], text(&to), Transfer::new());
    tokio::select! {
        done = upload => panic!("{done:?}"),
        () = async {
            made.recv().await.unwrap();
            while std::fs::read_dir(at.path()).unwrap().count() == 0 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    only(at.path(), &[]).await;
}
