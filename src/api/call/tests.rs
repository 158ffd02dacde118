//! Calls against a server that answers as it is told, over a real socket.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::api::processes::{ProcessCreateRequest, Processes};
use crate::{Area, ErrorKind, Limit, Limits, SandboxAgent};

const TOKEN: &str = "token-7f3a";
const HEALTHY: &str = "200 OK\r\n\r\n{\"status\":\"ok\"}";
const PROCESSES: &str = "200 OK\r\n\r\n{\"processes\":[]}";

/// Answers each connection with the next answer, and keeps the requests. `None` never answers.
async fn server(answers: Vec<Option<String>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = requests.clone();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                let mut buffer = [0; 4096];
                let length = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..length]);
            }
            seen.lock().unwrap().push(String::from_utf8(request).unwrap());
            match answer {
                Some(answer) => {
                    let answer =
                        format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nconnection: close\r\n", 1));
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
                None => silent.push(socket),
            }
        }
        std::future::pending::<()>().await;
    });
    (url, requests)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// An SDK on a server that answers its health check, and then as it is told.
async fn processes(limits: Limits, answers: &[&str]) -> (Processes, Arc<Mutex<Vec<String>>>) {
    let all = std::iter::once(HEALTHY).chain(answers.iter().copied());
    let answers = all.map(|answer| (answer != "silence").then(|| answer.to_owned())).collect();
    let (url, requests) = server(answers).await;
    let sdk = SandboxAgent::builder(url).token(TOKEN).limits(limits).connect().await.unwrap();
    (sdk.processes(), requests)
}

#[tokio::test]
async fn an_idempotent_call_is_tried_again_when_the_server_wants_it() {
    let busy = "503 Busy\r\nretry-after: 1\r\n\r\n";
    let (processes, requests) =
        processes(Limits::default(), &[busy, "502 Bad\r\n\r\n<html>", PROCESSES]).await;
    let started = Instant::now();
    assert_eq!(processes.list(None).await.unwrap(), []);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_call_that_is_not_idempotent_is_sent_once() {
    let (processes, requests) =
        processes(Limits::default(), &["503 Busy\r\nretry-after: 7\r\n\r\n", PROCESSES]).await;
    let error = processes.create(&ProcessCreateRequest::new("sh")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(error.problem().unwrap().status, 503);
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_set_is_not_sent() {
    let started = "200 OK\r\n\r\n{\"id\":\"p\",\"command\":\"sh\",\"args\":[],\"tty\":false,\"interactive\":false,\
                   \"owner\":\"robot\",\"status\":\"paused\",\"createdAtMs\":1,\"new\":[]}";
    let (processes, requests) = processes(Limits::default(), &[started]).await;
    let info = processes.create(&ProcessCreateRequest::new("sh").env("A", "b")).await.unwrap();
    assert_eq!((info.owner.as_str(), info.status.as_str()), ("robot", "paused"), "kept, though not known");
    let requests = requests.lock().unwrap();
    let body = requests[1].split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body, r#"{"command":"sh","args":[],"env":{"A":"b"}}"#);
}

#[tokio::test]
async fn a_call_ends_within_its_time() {
    let limits = Limits::default().call(Duration::from_millis(200));
    let (processes, requests) = processes(limits, &["silence"]).await;
    let call = tokio::time::timeout(Duration::from_secs(10), processes.list(None));
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Call));
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_answer_over_its_cap_is_not_read() {
    let large = format!("200 OK\r\n\r\n{}", "x".repeat(2000));
    let limits = Limits::default().answer_bytes(1000);
    let (processes, _) = processes(limits, &[&large]).await;
    assert_eq!(*processes.list(None).await.unwrap_err().kind(), ErrorKind::TooLarge { limit: 1000 });
}

#[tokio::test]
async fn no_error_shows_the_token_or_an_environment() {
    let page = format!("400 Bad\r\n\r\n<pre>authorization: Bearer {TOKEN}</pre>");
    let (processes, requests) = processes(Limits::default(), &[&page]).await;
    let request = ProcessCreateRequest::new("sh").env("KEY", "env-5e8f");
    let error = processes.create(&request).await.unwrap_err();
    let sent = requests.lock().unwrap()[1].clone();
    assert!(sent.contains(TOKEN) && sent.contains("env-5e8f"), "they are what is sent");
    for shown in [format!("{error:?}"), error.to_string(), format!("{request:?}"), format!("{processes:?}")] {
        assert!(!shown.contains(TOKEN) && !shown.contains("env-5e8f"), "{shown}");
    }
}

#[tokio::test]
async fn no_error_shows_the_token_of_a_provider() {
    let page = format!("400 Bad\r\n\r\n<pre>authorization: Bearer {TOKEN}</pre>");
    let (url, requests) = server(vec![Some(HEALTHY.to_owned()), Some(page)]).await;
    let provider = || async { Ok::<_, std::io::Error>(TOKEN) };
    let sdk = SandboxAgent::builder(url).token_provider(provider).connect().await.unwrap();
    let error = sdk.processes().list(None).await.unwrap_err();
    assert!(requests.lock().unwrap()[1].contains(&format!("authorization: Bearer {TOKEN}")));
    assert_eq!(error.problem().unwrap().title, "<pre>authorization: Bearer …</pre>");
    assert!(!format!("{error:?} {error} {sdk:?}").contains(TOKEN));
}

#[tokio::test]
async fn an_area_and_a_handle_have_their_own_time() {
    let moment = Duration::from_millis(200);
    let limits = Limits::default().area(Area::Processes, moment);
    let (in_the_area, _) = processes(limits, &["silence"]).await;
    let (of_the_handle, _) = processes(Limits::default(), &["silence"]).await;
    for processes in [in_the_area, of_the_handle.within(moment)] {
        let call = tokio::time::timeout(Duration::from_secs(10), processes.list(None));
        assert_eq!(*call.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut(Limit::Call));
    }
}
