//! The newest frames in memory, shared by all subscribers, and the snapshot that they come to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::arrival::behind;
use super::status::Why;
use crate::frame::Frame;
use crate::snapshot::Snapshot;

/// How far the line goes, and whether it goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    /// The place that the client began behind; `None` before that is known.
    pub(super) start: Option<u64>,
    pub(super) last: u64,
    pub(super) end: Option<Why>,
}

#[derive(Debug)]
pub(super) struct Window {
    newest: Mutex<Newest>,
    mark: watch::Sender<Mark>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Newest {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// Everything behind this place is here.
    base: u64,
    snapshot: Snapshot,
}

impl Window {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { newest: Mutex::default(), mark: watch::Sender::default(), max_bytes }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.lock().snapshot.clone()
    }

    /// Looks at the snapshot without copying it; nothing may wait meanwhile.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.lock().snapshot)
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Mark> {
        self.mark.subscribe()
    }

    /// Goes on from a snapshot of the host. What lies between is here no more, and can be read by pages.
    pub(super) fn jump(&self, snapshot: Snapshot) {
        let to = snapshot.sequence;
        {
            let mut newest = self.lock();
            if self.mark.borrow().last != to {
                newest.frames.clear();
                (newest.bytes, newest.base) = (0, to);
            }
            newest.snapshot = snapshot;
        }
        self.mark.send_modify(|mark| {
            mark.start.get_or_insert(to);
            mark.last = to;
        });
    }

    /// Shows frames that follow the last one.
    pub(super) fn publish(&self, frames: Vec<Arc<Frame>>) {
        let Some(last) = frames.last().map(|frame| frame.sequence) else { return };
        {
            let mut newest = self.lock();
            for frame in frames {
                newest.snapshot.apply(frame.sequence, &frame.body);
                newest.bytes += frame.size();
                newest.frames.push_back(frame);
            }
            while newest.bytes > self.max_bytes {
                let Some(oldest) = newest.frames.pop_front() else { break };
                newest.bytes -= oldest.size();
                newest.base = oldest.sequence;
            }
        }
        self.mark.send_modify(|mark| mark.last = last);
    }

    /// Puts up to `most` frames behind `after` into `into` if they are here; `false` when the host has to be
    /// asked.
    pub(super) fn after(&self, after: u64, most: usize, into: &mut VecDeque<Arc<Frame>>) -> bool {
        let newest = self.lock();
        if after < newest.base {
            return false;
        }
        let skip = newest.frames.partition_point(|frame| frame.sequence <= after);
        let mut reached = after;
        for frame in newest.frames.range(skip..).take(most) {
            into.push_back(behind(frame.clone(), reached));
            reached = frame.sequence;
        }
        reached > after
    }

    /// Ends it, if nothing has before.
    pub(super) fn finish(&self, why: Why) {
        self.mark.send_if_modified(|mark| {
            let first = mark.end.is_none();
            if first {
                mark.end = Some(why);
            }
            first
        });
    }

    /// Nothing panics while it holds the lock, and the queue is whole at every step.
    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
