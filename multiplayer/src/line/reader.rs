//! Reading a line from any place on: without a hole, without a double, at the reader's own speed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures::Stream;
use futures::stream;
use sandbox_agent_sdk::persist::PersistErrorKind;
use sandbox_agent_sdk::{ErrorKind as SdkErrorKind, SessionEvent};
use tokio::sync::watch;

use super::entry::Entry;
use super::store::LineStore;
use super::tail::{End, Mark, Tail};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, FrameBody};

/// How many frames a reader takes at once: few enough to hold, enough that a lock or a query is nothing.
const BATCH: usize = 64;
/// How many entries of the store are read at once; each may stand for a run of frames.
const PAGE: usize = 64;

/// Where a subscriber begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// After this frame; 0 is before the first.
    After(u64),
    Now,
}

/// The frames of a workspace: those that are stored, then those that come; no hole, no double.
///
/// Each is in the store before it is here. A reader that is slower than what happens slows nobody: it
/// reads on from the store. What the store no longer has is one frame
/// [`Evicted`](FrameBody::Evicted), and the reading goes on behind it. An error is the last item. It ends
/// when the workspace is closed. Dropping it, or a call of it, at any point is safe.
pub struct Frames {
    tail: Arc<Tail>,
    mark: watch::Receiver<Mark>,
    store: LineStore,
    /// The last place that was given out, or that is not wanted.
    after: u64,
    read: VecDeque<Arc<Frame>>,
    /// Entries of the store that were read and not given out yet, with their places.
    past: VecDeque<Past>,
    failed: bool,
}

/// An entry of the store.
struct Past {
    from: u64,
    to: u64,
    at: i64,
    entry: Entry,
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("position", &self.after).finish_non_exhaustive()
    }
}

impl Frames {
    pub(crate) fn new(tail: Arc<Tail>, store: LineStore, start: Start) -> Result<Self> {
        let mark = tail.watch();
        let last = mark.borrow().last;
        let after = match start {
            Start::Now => last,
            Start::After(after) if after <= last => after,
            Start::After(after) => {
                let message =
                    format!("frame {after} is not there yet; the last is {last}: subscribe after that");
                return Err(Error::new(ErrorKind::FutureSequence { last }, message));
            }
        };
        Ok(Self { tail, mark, store, after, read: VecDeque::new(), past: VecDeque::new(), failed: false })
    }

    /// The last frame that was given out.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// The next frame; waits for it as long as nothing happens. `None` when the workspace was closed and
    /// all was given out.
    pub async fn recv(&mut self) -> Option<Result<Arc<Frame>>> {
        loop {
            if let Some(frame) = self.read.pop_front() {
                self.after = frame.sequence;
                return Some(Ok(frame));
            }
            if let Err(error) = self.wait().await? {
                return Some(Err(error));
            }
        }
    }

    /// The next frames, at least one and at most `most`; as [`recv`](Self::recv) does.
    pub async fn recv_many(&mut self, most: usize) -> Option<Result<Vec<Arc<Frame>>>> {
        while self.read.is_empty() {
            if let Err(error) = self.wait().await? {
                return Some(Err(error));
            }
        }
        let frames: Vec<_> = self.read.drain(..most.clamp(1, self.read.len())).collect();
        self.after = frames.last().map_or(self.after, |frame| frame.sequence);
        Some(Ok(frames))
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Arc<Frame>>> + Send + 'static {
        stream::unfold(self, |mut frames| async { Some((frames.recv().await?, frames)) })
    }

    /// Takes the frames that there are, or waits until there are some. `None` at the end.
    async fn wait(&mut self) -> Option<Result<()>> {
        let (last, ended) = {
            let mark = self.mark.borrow_and_update();
            (mark.last, mark.end.is_some())
        };
        if self.failed {
            return None;
        }
        if last > self.after {
            let filled = self.fill().await;
            self.failed = filled.is_err();
            return Some(filled);
        }
        if ended {
            let end = self.mark.borrow().end.clone();
            return match end {
                Some(End::Failed(error)) => {
                    self.failed = true;
                    Some(Err(error))
                }
                _ => None,
            };
        }
        // The tail is in `self`, so that the sender lives.
        self.mark.changed().await.ok()?;
        Some(Ok(()))
    }

