//! How a server is used.

use std::time::Duration;

/// How a [`PostgresSessionPersistDriver`](crate::PostgresSessionPersistDriver) uses its server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The schema that has the tables; `sandbox_agent` by default. Each has sessions of its own, so that
    /// tenants or tests can share a database. ASCII letters, digits, `_` and `-`, at most 48.
    pub schema: String,
    /// Connections in the pool, which are opened when they are needed; 16 by default: enough for some
    /// thousand inserts a second, and few beside the 100 that a server allows by default. Following takes
    /// one more. At least 1.
    pub connections: usize,
    /// How long opening a connection may take, with name resolution, TLS and authentication; 5 s by
    /// default: far more than it takes on a network that works.
    pub connect_timeout: Duration,
    /// How long a call waits for a connection of the pool before it is an `Unavailable` error; 5 s by default.
    pub pool_timeout: Duration,
    /// How long a call waits for another's write to the same session before it is an `Unavailable`
    /// error; 5 s by default: far more than a write takes, and short enough to notice one that is stuck.
    pub busy_timeout: Duration,
    /// How long the server may take to answer one call before its connection is given up, and the call an
    /// `Unavailable` error; 20 s by default. `delete_session` and `vacuum` may take as long as the
    /// server works on them.
    pub call_timeout: Duration,
    /// Whether a server whose `fsync` is off is refused; it is by default. Where it isn't, the driver
    /// doesn't call itself durable.
    pub require_fsync: bool,
}

impl PostgresOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            schema: "sandbox_agent".to_owned(),
            connections: 16,
            connect_timeout: Duration::from_secs(5),
            pool_timeout: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(20),
            require_fsync: true,
        }
    }

    /// Sets [`schema`](Self::schema).
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Sets [`connections`](Self::connections).
    #[must_use]
    pub const fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`pool_timeout`](Self::pool_timeout).
    #[must_use]
    pub const fn pool_timeout(mut self, timeout: Duration) -> Self {
        self.pool_timeout = timeout;
        self
    }

    /// Sets [`busy_timeout`](Self::busy_timeout).
    #[must_use]
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets [`call_timeout`](Self::call_timeout).
    #[must_use]
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets [`require_fsync`](Self::require_fsync).
    #[must_use]
    pub const fn require_fsync(mut self, required: bool) -> Self {
        self.require_fsync = required;
        self
    }
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}
