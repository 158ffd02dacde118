//! The driver: a handle of a shared store.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sandbox_agent_persist::{
    Acquired, Capabilities, Inserted, Lease, ListEventsRequest, ListPage, ListSessionsRequest, PersistError,
    SessionEvent, SessionFollow, SessionLease, SessionPersistDriver, SessionRecord, SessionUpkeep, Usage,
};
use tokio::sync::Notify;

use crate::MemoryOptions;
use crate::store::Store;

/// Keeps sessions in memory, within the limits of its [`MemoryOptions`].
///
/// Clones are handles of the same store, which ends with the last one. No call waits for
/// anything but the store's lock, which is held for one insert, one batch or one page.
#[derive(Clone, Default)]
pub struct MemorySessionPersistDriver {
    shared: Arc<Shared>,
    /// The lease that writes to its session carry.
    fence: Option<Lease>,
}

#[derive(Default)]
struct Shared {
    store: Mutex<Store>,
    inserted: Notify,
}

impl MemorySessionPersistDriver {
    /// An empty store with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with these limits.
    pub fn with_options(options: MemoryOptions) -> Self {
        let store = Mutex::new(Store::new(options));
        Self { shared: Arc::new(Shared { store, inserted: Notify::new() }), fence: None }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing panics while it holds the lock, so that a poisoned store is whole all the same.
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, for a write to this session.
    fn writable(&self, session_id: &str) -> Result<MutexGuard<'_, Store>, PersistError> {
        let store = self.store();
        store.leases.check(session_id, self.fence.as_ref())?;
        Ok(store)
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
        Capabilities::new().evicts().leases().follows().upkeep()
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
        self.writable(&record.id)?.update(record)
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.store().list_events(&request)
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.insert_events(session_id, vec![event]).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        let mut store = self.writable(session_id)?;
        let inserted = insert_all(&mut store, session_id, events);
        drop(store);
        self.shared.inserted.notify_waiters();
        inserted
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        let deleted = self.writable(id)?.delete(id);
        drop(deleted);
        Ok(())
    }

    fn leases(&self) -> Option<&dyn SessionLease> {
        Some(self)
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        Some(self)
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        Some(self)
    }
}

fn insert_all(
    store: &mut Store,
    session_id: &str,
    events: Vec<SessionEvent>,
) -> Result<Inserted, PersistError> {
    for event in events {
        match store.insert(session_id, event)? {
            Inserted::Stored => {}
            stopped => return Ok(stopped),
        }
    }
    Ok(Inserted::Stored)
}

#[async_trait]
impl SessionLease for MemorySessionPersistDriver {
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError> {
        Ok(self.store().leases.acquire(session_id, holder, ttl))
    }

    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError> {
        Ok(self.store().leases.grant(session_id, holder, ttl))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        self.store().leases.renew(lease, ttl)
    }

    async fn release(&self, lease: &Lease) -> Result<(), PersistError> {
        self.store().leases.release(lease);
        Ok(())
    }

    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError> {
        Ok(self.store().leases.in_force(session_id).cloned())
    }

    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver> {
        Arc::new(Self { shared: self.shared.clone(), fence: Some(lease.clone()) })
    }
}

#[async_trait]
impl SessionFollow for MemorySessionPersistDriver {
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
        loop {
            let mut inserted = pin!(self.shared.inserted.notified());
            // Before looking, so that nothing comes in between.
            inserted.as_mut().enable();
            let last = self.store().next_index(session_id) - 1;
            if last > after_index {
                return Ok(last);
            }
            inserted.await;
        }
    }
}

#[async_trait]
impl SessionUpkeep for MemorySessionPersistDriver {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        Ok(self.store().usage(session_id))
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        self.writable(session_id)?.fold(session_id, folded)
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        Ok(())
    }
}
