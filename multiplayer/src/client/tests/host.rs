//! A host in memory, which a test can make fail.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use futures::stream;
use sandbox_agent_sdk::persist::RawValue;
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::sync::{mpsc, watch};

use crate::call::{Call, Page};
use crate::client::{Caller, Connection, Pushed, Resume, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, FrameBody, Presence};
use crate::participant::Person;
use crate::snapshot::Snapshot;

/// A frame that changes something.
pub(in crate::client) fn frame(at: u64) -> Arc<Frame> {
    run(at, at)
}

pub(in crate::client) fn run(from: u64, to: u64) -> Arc<Frame> {
    Arc::new(Frame::standing_from(from, to, 0, body(to)))
}

fn body(at: u64) -> FrameBody {
    FrameBody::Presence(Presence { here: vec![Person::new(format!("person {at}"))] })
}

#[derive(Clone)]
pub(super) struct Host(Arc<Mutex<State>>, Arc<watch::Sender<bool>>);

#[derive(Default)]
pub(super) struct State {
    pub(super) line: Vec<Arc<Frame>>,
    /// Frames up to here are evicted.
    pub(super) evicted: u64,
    /// Which line it is.
    pub(super) name: String,
    pub(super) connections: u32,
    pub(super) resumed: Vec<Option<u64>>,
    /// What a connection is refused with.
    pub(super) refuse: Option<Error>,
    /// No try to connect comes to an end.
    pub(super) stuck: bool,
    /// What is appended is not pushed.
    pub(super) deaf: bool,
    /// Frames with more bytes of JSON go by parts.
    pub(super) message: Option<usize>,
    pub(super) calls: Vec<Call>,
    pub(super) closed: u32,
    /// The line ends here for who asks: the host is one that another has taken over from.
    pub(super) stale: Option<u64>,
    /// Pages leave their first frame out.
    pub(super) holes: bool,
    /// Of a frame that stands for a run, only its last place can be fetched by parts.
    pub(super) clips: bool,
    /// Farewells are not answered.
    pub(super) rude: bool,
    /// The error that calls fail with.
    pub(super) fail: Option<Error>,
    pushes: Option<mpsc::UnboundedSender<Pushed>>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self(Arc::default(), Arc::new(watch::Sender::new(false)))
    }

    pub(super) fn with(frames: u64) -> Self {
        let host = Self::new();
        host.state().line = (1..=frames).map(frame).collect();
        host
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Whether calls wait without an answer.
    pub(super) fn mute(&self, mute: bool) {
        self.1.send_replace(mute);
    }

    /// How many have this host, a client's transport and connection among them.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(super) fn last(&self) -> u64 {
        self.state().last()
    }

    pub(super) fn append(&self, count: u64) {
        for _ in 0..count {
            let at = self.last() + 1;
            self.tell(body(at));
        }
    }

    pub(super) fn tell(&self, body: FrameBody) {
        let mut state = self.state();
        let at = state.last() + 1;
        let frame = Arc::new(Frame::new(at, 0, body));
        state.line.push(frame.clone());
        if !state.deaf {
            let pushed = Pushed::Json(state.message(&frame));
            state.push(pushed);
        }
    }

    pub(super) fn push(&self, pushed: Pushed) {
        self.state().push(pushed);
    }

    /// The connection is gone, and says so.
    pub(super) fn cut(&self) {
        self.state().pushes = None;
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.state().snapshot()
    }

    pub(super) fn called(&self, action: &str) -> usize {
        self.state().calls.iter().filter(|call| call.action() == action).count()
    }
}

impl State {
    fn last(&self) -> u64 {
        self.line.last().map_or(0, |frame| frame.sequence)
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { line: self.name.clone(), ..Snapshot::default() };
        for frame in &self.line {
            snapshot.apply(frame.sequence, &frame.body);
        }
        snapshot
    }

    fn push(&mut self, pushed: Pushed) {
        if let Some(pushes) = &self.pushes {
            let _ = pushes.send(pushed);
        }
    }

