//! From what arrives, in any order, with holes and doubles, to a line without: a pure state machine.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::arrival::{Arrival, Large, behind, hides_changes};
use crate::error::{Error, ErrorKind};
use crate::frame::Frame;

/// A hole larger than this is not filled: a snapshot costs less, and who wants the frames reads them by pages.
const JUMP: u64 = 4096;
/// After so many answers in a row that bring nothing of what is said to be there, the host is broken.
const FRUITLESS: u8 = 3;
/// After so many checks in a row that find what was never pushed, nothing is pushed any more.
const MUTE: u8 = 3;

/// One line in the making.
#[derive(Debug)]
pub(super) struct Merge {
    /// The last place that was told; `None` before a snapshot says where the line begins.
    done: Option<u64>,
    /// The line goes at least so far.
    seen: u64,
    /// What arrived ahead of a hole, by its first place.
    waiting: BTreeMap<u64, Arrival>,
    bytes: usize,
    max_bytes: usize,
    /// A frame was told that hides what it changed.
    stale: bool,
    due: Due,
    fruitless: u8,
    mute: u8,
}

/// Whether the host is to be asked although nothing is known to be missing, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Due {
    #[default]
    No,
    /// The connection is new.
    Opened,
    /// Nothing has come for a while, and the last message may be the one that was lost.
    Silence,
}

/// What to ask the host for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Snapshot,
    /// Frames behind this place.
    Page(u64),
    Large(Large),
}

/// Why this connection can't make the line whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The host's line ends before what was told already.
    Behind {
        last: u64,
    },
    Fruitless,
    Mute,
}

