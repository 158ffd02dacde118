//! The newest frames in memory, and the snapshot that they come to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::Error;
use crate::frame::Frame;
use crate::snapshot::Snapshot;

/// How far the line goes, and whether it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) last: u64,
    pub(crate) end: Option<End>,
}

/// Why a line goes no further.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Closed,
    Failed(Error),
}

impl End {
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::Closed => Error::closed(),
            Self::Failed(error) => error.clone(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Tail {
    newest: Mutex<Newest>,
    mark: watch::Sender<Mark>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Newest {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    snapshot: Snapshot,
}

impl Tail {
    pub(crate) fn new(snapshot: Snapshot, max_bytes: usize) -> Self {
        let mark = watch::Sender::new(Mark { last: snapshot.sequence, end: None });
        Self { newest: Mutex::new(Newest { frames: VecDeque::new(), bytes: 0, snapshot }), mark, max_bytes }
    }

    pub(crate) fn last(&self) -> u64 {
        self.mark.borrow().last
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.mark.borrow().end.clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Mark> {
        self.mark.subscribe()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.lock().snapshot.clone()
    }

    /// Looks at the snapshot without copying it; nothing may wait meanwhile.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.lock().snapshot)
    }

    /// Shows frames that are stored, which follow the last one, and how far sessions got by them.
    pub(super) fn publish(&self, frames: Vec<Arc<Frame>>, reached: &[(String, u64)]) {
        let Some(last) = frames.last().map(|frame| frame.sequence) else { return };
        let mut dropped = Vec::new();
        {
            let mut newest = self.lock();
            for frame in frames {
                newest.snapshot.apply(frame.sequence, &frame.body);
                newest.bytes += frame.size();
                newest.frames.push_back(frame);
            }
            for (session_id, index) in reached {
                newest.snapshot.reached(session_id, *index);
            }
            while newest.bytes > self.max_bytes && newest.frames.len() > 1 {
                let Some(oldest) = newest.frames.pop_front() else { break };
                newest.bytes -= oldest.size();
                dropped.push(oldest);
            }
        }
        self.mark.send_modify(|mark| mark.last = last);
    }

    pub(super) fn finish(&self, end: End) {
        self.mark.send_if_modified(|mark| {
            let first = mark.end.is_none();
            if first {
                mark.end = Some(end);
            }
            first
        });
    }

    /// Puts up to `most` frames after `sequence` into `into` if they are in memory; `false` when the store
    /// has to be asked.
    pub(super) fn after(&self, sequence: u64, most: usize, into: &mut VecDeque<Arc<Frame>>) -> bool {
        let newest = self.lock();
        let Some(front) = newest.frames.front() else { return false };
        if front.from > sequence + 1 {
            return false;
        }
        // Places are nearly as many as frames, so the right one is near.
        let skip = newest.frames.partition_point(|frame| frame.sequence <= sequence);
        into.extend(newest.frames.range(skip..).take(most).cloned());
        true
    }

    /// Nothing panics while it holds the lock, and the queue is whole at every step.
    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
