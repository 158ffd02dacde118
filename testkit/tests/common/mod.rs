//! A small ACP client over HTTP, for the tests of the testkit.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, RequestBuilder, Response, header};
use serde_json::{Value, json};

pub struct Http {
    pub client: Client,
    pub url: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: u64,
    pub data: Value,
}

impl Http {
    pub fn new(url: &str) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        Self { client, url: url.to_owned() }
    }

    pub fn acp(&self, server: &str) -> String {
        format!("{}/v1/acp/{server}", self.url)
    }

    pub fn post(&self, server: &str, message: &Value) -> RequestBuilder {
        let url = format!("{}?agent=mock", self.acp(server));
        self.client.post(url).json(message)
    }

    pub async fn request(&self, server: &str, id: &str, method: &str, params: Value) -> Value {
        let message = request(id, method, params);
        self.post(server, &message).send().await.unwrap().json().await.unwrap()
    }

    /// A session on a fresh process; gives its id. Takes the events 1 and 2.
    pub async fn session(&self, server: &str) -> String {
        let params = json!({"protocolVersion": 1});
        self.request(server, "init", "initialize", params).await;
        let params = json!({"cwd": "/", "mcpServers": []});
        let new = self.request(server, "new", "session/new", params).await;
        new["result"]["sessionId"].as_str().unwrap().to_owned()
    }

    pub fn prompt(&self, server: &str, session: &str, id: &str, script: &str) -> RequestBuilder {
        self.post(server, &prompt(session, id, script))
    }

    pub fn get(&self, server: &str, last: Option<u64>) -> RequestBuilder {
        let get = self.client.get(self.acp(server));
        let get = get.header(header::ACCEPT, "text/event-stream");
        match last {
            Some(last) => get.header("last-event-id", last),
            None => get,
        }
    }

    pub async fn events(&self, server: &str, last: Option<u64>) -> Events {
        Events::new(self.get(server, last).send().await.unwrap())
    }
}

pub fn request(id: &str, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub fn prompt(session: &str, id: &str, script: &str) -> Value {
    let prompt = json!([{"type": "text", "text": script}]);
    request(id, "session/prompt", json!({"sessionId": session, "prompt": prompt}))
}

/// A stream of SSE frames.
pub struct Events {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    buffer: Vec<u8>,
}

impl Events {
    pub fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response.bytes_stream().map(|item| item.map(|bytes| bytes.to_vec()));
        Self { bytes: bytes.boxed(), buffer: Vec::new() }
    }

    /// The next frame, without its empty line; `None` at the end of the body.
    pub async fn frame(&mut self) -> Option<reqwest::Result<String>> {
        loop {
            let end = self.buffer.windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(Ok(String::from_utf8_lossy(&frame[..end]).into_owned()));
            }
            match self.bytes.next().await? {
                Ok(bytes) => self.buffer.extend(bytes),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    pub async fn next(&mut self) -> Event {
        loop {
            let frame = self.frame().await.expect("the stream ended").unwrap();
            if !frame.starts_with(':') {
                return parse(&frame);
            }
        }
    }

    pub async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }

    /// Events up to the response with this id.
    pub async fn until_response(&mut self, id: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let done = event.data["id"] == id && event.data.get("method").is_none();
            events.push(event);
            if done {
                return events;
            }
        }
    }

    /// Nothing comes for that long.
    pub async fn silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.frame()).await.is_err()
    }
}

pub fn parse(frame: &str) -> Event {
    let (mut id, mut data) = (0, Value::Null);
    let mut kind = "";
    for line in frame.lines() {
        match line.split_once(": ").unwrap() {
            ("id", text) => id = text.parse().unwrap(),
            ("data", text) => data = serde_json::from_str(text).unwrap(),
            ("event", text) => kind = text,
            other => panic!("an unknown line {other:?}"),
        }
    }
    assert_eq!(kind, "message");
    Event { id, data }
}

pub fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id).collect()
}

/// The text of an `agent_message_chunk`.
pub fn said(event: &Event) -> &str {
    event.data["params"]["update"]["content"]["text"].as_str().unwrap_or_default()
}
