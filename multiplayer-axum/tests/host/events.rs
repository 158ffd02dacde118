//! Frames as SSE.

use std::time::Duration;

use sandbox_agent_multiplayer_axum::HostOptions;
use serde_json::{Value, json};

use crate::support::{Host, said, within};

struct Events {
    response: reqwest::Response,
    read: String,
}

#[derive(Debug)]
struct Event {
    kind: String,
    id: Option<u64>,
    data: Value,
}

impl Events {
    async fn open(host: &Host, token: &str, query: &str, last: Option<u64>) -> Self {
        let response = Self::try_open(host, token, query, last.map(|last| last.to_string())).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, read: String::new() }
    }

    async fn try_open(host: &Host, token: &str, query: &str, last: Option<String>) -> reqwest::Response {
        let mut request = reqwest::Client::new().get(host.http(&format!("events{query}"))).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    }

    /// The next block, comments included.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let block = block.to_owned();
                self.read = rest.to_owned();
                return Some(block);
            }
            let chunk = within(self.response.chunk()).await.unwrap()?;
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let prefix = format!("{name}: ");
                block.lines().find_map(|line| Some(line.strip_prefix(&prefix)?.to_owned()))
            };
            let Some(data) = field("data") else { continue };
            return Some(Event {
                kind: field("event").unwrap_or_else(|| "message".to_owned()),
                id: field("id").map(|id| id.parse().unwrap()),
                data: serde_json::from_str(&data).unwrap(),
            });
        }
    }

    async fn turn(&mut self, prompt_id: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap();
            let prompt = &event.data["data"]["prompt"];
            let over = prompt["promptId"] == prompt_id && prompt["phase"] == "done";
            events.push(event);
            if over {
                return events;
            }
        }
    }
}

fn text(events: &[Event]) -> String {
    said(&events.iter().map(|event| event.data.clone()).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_stream_begins_with_the_workspace_and_goes_on_where_it_broke() {
    let host = Host::start().await;
    let mut eve = Events::open(&host, "eve", "", None).await;
    let welcome = eve.next().await.unwrap();
    assert_eq!((&*welcome.kind, welcome.id), ("welcome", welcome.data["snapshot"]["sequence"].as_u64()));
    assert_eq!(welcome.data["snapshot"]["here"][0]["id"], "eve", "who reads is here");
    assert_eq!(welcome.data["you"]["rights"], json!(["see"]));

    let (mut ada, _) = host.enter("ada").await;
    ada.prompt("p", "stream 300 rate=600").await.unwrap();
    let mut events = Vec::new();
    for _ in 0..50 {
        events.push(eve.next().await.unwrap());
    }
    let last = events.last().unwrap().id.unwrap();
    drop(eve);
    // The header counts: a browser that comes back repeats its URL as it was.
    let mut eve = Events::open(&host, "eve", "?after=0", Some(last)).await;
    assert_eq!(eve.next().await.unwrap().id, Some(last));
    events.extend(eve.turn("p").await);
    let mut next = welcome.id.unwrap() + 1;
    for event in &events {
        assert_eq!(event.kind, "message");
        assert_eq!(event.id, event.data["sequence"].as_u64());
        assert_eq!(event.data["from"].as_u64().or(event.id), Some(next), "a hole or a double");
        next = event.id.unwrap() + 1;
    }
    let expected: String = (1..=300).map(|n| format!("u{n} ")).collect();
    assert_eq!(text(&events), expected);
    let mut all = Events::open(&host, "eve", "?after=0", None).await;
    assert_eq!(all.next().await.unwrap().id, Some(0));
    assert_eq!(all.next().await.unwrap().data["sequence"], 1);
}

#[tokio::test]
async fn a_place_that_is_not_there_yet_or_no_number_is_refused() {
    let host = Host::start().await;
    for (query, last, status, code) in [
        ("?after=999", None, 416, "future_sequence"),
        ("", Some("999"), 416, "future_sequence"),
        ("?line=another", Some("0"), 410, "other_line"),
        ("?after=-1", None, 400, "invalid_input"),
        ("", Some("x"), 400, "invalid_input"),
    ] {
        let response = Events::try_open(&host, "eve", query, last.map(str::to_owned)).await;
        assert_eq!(response.status(), status, "{query} {last:?}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], code);
    }
    assert!(host.workspace.snapshot().here.is_empty());
}

#[tokio::test]
async fn a_quiet_stream_gives_signs_of_life_and_shows_who_left() {
    let host = Host::with_options(HostOptions::default().ping(Duration::from_millis(20))).await;
    let mut eve = Events::open(&host, "eve", "", None).await;
    eve.next().await.unwrap();
    assert_eq!(eve.block().await.as_deref(), Some(": heartbeat"));
    let (mut ada, _) = host.enter("ada").await;
    drop(eve);
    let gone = ada.hear_until(|message| message["type"] == "presence").await;
    assert_eq!(gone["data"]["here"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_says_why_it_ends() {
    let host = Host::start().await;
    let mut eve = Events::open(&host, "eve", "", None).await;
    eve.next().await.unwrap();
    host.workspaces.shutdown().await;
    let failure = eve.next().await.unwrap();
    assert_eq!((&*failure.kind, &failure.data["code"]), ("failure", &json!("closed")));
    assert!(eve.next().await.is_none());
    within(host.serving).await.unwrap();
}

#[tokio::test]
async fn a_large_frame_is_named() {
    let host = Host::with_options(HostOptions::default().frame_bytes(10_000)).await;
    let mut eve = Events::open(&host, "eve", "", None).await;
    let (mut ada, _) = host.enter("ada").await;
    ada.prompt("p", "big 20000").await.unwrap();
    let events = eve.turn("p").await;
    assert!(
        events
            .iter()
            .any(|event| event.data["type"] == "large" && event.id == event.data["sequence"].as_u64())
    );
}