    fn message(&self, frame: &Frame) -> String {
        let json = String::from_utf8(frame.json().to_vec()).unwrap();
        match self.message {
            Some(most) if json.len() > most => {
                let (from, sequence, bytes) = (frame.from, frame.sequence, json.len());
                json!({ "sequence": sequence, "from": from, "type": "large", "bytes": bytes }).to_string()
            }
            _ => json,
        }
    }

    fn page(&self, since: u64, limit: usize) -> Result<Box<RawValue>> {
        let last = self.stale.unwrap_or(self.last());
        if since > last {
            return Err(Error::new(ErrorKind::FutureSequence { last }, "not there yet"));
        }
        let mut since = since;
        let mut frames = Vec::new();
        if since < self.evicted {
            let evicted = Frame::standing_from(since + 1, self.evicted, 0, FrameBody::Evicted);
            frames.push(evicted.json());
            since = self.evicted;
        }
        let behind = self.line.iter().filter(|frame| frame.sequence > since);
        let mut texts: Vec<String> =
            frames.iter().map(|json| String::from_utf8(json.to_vec()).unwrap()).collect();
        texts.extend(behind.skip(self.holes.into()).take(limit).map(|frame| {
            let from = frame.from.max(since + 1);
            self.message(&Frame::standing_from(from, frame.sequence, frame.at, frame.body.clone()))
        }));
        let json = format!(r#"{{"line":"{}","last":{last},"frames":[{}]}}"#, self.name, texts.join(","));
        Ok(RawValue::from_string(json).unwrap())
    }

    fn part(&self, from: u64, sequence: u64, offset: usize) -> Result<Box<RawValue>> {
        let frame = self.line.iter().find(|frame| frame.sequence == sequence);
        let frame = frame.ok_or_else(|| Error::not_found("no such frame"))?;
        // As a store does it: of a run there is what is behind the place that is read after.
        let from = if self.clips { sequence } else { from.max(frame.from) };
        let frame = Frame::standing_from(from, sequence, frame.at, frame.body.clone());
        let json = String::from_utf8(frame.json().to_vec()).unwrap();
        let end = (offset + self.message.unwrap_or(100)).min(json.len());
        let text = &json[offset..end];
        let part = json!({ "sequence": sequence, "offset": offset, "total": json.len(), "text": text });
        Ok(to_raw_value(&part).unwrap())
    }
}

#[async_trait]
impl Transport for Host {
    async fn connect(&self, resume: Resume) -> Result<Connection> {
        let stuck = {
            let mut state = self.state();
            state.connections += 1;
            state.resumed.push(resume.after);
            if let Some(error) = &state.refuse {
                return Err(error.clone());
            }
            state.stuck
        };
        if stuck {
            std::future::pending::<()>().await;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state().pushes = Some(sender);
        let pushes =
            stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        Ok(Connection::new(self.clone(), pushes))
    }
}

#[async_trait]
impl Caller for Host {
    async fn call(&self, call: Call) -> Result<Box<RawValue>> {
        self.state().calls.push(call.clone());
        let mut mute = self.1.subscribe();
        mute.wait_for(|mute| !mute).await.unwrap();
        let state = self.state();
        if let Some(error) = &state.fail {
            return Err(error.clone());
        }
        match call {
            Call::GetSessionInfo {} => Ok(to_raw_value(&state.snapshot()).unwrap()),
            Call::GetSequencedEvents { since, limit } => state.page(since, limit.unwrap_or(1000)),
            Call::GetFramePart { sequence, from, offset } => {
                state.part(from.unwrap_or(sequence), sequence, offset)
            }
            _ => Ok(RawValue::NULL.to_owned()),
        }
    }

    async fn close(&self) {
        let rude = {
            let mut state = self.state();
            state.closed += 1;
            state.rude
        };
        if rude {
            std::future::pending::<()>().await;
        }
    }
}

#[test]
fn pages_are_as_the_workspace_makes_them() {
    let host = Host::with(2);
    let page = Page { frames: host.state().line.clone(), last: 2, line: String::new() };
    assert_eq!(host.state().page(0, 1000).unwrap().get(), page.json(usize::MAX).get());
}
