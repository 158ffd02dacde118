//! The contract between the SDK and a store.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Capabilities, ListEventsRequest, ListPage, ListSessionsRequest, PersistError, SessionEvent,
    SessionFollow, SessionLease, SessionRecord, SessionUpkeep,
};

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an event that was not stored must be renumbered or dropped"]
pub enum Inserted {
    /// The store has it, at the index that it came with.
    Stored,
    /// The store had its id already, at whatever index; nothing was changed.
    Duplicate,
    /// Its index is not the next one, because another writer was faster; nothing was changed.
    /// Number it anew and try again.
    Conflict {
        /// The index that the next event must have.
        next_index: u64,
    },
}

/// Keeps sessions and their events.
///
/// # The contract
///
/// Each sentence is a case of the `conformance` suite (feature `conformance`).
///
/// **Records**
/// 1. `update_session` stores the record whole, in place of the one with the same id.
/// 2. `get_session` returns what was last stored, unknown members included, and `None` for an unknown id.
/// 3. `list_sessions` gives every session once, ordered by `(created_at, id)`, either way.
///
/// **Events**
/// 4. An event is stored only if it begins at the session's next index; the first is 1. Any other is a `Conflict` that names the next.
/// 5. An event whose id is known to the store is a `Duplicate`, whatever its index, and changes nothing. This is checked before the index.
/// 6. `list_events` gives an event byte for byte as it came, ordered by index, either way.
/// 7. Each session counts for itself, and events may come before the record. An event that names
///    another session than the call is an error.
/// 8. An insert that returned is seen by every later read, through any clone of the driver.
/// 9. `insert_events` stores the whole batch or a prefix of it. It stops at the first event that is a
///    `Duplicate` or a `Conflict` and returns that; those before it were stored, and nothing else.
/// 10. Of many inserts at once with the same index, exactly one is `Stored`.
/// 11. A call that is dropped before it returned has stored its events whole, as a prefix, or not at all.
///
/// **Lists**
/// 12. Following `next_cursor` gives every item once, also while others insert; `None` ends it.
/// 13. `after_index` and `before_index` are exclusive, and a page has at most `limit` items.
/// 14. A cursor that the store did not give out is an `InvalidCursor` error.
///
/// **Deletion and eviction**
/// 15. `delete_session` removes the record and all its events, touches no other session, and is no error
///     for an unknown id. A session that comes again under the id begins at 1.
/// 16. A store that evicts drops only the oldest events of a session, or a session whole, and never
///     gives an index out again.
/// 17. A list that is asked to begin at an evicted event, by `after_index`, `before_index` or cursor, is
///     an `Evicted { from, to }` error. With no position given, the list begins or ends at the oldest event held.
///
/// **Durability**
/// 18. With `durable`, what an insert or update returned for is there when the store is opened again
///     without having been closed.
///
/// **Catalogue**
/// 19. A list with a filter gives just the sessions that `SessionFilter::matches`, in the same order and pages.
///
/// **Runs**
/// 20. An event that stands for a run takes all its indexes: it begins at `first_index`, and the next event after its last.
///     It comes back with its run.
/// 21. A run is in a list if any of its indexes is within the bounds, and once whatever the pages.
///
/// The sentences from 22 on are those of the parts that a driver may leave out: [`SessionUpkeep`],
/// [`SessionFollow`] and [`SessionLease`].
///
/// Cloning a driver, or wrapping it in an `Arc`, gives another handle of the same store.
///
/// # Errors
/// A method that fails for a passing reason returns `Unavailable`: the SDK tries it again within its
/// budget, so a driver need not retry by itself. The SDK also bounds each call in time and drops it then.
#[async_trait]
pub trait SessionPersistDriver: Debug + Send + Sync + 'static {
    /// What this store promises beyond the contract.
    fn capabilities(&self) -> Capabilities;

    /// The record with this id.
    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError>;

    /// A page of records.
    ///
    /// A record that can't be read is in none. Where a driver can go on behind it, the page before ends in front of
    /// it, and the next one is an error whose [`unreadable`](PersistError::unreadable) names it and has the cursor
    /// of the page behind.
    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError>;

    /// Stores a record, in place of the one with the same id.
    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError>;

    /// A page of events.
    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError>;

    /// Stores one event.
    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError>;

    /// Stores many events of one session, in their order; the provided one inserts them one by one.
    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        for event in events {
            match self.insert_event(session_id, event).await? {
                Inserted::Stored => {}
                stopped => return Ok(stopped),
            }
        }
        Ok(Inserted::Stored)
    }

    /// Removes a session with all its events.
    async fn delete_session(&self, id: &str) -> Result<(), PersistError>;

    /// The leases, of a driver that has [`Capabilities::leases`].
    fn leases(&self) -> Option<&dyn SessionLease> {
        None
    }

    /// The way to wait for events, of a driver that has [`Capabilities::follows`].
    fn follow(&self) -> Option<&dyn SessionFollow> {
        None
    }

    /// The upkeep, of a driver that has [`Capabilities::upkeep`].
    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        None
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<D: SessionPersistDriver + ?Sized> SessionPersistDriver for Arc<D> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        (**self).get_session(id).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        (**self).list_sessions(request).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        (**self).update_session(record).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        (**self).list_events(request).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        (**self).insert_event(session_id, event).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        (**self).insert_events(session_id, events).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        (**self).delete_session(id).await
    }

    fn leases(&self) -> Option<&dyn SessionLease> {
        (**self).leases()
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        (**self).follow()
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        (**self).upkeep()
    }
}
