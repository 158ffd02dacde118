//! What an open file has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was written through an open file, by all its handles, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteStats {
    /// How often the disk was reached: transactions that were committed.
    pub commits: u64,
    /// The calls that these transactions held, whatever their outcome.
    pub calls: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    calls: AtomicU64,
}

impl Counters {
    pub(crate) fn committed(&self, calls: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(calls as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> SqliteStats {
        SqliteStats {
            commits: self.commits.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
        }
    }
}
