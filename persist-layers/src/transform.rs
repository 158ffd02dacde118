//! What a layer does to all that passes it.

use std::fmt::Debug;

use sandbox_agent_persist::{PersistError, SessionEvent, SessionFilter, SessionRecord};

/// What a [`Layer`](crate::Layer) does to records and events on their way into a store and out of it.
///
/// The store must be able to go by what it is given: ids, indexes, runs, the session that an event belongs to
/// and the creation time of a record are to stay as they are.
pub trait Transform: Debug + Send + Sync + 'static {
    /// The record that is stored in place of this one.
    fn record_in(&self, record: SessionRecord) -> Result<SessionRecord, PersistError>;

    /// The event that is stored in place of this one.
    fn event_in(&self, event: SessionEvent) -> Result<SessionEvent, PersistError>;

    /// The record that is read where this one is stored.
    fn record_out(&self, record: SessionRecord) -> Result<SessionRecord, PersistError> {
        Ok(record)
    }

    /// The event that is read where this one is stored.
    fn event_out(&self, event: SessionEvent) -> Result<SessionEvent, PersistError> {
        Ok(event)
    }

    /// The part of a filter that the store can answer by what it holds. The layer sees to the others.
    fn stored_filter(&self, filter: &SessionFilter) -> SessionFilter {
        filter.clone()
    }

    /// Whether a payload is read with as many bytes as it is stored with. Where it isn't, the usage of a
    /// session is counted by reading it.
    fn keeps_sizes(&self) -> bool {
        true
    }
}
