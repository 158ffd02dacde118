//! Where in the state it is kept, and how much of it.

/// How much a driver keeps, and under which key. See the [crate](crate) for what goes when it is full.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RivetJsonOptions {
    /// The member of the state that has it all; `_sandboxAgentPersist` by default, as TypeScript
    /// programs have it.
    pub key: String,
    /// Sessions held; 1024 by default, as TypeScript programs have it.
    pub max_sessions: usize,
    /// Events held of one session; 500 by default, as TypeScript programs have it.
    pub max_events_per_session: usize,
    /// Bytes of all that is under the key, as it is encoded; 96 KiB by default: an engine of actors
    /// that never saves a state of more than 128 KiB leaves a quarter of it for everything else.
    /// Below 1 KiB little fits but errors.
    pub max_bytes: usize,
}

impl RivetJsonOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            key: "_sandboxAgentPersist".to_owned(),
            max_sessions: 1024,
            max_events_per_session: 500,
            max_bytes: 96 * 1024,
        }
    }

    /// The default key, and no limits: for a state that may grow as large as it wants.
    pub fn unlimited() -> Self {
        Self::new().max_sessions(usize::MAX).max_events_per_session(usize::MAX).max_bytes(usize::MAX)
    }

    /// Sets [`key`](Self::key).
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Sets [`max_sessions`](Self::max_sessions); with 0 no session fits.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Sets [`max_events_per_session`](Self::max_events_per_session); with 0 no event fits.
    #[must_use]
    pub fn max_events_per_session(mut self, events: usize) -> Self {
        self.max_events_per_session = events;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl Default for RivetJsonOptions {
    fn default() -> Self {
        Self::new()
    }
}
