//! When the writing thread begins a transaction.

use std::thread;
use std::time::{Duration, Instant};

/// It is never waited longer than this for calls that may come.
const MOST: Duration = Duration::from_millis(1);

/// How often it is looked whether they came.
const LOOK_EVERY: Duration = Duration::from_micros(30);

/// What was learnt from the last transaction.
#[derive(Default)]
pub(crate) struct Pace {
    calls: usize,
    took: Duration,
}

impl Pace {
    /// Waits until as many calls are there as the last transaction had, for half as long as that took.
    ///
    /// Those who were answered just now come back with their next call in a moment. Whoever does not
    /// wait for them writes few calls in one transaction, and all the others in the next. The moment
    /// is also one in which other processes may write.
    pub(crate) fn gather(&self, mut come: impl FnMut() -> usize) {
        let since = Instant::now();
        let most = MOST.min(self.took / 2);
        while come() < self.calls && since.elapsed() < most {
            thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn wrote(&mut self, calls: usize, took: Duration) {
        *self = Self { calls, took };
    }
}
