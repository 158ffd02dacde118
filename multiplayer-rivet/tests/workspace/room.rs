//! A client of the engine's own kind, which knows nothing of workspaces but their names.

use std::collections::BTreeMap;

use rivetkit_client::connection::ActorConnection;
use rivetkit_client::handle::ActorHandle;
use rivetkit_client::{Client, ClientConfig, EncodingKind, GetOrCreateOptions};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::scene::PATIENCE;

pub(crate) struct Room {
    /// Kept, because dropping it stops reconnection.
    _client: Client,
    pub(crate) handle: ActorHandle,
    pub(crate) connection: ActorConnection,
    messages: Mutex<mpsc::UnboundedReceiver<Value>>,
    /// All frames, by the last place of each.
    frames: Mutex<BTreeMap<u64, Value>>,
}

pub(crate) fn client(url: &str) -> Client {
    let config = ClientConfig::new(url).namespace("default").pool_name("default");
    Client::new(config.encoding(EncodingKind::Bare).disable_metadata_lookup(true))
}

pub(crate) fn handle(client: &Client, key: &str, name: &str) -> ActorHandle {
    let params = Some(json!({ "token": "good", "name": name }));
    let options = GetOrCreateOptions { params, ..GetOrCreateOptions::default() };
    client.get_or_create("workspace", vec!["team".to_owned(), key.to_owned()], options).unwrap()
}

impl Room {
    /// Comes into a workspace, and looks on.
    pub(crate) async fn enter(url: &str, key: &str, name: &str) -> Self {
        let client = client(url);
        let handle = handle(&client, key, name);
        let connection = handle.connect();
        let (tell, messages) = mpsc::unbounded_channel();
        connection
            .on_event("frames", move |args| {
                let message = serde_json::from_str(args[0].as_str().unwrap()).unwrap();
                let _ = tell.send(message);
            })
            .await;
        let room = Self {
            _client: client,
            handle,
            connection,
            messages: Mutex::new(messages),
            frames: Mutex::default(),
        };
        room.call("getSessionInfo", json!({})).await.unwrap();
        room
    }

    /// Calls, and gives the answer or the error's text.
    pub(crate) async fn call(&self, name: &str, args: Value) -> Result<Value, String> {
        let call = timeout(PATIENCE, self.connection.action(name, vec![args])).await;
        call.unwrap().map_err(|error| error.to_string())
    }

    pub(crate) async fn prompt(&self, id: &str, text: &str) -> Result<Value, String> {
        self.call("prompt", json!({ "promptId": id, "text": text })).await
    }

    /// Takes what was told until a frame is wanted, which it gives.
    pub(crate) async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = self.messages.lock().await;
        loop {
            let found = self.frames.lock().await.values().find(|frame| wanted(frame)).cloned();
            if let Some(found) = found {
                return found;
            }
            let message = timeout_at(deadline, messages.recv()).await.expect("the frame has come").unwrap();
            self.take(message).await;
        }
    }

    /// How a prompt ended.
    pub(crate) async fn over(&self, prompt_id: &str) -> Value {
        let phases = ["done", "failed", "withdrawn"];
        let frame = self
            .until(|frame| {
                let prompt = &frame["data"]["prompt"];
                prompt["promptId"] == prompt_id && phases.iter().any(|phase| prompt["phase"] == *phase)
            })
            .await;
        frame["data"]["prompt"].clone()
    }

    async fn take(&self, message: Value) {
        for frame in message["frames"].as_array().unwrap() {
            self.frames.lock().await.insert(frame["sequence"].as_u64().unwrap(), frame.clone());
        }
    }

    /// The frames that were told, without those that were fetched.
    pub(crate) async fn told(&self) -> Vec<Value> {
        self.frames.lock().await.values().cloned().collect()
    }

    /// All frames that the store has, by pages.
    pub(crate) async fn stored(&self) -> Vec<Value> {
        let mut line: Vec<Value> = Vec::new();
        loop {
            let since = line.last().map_or(0, |frame| frame["sequence"].as_u64().unwrap());
            let args = vec![json!({ "since": since }), json!({ "as": "text" })];
            let page = timeout(PATIENCE, self.connection.action("getSequencedEvents", args)).await;
            let page: Value = serde_json::from_str(page.unwrap().unwrap().as_str().unwrap()).unwrap();
            let frames = page["frames"].as_array().unwrap();
            line.extend(frames.iter().cloned());
            if since >= page["last"].as_u64().unwrap() {
                break;
            }
        }
        assert_without_hole(&line);
        line
    }
}

pub(crate) fn from(frame: &Value) -> u64 {
    frame["from"].as_u64().unwrap_or(frame["sequence"].as_u64().unwrap())
}

pub(crate) fn assert_without_hole(frames: &[Value]) {
    let mut next = 1;
    for frame in frames {
        assert_eq!(from(frame), next, "{frame}");
        next = frame["sequence"].as_u64().unwrap() + 1;
    }
}

/// How often an agent was sent this prompt.
pub(crate) fn times_sent(frames: &[Value], prompt_id: &str) -> usize {
    let of_prompt = |frame: &&Value| {
        frame["type"] == "session.event"
            && frame["data"]["payload"]["method"] == "session/prompt"
            && frame["data"]["payload"].to_string().contains(&format!("\"{prompt_id}\""))
    };
    frames.iter().filter(of_prompt).count()
}

/// What the agent said in these frames.
pub(crate) fn said(frames: &[Value]) -> String {
    let chunk = |frame: &Value| {
        let update = &frame["data"]["payload"]["params"]["update"];
        let chunk = update["sessionUpdate"] == "agent_message_chunk";
        chunk.then(|| update["content"]["text"].as_str().unwrap_or_default().to_owned())
    };
    frames.iter().filter_map(chunk).collect()
}
