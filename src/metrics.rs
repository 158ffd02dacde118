//! What an SDK has done, in numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What an SDK has done since it was connected, for a metrics exporter to read.
        ///
        /// Each number only grows, and is exact; they are read one after the other, so that two of
        /// them may be some events apart.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The numbers as they are counted.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Metrics {
                Metrics { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Sessions that were opened on the living process that had run them before.
    sessions_reattached,
    /// Sessions that a new process took up by `session/resume`.
    sessions_resumed,
    /// Sessions that a new process took up by `session/load`.
    sessions_loaded,
    /// Sessions that were made anew and get their past as text.
    sessions_retold,
    /// Sessions that were opened for the first time.
    sessions_fresh,
    /// Agent processes that exited, or that the server lost.
    processes_lost,
    /// Turns that began, those that were found running included.
    turns_started,
    /// Turns that the agent ended.
    turns_finished,
    /// Turns that ended with an error.
    turns_failed,
    /// Permission requests of agents.
    permissions_asked,
    /// Events that were stored.
    events_stored,
    /// The bytes of their payloads.
    bytes_stored,
    /// Events that came again, and were dropped.
    events_repeated,
    /// Gaps: runs of events that could not be had.
    gaps,
    /// The events in them.
    events_missing,
    /// Event streams that were opened.
    streams_opened,
    /// Event streams that broke off.
    streams_lost,
    /// Holes that were fetched beside the stream.
    refills,
    /// Looks for what may be missing at the end of a stream.
    probes,
    /// Messages that were posted.
    messages_sent,
    /// Posts that failed, whether they were tried again or not.
    posts_failed,
    /// Calls of the store that were tried again.
    store_retries,
    /// Calls of the store that failed.
    store_failures,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }
}
