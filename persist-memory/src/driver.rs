//! The driver: a handle of a shared store.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sandbox_agent_persist::{
    Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError, SessionEvent,
    SessionPersistDriver, SessionRecord, SessionUpkeep, Usage,
};

use crate::MemoryOptions;
use crate::store::Store;

/// Keeps sessions in memory, within the limits of its [`MemoryOptions`].
///
/// Clones are handles of the same store, which ends with the last one. No call waits for
/// anything but the store's lock, which is held for one insert, one batch or one page.
#[derive(Clone, Default)]
pub struct MemorySessionPersistDriver {
    store: Arc<Mutex<Store>>,
}

impl MemorySessionPersistDriver {
    /// An empty store with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with these limits.
    pub fn with_options(options: MemoryOptions) -> Self {
        Self { store: Arc::new(Mutex::new(Store::new(options))) }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing panics while it holds the lock, so that a poisoned store is whole all the same.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemorySessionPersistDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MemorySessionPersistDriver");
        for (name, count) in self.store().counts() {
            shown.field(name, &count);
        }
        shown.finish()
    }
}

#[async_trait]
impl SessionPersistDriver for MemorySessionPersistDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().evicts().upkeep()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        Ok(self.store().record(id))
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.store().list_sessions(&request)
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.store().update(record)
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.store().list_events(&request)
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.store().insert(session_id, event)
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        let mut store = self.store();
        for event in events {
            match store.insert(session_id, event)? {
                Inserted::Stored => {}
                stopped => return Ok(stopped),
            }
        }
        Ok(Inserted::Stored)
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        let deleted = self.store().delete(id);
        drop(deleted);
        Ok(())
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        Some(self)
    }
}

#[async_trait]
impl SessionUpkeep for MemorySessionPersistDriver {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        Ok(self.store().usage(session_id))
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        self.store().fold(session_id, folded)
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        Ok(())
    }
}
