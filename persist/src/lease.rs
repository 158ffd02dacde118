//! Leases: one writer of a session at a time, on however many machines.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{PersistError, SessionPersistDriver};

/// The right to write to a session, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The session.
    pub session_id: String,
    /// Who has it, by the name that they gave.
    pub holder: String,
    /// Larger than that of every lease which the store granted before, of whatever session.
    pub token: u64,
    /// When it ends unless it is renewed, in milliseconds since the Unix epoch, by the store's clock.
    pub expires_at: i64,
}

impl Lease {
    /// A lease with all that it has; for a driver to give out.
    pub fn new(
        session_id: impl Into<String>,
        holder: impl Into<String>,
        token: u64,
        expires_at: i64,
    ) -> Self {
        Self { session_id: session_id.into(), holder: holder.into(), token, expires_at }
    }

    /// The error of a write that did not carry this lease, which is the one in force.
    pub fn fences(&self) -> PersistError {
        PersistError::fenced(&self.session_id, Some(&self.holder))
    }
}

/// What became of a wish for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a lease that is held by another is no right to write"]
pub enum Acquired {
    /// It is granted.
    Granted(Lease),
    /// Another holder has this one, which is in force.
    Held(Lease),
}

/// Grants a session to one writer at a time.
///
/// A lease fences: each write that a driver of [`fenced`](Self::fenced) makes carries the lease's
/// token, and the store refuses it once the lease is another's. So a holder that was away, and comes
/// back after its lease went on to somebody else, can't do harm, however late it learns of it.
///
/// # The contract
///
/// 25. `acquire` grants a lease to one holder at a time. Another one is told who has it, until it is
///     released or has expired. The same holder is granted a new one in place of its own.
/// 26. Each grant has a larger token than all before, also those of released, expired and deleted ones.
/// 27. While a lease is in force, a write to its session through anything but the driver of `fenced` for that
///     lease is a `Fenced` error, whatever else would come of it, and changes nothing: insert, update, fold and
///     delete. Other sessions and reads are free.
/// 28. A write through the driver of `fenced` for a lease that was released, or that another one took the
///     place of, is a `Fenced` error and changes nothing. One that has expired is good for as long as nobody takes it.
/// 29. `take_over` grants the lease at once, whoever has it.
/// 30. `renew` gives the same lease, to end `ttl` from now, and is a `Fenced` error when it was released or another
///     one took its place. `release` ends a lease, and does nothing to another one.
/// 31. `holder` gives the lease in force, and `None` where there is none.
#[async_trait]
pub trait SessionLease: SessionPersistDriver {
    /// Asks for the session's lease.
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError>;

    /// Takes the session's lease from whoever has it.
    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError>;

    /// Puts the end of a lease off, to `ttl` from now.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError>;

    /// Gives a lease up.
    async fn release(&self, lease: &Lease) -> Result<(), PersistError>;

    /// The session's lease in force.
    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError>;

    /// The same store, for whoever has this lease: each write to the lease's session carries it.
    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver>;
}
