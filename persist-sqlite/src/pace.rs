//! When the writing thread begins a transaction.

use std::thread;
use std::time::{Duration, Instant};

/// Another process gets its turn after so long at the latest: far below any sensible patience, and
/// long enough that pausing costs next to nothing.
const TURN: Duration = Duration::from_millis(50);

/// Longer than those who wait for the file look away.
const PAUSE: Duration = Duration::from_micros(1_200);

/// It is never waited longer than this for calls that may come.
const MOST_WAIT: Duration = Duration::from_millis(1);

/// How often it is looked whether they came.
const LOOK_EVERY: Duration = Duration::from_micros(30);

/// What was learnt from the transactions before.
pub(crate) struct Pace {
    turn_began: Instant,
    last_calls: usize,
    last_took: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { turn_began: Instant::now(), last_calls: 0, last_took: Duration::ZERO }
    }

    /// Nothing was to be done since `idle_since`.
    pub(crate) fn rested(&mut self, idle_since: Instant) {
        if idle_since.elapsed() > PAUSE {
            self.turn_began = Instant::now();
        }
    }

    /// Leaves the file to other processes for a moment, when this one has written long enough.
    ///
    /// SQLite has no queue: whoever writes again at once would keep the others out for as long as it likes.
    pub(crate) fn give_way(&mut self) {
        if self.turn_began.elapsed() > TURN {
            thread::sleep(PAUSE);
            self.turn_began = Instant::now();
        }
    }

    /// Waits until as many calls are there as the last transaction had, for half as long as that took.
    ///
    /// Those who were answered just now come back with their next call in a moment. Who does not
    /// wait for them writes few calls in one transaction, and all the others in the next.
    pub(crate) fn gather(&self, mut come: impl FnMut() -> usize) {
        let since = Instant::now();
        let most = MOST_WAIT.min(self.last_took / 2);
        while come() < self.last_calls && since.elapsed() < most {
            thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn wrote(&mut self, calls: usize, took: Duration) {
        self.last_calls = calls;
        self.last_took = took;
    }
}
