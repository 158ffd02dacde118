//! Every size that the network controls has a bound: a server that never stops is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandbox_agent_sdk::{Error, ErrorKind, Limits, SandboxAgent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{gaps, recorded, request, said};
use crate::{PATIENCE, limits, sandbox, server, session_within};

const MIB: usize = 1024 * 1024;
/// What sockets and readers hold on the way beside what is kept.
const ON_THE_WAY: usize = 16 * MIB;

/// Answers health, and everything else with `head` and then `rest`, for ever. Counts what one
/// connection took at most.
async fn endless(head: &'static str, rest: &'static [u8], healthy: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let most = Arc::new(AtomicUsize::new(0));
    let counter = most.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, head, rest, healthy, counter.clone()));
        }
    });
    (url, most)
}

async fn serve(mut socket: TcpStream, head: &str, rest: &[u8], healthy: bool, most: Arc<AtomicUsize>) {
    let mut asked = vec![0; 64 * 1024];
    let read = socket.read(&mut asked).await.unwrap_or(0);
    if healthy && asked[..read].starts_with(b"GET /v1/health") {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        return;
    }
    let mut written = 0;
    let mut piece = head.as_bytes();
    // Until the other side has had enough.
    while socket.write_all(piece).await.is_ok() {
        written += piece.len();
        most.fetch_max(written, Ordering::Relaxed);
        piece = rest;
    }
}

/// Neither is waited for long, nor taken in.
async fn opening(url: &str) -> Error {
    let limits = Limits::default()
        .connect(Duration::from_millis(500))
        .reconnect(Duration::from_millis(500))
        .request(Duration::from_secs(3))
        .event_bytes(MIB);
    let opening = async {
        let sdk = SandboxAgent::builder(url).limits(limits).connect().await?;
        sdk.create_session(request("one")).await
    };
    timeout(2 * PATIENCE, opening).await.unwrap().unwrap_err()
}

const MANY_HEADERS: &[u8] = b"x-more: and more and more and more and more and more and more and more\r\n";
const LONG_HEADER: &[u8] = &[b'x'; 4096];

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    for (head, rest) in [
        ("HTTP/1.1 200 OK\r\n", MANY_HEADERS),
        ("HTTP/1.1 200 OK\r\nx-long: ", LONG_HEADER),
        ("HTTP/1.1 200 ", LONG_HEADER),
    ] {
        for healthy in [false, true] {
            let (url, most) = endless(head, rest, healthy).await;
            let error = opening(&url).await;
            assert!(error.is_unreachable(), "{error:?}");
            let most = most.load(Ordering::Relaxed);
            assert!(most > 0 && most < ON_THE_WAY, "{most} bytes were taken");
        }
    }
}

/// Chunks of 4 KiB.
const CHUNK: &[u8] = &{
    let mut chunk = [b'x'; 4096 + 8];
    let (size, end) = (b"1000\r\n", b"\r\n");
    let mut at = 0;
    while at < size.len() {
        chunk[at] = size[at];
        at += 1;
    }
    chunk[4096 + 6] = end[0];
    chunk[4096 + 7] = end[1];
    chunk
};

#[tokio::test]
async fn a_problem_without_end_is_cut_off_and_the_status_counts() {
    let head =
        "HTTP/1.1 500 No\r\ncontent-type: application/problem+json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (url, most) = endless(head, CHUNK, true).await;
    let error = opening(&url).await;
    assert_eq!(error.problem().map(|problem| problem.status), Some(500), "{error:?}");
    assert!(error.to_string().len() < 1024, "an error is short");
    assert!(most.load(Ordering::Relaxed) < ON_THE_WAY);
}

#[tokio::test]
async fn an_answer_without_end_is_an_error_that_names_the_limit() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (url, most) = endless(head, CHUNK, true).await;
    let error = opening(&url).await;
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: MIB }, "{error:?}");
    // The stream is taken as it comes, and dropped: only time bounds it.
    assert!(most.load(Ordering::Relaxed) > MIB);
}

#[tokio::test]
async fn an_event_over_the_cap_is_dropped_as_it_comes_and_named() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().event_bytes(10_000)).await;
    let server = server(&session);
    let id = sandbox.last_event_id(&server) + 1;
    // The id is at the end, where it can't be seen; then at the front.
    sandbox.faults().send_bytes(&server, format!("data: {}\nid: {id}\n\n", "x".repeat(4 * MIB))).unwrap();
    session.prompt("say one").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "one");
    let id = sandbox.last_event_id(&server) + 1;
    sandbox.faults().send_bytes(&server, format!("id: {id}\ndata: {}\n\n", "x".repeat(4 * MIB))).unwrap();
    let _ = session.prompt("say two").await;
    let events = recorded(&session).await;
    let named: Vec<_> = gaps(&events).iter().map(|gap| (gap.from, gap.to, gap.cause)).collect();
    assert_eq!(named, [(id, id, sandbox_agent_sdk::GapCause::TooLarge)]);
}
