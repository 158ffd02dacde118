//! Following: being told of events that others stored.

use async_trait::async_trait;

use crate::{PersistError, SessionPersistDriver};

/// Tells whoever waits for an event that there is one, on whatever machine it was stored.
///
/// # The contract
///
/// 24. `changed` returns once the session has an event after `after_index`, whoever stored it through
///     whichever handle or process, and at once when it has one already. It gives an index that the session has come to.
///
/// A driver bounds neither the wait nor their number: whoever waits drops the call when it has waited
/// enough, at no harm. A connection that broke is the driver's to replace, without missing anything; what it can't
/// replace is an `Unavailable` error.
#[async_trait]
pub trait SessionFollow: SessionPersistDriver {
    /// Waits until the session has an event after this index, and gives an index that it has come to.
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError>;
}
