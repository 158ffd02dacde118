//! The one writer of a line: numbers what it is given, stores it, then shows it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox_agent_sdk::persist::{Inserted, RawValue};
use sandbox_agent_sdk::{Sender, SessionEvent, SessionRecord};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::entry::{Entry, of_events, of_frame};
use super::store::LineStore;
use super::tail::{End, Tail};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, FrameBody};
use crate::snapshot::Snapshot;

/// How many wait to be written; whoever comes then waits as well.
const WAITING: usize = 256;
/// How many go into one call of the store.
const BATCH: usize = 256;
/// The member of the line's record that has its checkpoint.
const CHECKPOINT: &str = "_sandboxAgentWorkspace";

/// The handle of the writer.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) tail: Arc<Tail>,
    pub(crate) store: LineStore,
    input: mpsc::Sender<Append>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is stored, at this place.
    At(u64),
    /// The line had its id already.
    Known,
}

/// A run of a session's events, stored by the session already.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) session_id: String,
    /// With the first and the last index that each stands for; they follow each other without a hole.
    pub(crate) items: Vec<(u64, u64, FrameBody)>,
}

#[derive(Debug)]
struct Append {
    what: What,
    reply: oneshot::Sender<Result<Appended>>,
}

#[derive(Debug)]
enum What {
    Frame { body: FrameBody, id: Option<String> },
    Run(Run),
}

impl Line {
    /// Begins at what the snapshot says. The writer ends with `stop`, when what it was given is stored.
    pub(crate) fn start(
        store: LineStore,
        record: SessionRecord,
        snapshot: Snapshot,
        (tail_bytes, checkpoint): (usize, u64),
        stop: CancellationToken,
    ) -> Self {
        let tail = Arc::new(Tail::new(snapshot, tail_bytes));
        let (input, waiting) = mpsc::channel(WAITING);
        let writer = Writer { tail: tail.clone(), store: store.clone(), record, every: checkpoint, since: 0 };
        tokio::spawn(writer.run(waiting, stop));
        Self { tail, store, input }
    }

    /// Stores a frame and shows it.
    pub(crate) async fn append(&self, body: FrameBody) -> Result<u64> {
        match self.give(What::Frame { body, id: None }).await? {
            Appended::At(sequence) => Ok(sequence),
            Appended::Known => Err(Error::protocol("the store knew an id that is new")),
        }
    }

    /// Stores a frame under an id that the line has once.
    pub(crate) async fn append_once(&self, id: &str, body: FrameBody) -> Result<Appended> {
        self.give(What::Frame { body, id: Some(format!("{}:{id}", self.store.id)) }).await
    }

    pub(crate) async fn append_run(&self, run: Run) -> Result<()> {
        self.give(What::Run(run)).await.map(drop)
    }

    /// Waits until the line has a session's events up to this index.
    pub(crate) async fn reached(&self, session_id: &str, index: u64) -> Result<()> {
        let mut mark = self.tail.watch();
        loop {
            let end = mark.borrow_and_update().end.clone();
            if self
                .tail
                .look(|now| now.sessions.get(session_id).is_some_and(|known| known.last_index >= index))
            {
                return Ok(());
            }
            if let Some(end) = end {
                return Err(end.error());
            }
            // The tail is in `self`, so that the sender lives.
            mark.changed().await.map_err(|_| Error::closed())?;
        }
    }

    /// Waits until the writer has ended.
    pub(crate) async fn ended(&self) {
        // The tail is in `self`, so that the sender lives.
        let mut mark = self.tail.watch();
        let _ended = mark.wait_for(|mark| mark.end.is_some()).await;
    }

