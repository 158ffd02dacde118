//! How a file is opened.

use std::time::Duration;

/// How a [`SqliteSessionPersistDriver`](crate::SqliteSessionPersistDriver) uses its file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// How long a call waits for another process to finish its write before it is an
    /// `Unavailable` error; 5 s by default: far more than a write takes, and short enough
    /// to notice a process that is stuck.
    pub busy_timeout: Duration,
    /// How many reads run at once; the others wait. 4 by default: a page takes about a
    /// millisecond, and each connection holds some memory. At least 1.
    pub read_connections: usize,
}

impl SqliteOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { busy_timeout: Duration::from_secs(5), read_connections: 4 }
    }

    /// Sets [`busy_timeout`](Self::busy_timeout).
    #[must_use]
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets [`read_connections`](Self::read_connections).
    #[must_use]
    pub const fn read_connections(mut self, connections: usize) -> Self {
        self.read_connections = connections;
        self
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}
