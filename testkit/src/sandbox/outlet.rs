//! What an agent process writes: numbered, kept in the ring, sent to who reads along.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{broadcast, oneshot, watch};

use super::core::Core;
use super::journal::Direction;
use super::plan::Loss;
use crate::agent::Host;

/// How many lines of stderr go with an error.
const STDERR_LINES: usize = 16;
/// How long an event is held back so that the exit can overtake it.
const REORDER_WINDOW: Duration = Duration::from_millis(50);

/// An event as the stream shows it.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: u64,
    pub(super) is_response: bool,
    pub(super) frame: Bytes,
}

impl Event {
    fn new(id: u64, message: &Value) -> Self {
        Self {
            id,
            is_response: response_id(message).is_some(),
            frame: format!("event: message\nid: {id}\ndata: {message}\n\n").into(),
        }
    }
}

/// What goes over the live channel.
#[derive(Clone, Debug)]
pub(super) enum Live {
    Event(Event),
    /// Bytes that a test sends.
    Raw(Bytes),
}

/// The snapshot of the ring, and the live channel from there on; `None` when it is over.
pub(super) type Subscription = (VecDeque<Event>, Option<broadcast::Receiver<Live>>);

pub(super) struct Outlet {
    server: String,
    pid: u32,
    core: Arc<Core>,
    state: Mutex<State>,
    exit: watch::Sender<Option<i32>>,
}

struct State {
    last_id: u64,
    ring: VecDeque<Event>,
    live: Option<broadcast::Sender<Live>>,
    /// Who waits for the response to which id; `None` for an id that is in flight twice.
    waiting: HashMap<String, Option<oneshot::Sender<Value>>>,
    /// Those who wait for an id that is in flight twice: they never hear of it.
    stuck: Vec<oneshot::Sender<Value>>,
    stderr: VecDeque<String>,
    held: Option<Event>,
}