    async fn give(&self, what: What) -> Result<Appended> {
        let (reply, answer) = oneshot::channel();
        let ended = || self.tail.end().map_or_else(Error::closed, |end| end.error());
        self.input.send(Append { what, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

struct Writer {
    tail: Arc<Tail>,
    store: LineStore,
    record: SessionRecord,
    /// A checkpoint after so many entries.
    every: u64,
    since: u64,
}

/// Entries on their way into the store, and the frames to show once they are there.
#[derive(Default)]
struct Batch {
    entries: Vec<SessionEvent>,
    frames: Vec<Arc<Frame>>,
    /// How far sessions get by these.
    reached: Vec<(String, u64)>,
    replies: Vec<(oneshot::Sender<Result<Appended>>, u64)>,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Append>, stop: CancellationToken) {
        let end = loop {
            let first = tokio::select! {
                first = waiting.recv() => first,
                () = stop.cancelled() => {
                    // What was given is stored; nothing more is taken.
                    waiting.close();
                    waiting.recv().await
                }
            };
            let Some(first) = first else { break End::Closed };
            let mut appends = vec![first];
            while appends.len() < BATCH {
                let Ok(next) = waiting.try_recv() else { break };
                appends.push(next);
            }
            if let Err(error) = self.write(appends).await {
                tracing::error!(line = %self.store.id, %error, "the workspace ends: its line can't go on");
                break End::Failed(error);
            }
            if self.since >= self.every {
                self.checkpoint().await;
            }
        };
        if matches!(end, End::Closed) {
            self.checkpoint().await;
        }
        self.tail.finish(end);
    }

    async fn write(&mut self, appends: Vec<Append>) -> Result<()> {
        let mut next = self.tail.last() + 1;
        let mut batch = Batch::default();
        for Append { what, reply } in appends {
            let at = now_ms();
            match what {
                What::Frame { body, id: Some(id) } => {
                    self.flush(std::mem::take(&mut batch)).await?;
                    let frame = Arc::new(Frame::new(next, at, body));
                    match self.insert_once(&frame, id, at).await {
                        Ok(Appended::Known) => {
                            let _gone = reply.send(Ok(Appended::Known));
                        }
                        Ok(appended) => {
                            next += 1;
                            self.tail.publish(vec![frame], &[]);
                            let _gone = reply.send(Ok(appended));
                        }
                        Err(error) => {
                            let _gone = reply.send(Err(error.clone()));
                            return Err(error);
                        }
                    }
                }
                What::Frame { body, id: None } => {
                    batch.entries.push(self.entry(None, (next, next), at, of_frame(&body)?));
                    batch.frames.push(Arc::new(Frame::new(next, at, body)));
                    batch.replies.push((reply, next));
                    next += 1;
                }
                What::Run(run) => {
                    let (first, last) = (next, self.add_run(&mut batch, run, next, at)?);
                    batch.replies.push((reply, last.max(first)));
                    next = last + 1;
                }
            }
        }
        self.flush(batch).await
    }

    /// Adds a run from place `next` on; gives its last place.
    fn add_run(&self, batch: &mut Batch, run: Run, next: u64, at: i64) -> Result<u64> {
        let (Some(first), Some(last)) = (run.items.first(), run.items.last()) else { return Ok(next - 1) };
        let (first, last) = (first.0, last.1);
        batch.reached.push((run.session_id.clone(), last));
        let place = |index: u64| next + (index - first);
        let payload = of_events(run.session_id, first, last)?;
        batch.entries.push(self.entry(None, (next, place(last)), at, payload));
        batch.frames.extend(
            run.items
                .into_iter()
                .map(|(from, to, body)| Arc::new(Frame::standing_from(place(from), place(to), at, body))),
        );
        Ok(place(last))
    }

    /// The entry as the store takes it.
    fn entry(
        &self,
        id: Option<String>,
        (from, to): (u64, u64),
        at: i64,
        payload: Box<RawValue>,
    ) -> SessionEvent {
        let id = id.unwrap_or_else(|| format!("{}:{}", self.store.id, Uuid::new_v4()));
        SessionEvent::new(id, to, &*self.store.id, at, "", Sender::Client, payload).standing_from(from)
    }

    /// Stores a batch, then shows it, then answers.
    async fn flush(&mut self, batch: Batch) -> Result<()> {
        if batch.entries.is_empty() {
            batch.replies.into_iter().for_each(|(reply, at)| drop(reply.send(Ok(Appended::At(at)))));
            return Ok(());
        }
        match self.insert(batch.entries).await {
            Ok(()) => {
                self.tail.publish(batch.frames, &batch.reached);
                batch.replies.into_iter().for_each(|(reply, at)| drop(reply.send(Ok(Appended::At(at)))));
                Ok(())
            }
            Err(error) => {
                batch.replies.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
                Err(error)
            }
        }
    }

    async fn insert(&mut self, mut entries: Vec<SessionEvent>) -> Result<()> {
        self.since += entries.len() as u64;
        loop {
            match self.store.insert(entries.clone()).await? {
                Inserted::Stored => return Ok(()),
                Inserted::Conflict { .. } => return Err(overtaken(&self.store.id)),
                // An earlier try did store some of them, although no answer came.
                Inserted::Duplicate => {
                    let reached = self.store.newest().await?;
                    let ours = reached.and_then(|newest| entries.iter().position(|one| one.id == newest.id));
                    let Some(ours) = ours else { return Err(overtaken(&self.store.id)) };
                    entries.drain(..=ours);
                    if entries.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn insert_once(&mut self, frame: &Frame, id: String, at: i64) -> Result<Appended> {
        let places = (frame.sequence, frame.sequence);
        let entry = self.entry(Some(id), places, at, of_frame(&frame.body)?);
        self.since += 1;
        match self.store.insert(vec![entry.clone()]).await? {
            Inserted::Stored => Ok(Appended::At(frame.sequence)),
            Inserted::Conflict { .. } => Err(overtaken(&self.store.id)),
            Inserted::Duplicate => {
                let newest = self.store.newest().await?;
                // An earlier try of this very call stored it, although no answer came.
                let ours = newest
                    .is_some_and(|newest| newest.id == entry.id && newest.event_index == frame.sequence);
                Ok(if ours { Appended::At(frame.sequence) } else { Appended::Known })
            }
        }
    }

    /// Keeps what the line comes to beside it, so that opening it reads only what is behind.
    async fn checkpoint(&mut self) {
        let snapshot = self.tail.snapshot();
        let mut record = self.record.clone();
        record.last_activity_at = Some(now_ms());
        match serde_json::to_value(&snapshot) {
            Ok(snapshot) => {
                record.extra.insert(CHECKPOINT.to_owned(), json!({ "snapshot": snapshot }));
            }
            Err(error) => {
                tracing::warn!(line = %self.store.id, %error, "no checkpoint: the state could not be written");
                return;
            }
        }
        match self.store.keep_record(record.clone()).await {
            Ok(()) => (self.record, self.since) = (record, 0),
            Err(error) => {
                tracing::warn!(line = %self.store.id, %error, "no checkpoint: opening the line takes longer");
            }
        }
    }
}

/// The state of a line as it is stored: the checkpoint, and what came behind it.
pub(crate) async fn restore(store: &LineStore, record: &SessionRecord) -> Result<Snapshot> {
    let kept = record.extra.get(CHECKPOINT).and_then(|kept| kept.get("snapshot"));
    let mut snapshot: Snapshot =
        kept.cloned().and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default();
    loop {
        let page = match store.entries(snapshot.sequence, BATCH).await {
            Ok(page) => page,
            Err(error) => match error.kind() {
                sandbox_agent_sdk::persist::PersistErrorKind::Evicted { to, .. } => {
                    snapshot.sequence = snapshot.sequence.max(to);
                    continue;
                }
                _ => return Err(error.into()),
            },
        };
        for event in &page.items {
            match Entry::read(event)? {
                Entry::Frame(body) => snapshot.apply(event.event_index, &body),
                Entry::Events { session_id, to, .. } => {
                    snapshot.reached(&session_id, to);
                    snapshot.sequence = event.event_index;
                }
            }
        }
        if page.next_cursor.is_none() {
            return Ok(snapshot);
        }
    }
}

fn overtaken(line: &str) -> Error {
    Error::new(
        ErrorKind::Overtaken,
        format!("another process writes {line:?}, so this one has stopped; a workspace runs in one process"),
    )
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(i64::MAX)
}