    async fn fill(&mut self) -> Result<()> {
        if self.past.is_empty() && self.tail.after(self.after, BATCH, &mut self.read) {
            return Ok(());
        }
        if self.past.is_empty() {
            self.fill_past().await?;
        }
        if let Some(past) = self.past.front() {
            let frames = expand(&self.store, past, self.after).await?;
            let reached = frames.back().map_or(past.to, |frame| frame.sequence);
            if reached >= past.to {
                self.past.pop_front();
            }
            self.read.extend(frames);
        }
        Ok(())
    }

    async fn fill_past(&mut self) -> Result<()> {
        match self.store.entries(self.after, PAGE).await {
            Ok(page) => {
                for event in page.items {
                    let (from, to, at) = (event.first_index(), event.event_index, event.created_at);
                    self.past.push_back(Past { from, to, at, entry: Entry::read(&event)? });
                }
            }
            Err(error) => match error.kind() {
                PersistErrorKind::Evicted { to, .. } => {
                    let from = self.after + 1;
                    self.past.push_back(Past { from, to, at: 0, entry: Entry::Frame(FrameBody::Evicted) });
                }
                _ => return Err(error.into()),
            },
        }
        if self.past.is_empty() {
            let message = format!("the store has no frame after {} although it stored one", self.after);
            return Err(Error::new(ErrorKind::Store, message));
        }
        Ok(())
    }
}

/// Frames of an entry behind `after`, the first ones; all that an entry stands for take several calls.
async fn expand(store: &LineStore, past: &Past, after: u64) -> Result<VecDeque<Arc<Frame>>> {
    let (session_id, first, last) = match &past.entry {
        Entry::Events { session_id, from, to } => (session_id, from, to),
        Entry::Frame(body) => {
            let from = past.from.max(after + 1);
            let frame = Frame::standing_from(from, past.to, past.at, body.clone());
            return Ok(VecDeque::from([Arc::new(frame)]));
        }
    };
    let place = |index: u64| past.from + (index - first);
    let wanted = first + (after + 1).saturating_sub(past.from);
    let evicted = |from: u64, to: u64| {
        Arc::new(Frame::standing_from(place(from), place(to), past.at, FrameBody::Evicted))
    };
    let events = match store.events(session_id, wanted, *last, BATCH).await {
        Ok(events) => events,
        Err(error) => match error.kind() {
            SdkErrorKind::Persist(PersistErrorKind::Evicted { to, .. }) => {
                return Ok(VecDeque::from([evicted(wanted, (*to).clamp(wanted, *last))]));
            }
            _ => return Err(error.into()),
        },
    };
    let mut frames = VecDeque::with_capacity(events.len());
    let mut next = wanted;
    for event in events {
        // A run that could not be cut goes beyond what was asked for.
        let (from, to) = (event.first_index().max(next), event.event_index.min(*last));
        if to < from {
            continue;
        }
        if from > next {
            frames.push_back(evicted(next, from - 1));
        }
        next = to + 1;
        frames.push_back(session_frame(place(from), place(to), past.at, event));
    }
    // The session was deleted.
    if frames.is_empty() {
        frames.push_back(evicted(wanted, *last));
    }
    Ok(frames)
}

fn session_frame(from: u64, to: u64, at: i64, event: SessionEvent) -> Arc<Frame> {
    Arc::new(Frame::standing_from(from, to, at, FrameBody::SessionEvent(Arc::new(event))))
}

/// Some frames after a place, at most `most` and about `bytes` of JSON, but at least one where there is one.
pub(crate) async fn page(mut frames: Frames, most: usize, bytes: usize) -> Result<Vec<Arc<Frame>>> {
    let last = frames.tail.last();
    let (mut page, mut size) = (Vec::new(), 0);
    while frames.position() < last && page.len() < most {
        let Some(frame) = frames.recv().await else { break };
        let frame = frame?;
        size += frame.json().len();
        if size > bytes && !page.is_empty() {
            break;
        }
        page.push(frame);
    }
    Ok(page)
}