impl Outlet {
    pub(super) fn new(server: &str, pid: u32, core: Arc<Core>) -> Self {
        let live = broadcast::Sender::new(core.options.channel);
        Self {
            server: server.to_owned(),
            pid,
            core,
            state: Mutex::new(State {
                last_id: 0,
                ring: VecDeque::new(),
                live: Some(live),
                waiting: HashMap::new(),
                stuck: Vec::new(),
                stderr: VecDeque::new(),
                held: None,
            }),
            exit: watch::Sender::new(None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line as the agent wrote it.
    pub(super) fn line(self: &Arc<Self>, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let message = serde_json::from_str(line).unwrap_or_else(|error| {
            json!({
                "jsonrpc": "2.0",
                "method": "_adapter/invalid_stdout",
                "params": {"error": error.to_string(), "raw": line},
            })
        });
        self.answer(&message);
        self.publish(&message, line);
    }

    fn answer(&self, message: &Value) {
        let Some(id) = response_id(message) else {
            return;
        };
        let mut state = self.state();
        let Some(Some(waiting)) = state.waiting.remove(&id) else {
            return;
        };
        let mut answer = message.clone();
        let error = answer.get_mut("error").and_then(Value::as_object_mut);
        if let (Some(error), Some(stderr)) = (error, state.stderr_text()) {
            let data = error.entry("data").or_insert_with(|| json!({}));
            // Data that is no object is the agent's own, and stays.
            if let Some(data) = data.as_object_mut() {
                data.insert("agentStderr".to_owned(), stderr.into());
            }
        }
        let _ = waiting.send(answer);
    }

    fn publish(self: &Arc<Self>, message: &Value, line: &str) {
        let mut state = self.state();
        let event = state.number(message);
        // Under the same lock, so that the journal has the order of the ids.
        self.core.journal().line(&self.server, self.pid, Direction::Wrote, line.to_owned());
        let loss = self.core.plan().loss(&self.server, &event);
        if loss != Some(Loss::Everywhere) {
            state.keep(event.clone(), self.core.options.ring);
        }
        if loss.is_none() {
            if self.core.plan().reorders_exit(&self.server) {
                self.hold(&mut state, event);
            } else {
                state.send(Live::Event(event));
            }
        }
        drop(state);
        self.core.changed();
    }

    fn hold(self: &Arc<Self>, state: &mut State, event: Event) {
        state.release();
        state.held = Some(event);
        let outlet = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(REORDER_WINDOW).await;
            if let Some(outlet) = outlet.upgrade() {
                outlet.state().release();
            }
        });
    }

    /// Sends bytes on every open stream; they are no event, have no id and no place in the ring.
    pub(super) fn raw(&self, bytes: Bytes) {
        self.state().send(Live::Raw(bytes));
    }

    /// Marks the process as gone and says so on the stream, once.
    pub(super) fn set_exit(&self, code: i32) {
        let first = self.exit.send_if_modified(|exit| {
            let first = exit.is_none();
            exit.get_or_insert(code);
            first
        });
        if !first {
            return;
        }
        let mut state = self.state();
        let message = json!({
            "jsonrpc": "2.0",
            "method": "_adapter/agent_exited",
            "params": {"success": code == 0, "code": code},
        });
        let event = state.number(&message);
        let loss = self.core.plan().loss(&self.server, &event);
        if loss != Some(Loss::Everywhere) {
            state.keep(event.clone(), self.core.options.ring);
        }
        if loss.is_none() {
            state.send(Live::Event(event));
        }
        state.release();
        drop(state);
        self.core.changed();
    }

    /// Ends the open streams, once they have read what is there.
    pub(super) fn close(&self) {
        self.state().live = None;
    }

    pub(super) fn exit_code(&self) -> Option<i32> {
        *self.exit.borrow()
    }

    pub(super) async fn exited(&self) {
        // The sender is `self`'s own, so waiting can't fail.
        let _ = self.exit.subscribe().wait_for(Option::is_some).await;
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn last_id(&self) -> u64 {
        self.state().last_id
    }

    pub(super) fn stderr_text(&self) -> Option<String> {
        self.state().stderr_text()
    }

    /// The events after `last`, and the live channel from there on.
    pub(super) fn subscribe(&self, last: u64) -> Subscription {
        let state = self.state();
        let kept = state.ring.iter().filter(|event| event.id > last);
        let live = state.live.as_ref().map(broadcast::Sender::subscribe);
        (kept.cloned().collect(), live)
    }

    /// Waits for the response to a request. An id that is in flight already is never answered,
    /// neither here nor there.
    pub(super) fn wait_for_response(&self, id: &Value) -> oneshot::Receiver<Value> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        match state.waiting.remove(&id.to_string()) {
            None => {
                state.waiting.insert(id.to_string(), Some(answer));
            }
            Some(other) => {
                state.waiting.insert(id.to_string(), None);
                state.stuck.extend(other);
                state.stuck.push(answer);
            }
        }
        answered
    }
}

impl State {
    fn number(&mut self, message: &Value) -> Event {
        self.last_id += 1;
        Event::new(self.last_id, message)
    }

    fn keep(&mut self, event: Event, capacity: usize) {
        self.ring.push_back(event);
        while self.ring.len() > capacity {
            self.ring.pop_front();
        }
    }

    fn send(&self, what: Live) {
        if let Some(live) = &self.live {
            // It fails when nobody reads along, which is no failure.
            let _ = live.send(what);
        }
    }

    fn release(&mut self) {
        if let Some(event) = self.held.take() {
            self.send(Live::Event(event));
        }
    }

    fn stderr_text(&self) -> Option<String> {
        let lines: Vec<_> = self.stderr.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

fn response_id(message: &Value) -> Option<String> {
    let is_response = message.get("method").is_none();
    message.get("id").filter(|_| is_response).map(Value::to_string)
}

/// The agent's side of an outlet.
pub(super) struct TaskHost(pub(super) Arc<Outlet>);

impl Host for TaskHost {
    fn write(&self, lines: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            for line in String::from_utf8_lossy(&lines).lines() {
                self.0.line(line);
            }
            Ok(())
        })
    }

    fn stderr(&self, line: &str) {
        let mut state = self.0.state();
        state.stderr.push_back(line.to_owned());
        while state.stderr.len() > STDERR_LINES {
            state.stderr.pop_front();
        }
    }

    fn pid(&self) -> u32 {
        self.0.pid
    }

    fn exit(&self, code: i32) -> BoxFuture<'_, ()> {
        self.0.set_exit(code);
        Box::pin(std::future::pending())
    }
}
