//! The limits of a store.

/// How much a store in memory may hold. See the [crate](crate) for what goes when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// Bytes of records and events in all, about; 256 MiB by default: some hundred thousand
    /// events, and small beside what a service that talks to agents has.
    pub max_bytes: usize,
    /// Events held of one session; 100,000 by default: several long turns.
    pub max_events_per_session: usize,
    /// Sessions held, with or without a record; 1024 by default.
    pub max_sessions: usize,
}

impl MemoryOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { max_bytes: 256 * 1024 * 1024, max_events_per_session: 100_000, max_sessions: 1024 }
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`max_events_per_session`](Self::max_events_per_session); with 0 no event fits.
    #[must_use]
    pub const fn max_events_per_session(mut self, events: usize) -> Self {
        self.max_events_per_session = events;
        self
    }

    /// Sets [`max_sessions`](Self::max_sessions); with 0 no session fits.
    #[must_use]
    pub const fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self::new()
    }
}