impl Merge {
    /// A line whose beginning is not known. It holds at most so many bytes of what is ahead of a hole.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            done: None,
            seen: 0,
            waiting: BTreeMap::new(),
            bytes: 0,
            max_bytes,
            stale: false,
            due: Due::No,
            fruitless: 0,
            mute: 0,
        }
    }

    /// The last place that was told.
    pub(super) fn done(&self) -> Option<u64> {
        self.done
    }

    /// A connection was opened: what was missed meanwhile has to be asked for.
    pub(super) fn opened(&mut self) {
        self.waiting.clear();
        (self.bytes, self.seen) = (0, self.done.unwrap_or(0));
        (self.fruitless, self.mute) = (0, 0);
        self.due = Due::Opened;
    }

    /// Nothing has come for a while.
    pub(super) fn silent(&mut self) {
        if self.due == Due::No {
            self.due = Due::Silence;
        }
    }

    /// What to ask for next; one question at a time.
    pub(super) fn need(&self) -> Option<Need> {
        let Some(done) = self.done else { return Some(Need::Snapshot) };
        if self.stale || self.seen.saturating_sub(done) > JUMP {
            return Some(Need::Snapshot);
        }
        if let Some(large) = self.large_next() {
            return Some(Need::Large(large));
        }
        (self.seen > done || self.due != Due::No).then_some(Need::Page(done))
    }

    /// The host pushed something. What can be told by it goes to `told`.
    pub(super) fn pushed(&mut self, arrival: Arrival, told: &mut Vec<Arc<Frame>>) {
        self.mute = 0;
        self.take(arrival, told);
    }

    /// The host answered with what is behind `since`, of a line that goes to `last`.
    pub(super) fn page(
        &mut self,
        since: u64,
        arrivals: Vec<Arrival>,
        last: u64,
        told: &mut Vec<Arc<Frame>>,
    ) -> Result<(), Broken> {
        if last < since {
            return Err(Broken::Behind { last });
        }
        let before = self.done;
        let unheard_of = before == Some(since) && self.seen <= since;
        let due = mem::take(&mut self.due);
        for arrival in arrivals {
            self.take(arrival, told);
        }
        // Also where the answer has nothing but the leave to go on.
        self.release(told);
        // What was said to be there, and neither is here nor in the host's line, is not there.
        self.seen = last.max(self.highest_waiting());
        if self.done > before && due == Due::Silence && unheard_of {
            self.mute += 1;
            if self.mute >= MUTE {
                return Err(Broken::Mute);
            }
        }
        let missing = self.done.is_some_and(|done| self.seen > done);
        if self.done == before && missing && self.large_next().is_none() {
            return self.in_vain();
        }
        Ok(())
    }

    /// A large frame was fetched.
    pub(super) fn fetched(&mut self, frame: Arc<Frame>, told: &mut Vec<Arc<Frame>>) {
        self.take(Arrival::Frame(frame), told);
    }

    /// A large frame is no longer there as it was announced; a page says what is in its place.
    pub(super) fn gone(&mut self, large: Large) -> Result<(), Broken> {
        if let Some(stub) = self.waiting.remove(&large.from) {
            self.bytes -= stub.size();
        }
        self.in_vain()
    }

    /// A snapshot takes the line to `to`; what is behind it goes to `told`.
    pub(super) fn jump(&mut self, to: u64, told: &mut Vec<Arc<Frame>>) -> Result<(), Broken> {
        if self.done.is_some_and(|done| to < done) {
            return Err(Broken::Behind { last: to });
        }
        (self.done, self.stale, self.due) = (Some(to), false, Due::No);
        while self.waiting.last_key_value().is_some_and(|(from, _)| from.saturating_sub(to) > JUMP) {
            self.drop_farthest();
        }
        self.release(told);
        self.seen = self.done.unwrap_or(to).max(self.highest_waiting());
        Ok(())
    }

    fn take(&mut self, arrival: Arrival, told: &mut Vec<Arc<Frame>>) {
        self.seen = self.seen.max(arrival.places().1);
        self.hold(arrival);
        self.release(told);
        while self.bytes > self.max_bytes && self.drop_farthest() {}
    }

    /// Of two that begin at the same place, the one that stands for more is kept.
    fn hold(&mut self, arrival: Arrival) {
        let (from, to) = arrival.places();
        let size = arrival.size();
        match self.waiting.get(&from) {
            // A frame is worth more than the notice of it.
            Some(Arrival::Large(known)) if known.sequence <= to => {}
            Some(known) if known.places().1 >= to => return,
            _ => {}
        }
        self.bytes += size;
        if let Some(less) = self.waiting.insert(from, arrival) {
            self.bytes -= less.size();
        }
    }

    /// Tells what follows without a hole.
    fn release(&mut self, told: &mut Vec<Arc<Frame>>) {
        // What a new connection pushes may be of another line, until an answer has said which it is.
        if self.due == Due::Opened {
            return;
        }
        while let (Some(done), Some(first)) = (self.done, self.waiting.first_entry()) {
            let (from, to) = first.get().places();
            if to > done && (from > done + 1 || matches!(first.get(), Arrival::Large(_))) {
                return;
            }
            let first = first.remove();
            self.bytes -= first.size();
            if let Arrival::Frame(frame) = first
                && to > done
            {
                self.stale |= hides_changes(&frame);
                (self.done, self.fruitless) = (Some(to), 0);
                told.push(behind(frame, done));
            }
        }
    }

    fn large_next(&self) -> Option<Large> {
        match (self.done, self.waiting.first_key_value()) {
            (Some(done), Some((_, Arrival::Large(large)))) if large.from <= done + 1 => Some(*large),
            _ => None,
        }
    }

    fn highest_waiting(&self) -> u64 {
        self.waiting.values().map(|arrival| arrival.places().1).max().unwrap_or(0)
    }

    fn drop_farthest(&mut self) -> bool {
        let farthest = self.waiting.pop_last();
        if let Some((_, arrival)) = &farthest {
            self.bytes -= arrival.size();
        }
        farthest.is_some()
    }

    fn in_vain(&mut self) -> Result<(), Broken> {
        self.fruitless += 1;
        if self.fruitless >= FRUITLESS { Err(Broken::Fruitless) } else { Ok(()) }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Behind { last } => {
                let message = format!(
                    "the host's line ends at frame {last}, before what it told already; if that is right, \
                     connect a new client"
                );
                Self::new(ErrorKind::FutureSequence { last }, message)
            }
            Broken::Fruitless => Self::protocol("the host does not give the frames that it says are there"),
            Broken::Mute => {
                Self::new(ErrorKind::Disconnected, "the host answers, but pushes nothing any more")
            }
        }
    }
}

#[cfg(test)]
#[path = "merge_model.rs"]
mod model;

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
