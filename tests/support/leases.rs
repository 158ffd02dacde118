//! A store in memory that can be made slow at granting, renewing and taking back leases, as one on
//! another machine is: the work is done, and its answer takes a while.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use sandbox_agent_sdk::persist::{
    Acquired, Capabilities, Inserted, Lease, PersistError, SessionLease, async_trait,
};
use sandbox_agent_sdk::{
    ListEventsRequest, ListPage, ListSessionsRequest, MemorySessionPersistDriver, SessionEvent,
    SessionPersistDriver, SessionRecord,
};

/// What is done with a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Acquire,
    Renew,
    Release,
}

/// What happens between a deed and its answer.
type Meanwhile = Arc<dyn Fn(Deed) -> BoxFuture<'static, ()> + Send + Sync>;

#[derive(Clone, Default)]
pub struct SlowLeases {
    store: MemorySessionPersistDriver,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

impl SlowLeases {
    /// One SDK's view of a store that others have too.
    pub fn over(store: &MemorySessionPersistDriver) -> Self {
        Self { store: store.clone(), ..Self::default() }
    }

    /// From now on this happens before whoever did something with a lease is answered.
    pub fn meanwhile<F>(&self, meanwhile: impl Fn(Deed) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.meanwhile.lock().unwrap() = Some(Arc::new(move |deed| meanwhile(deed).boxed()));
    }

    /// From now on the answer to this takes that long.
    pub fn delay(&self, slow: Deed, time: Duration) {
        self.meanwhile(move |deed| async move {
            if deed == slow {
                tokio::time::sleep(time).await;
            }
        });
    }

    async fn did(&self, deed: Deed) {
        let meanwhile = self.meanwhile.lock().unwrap().clone();
        if let Some(meanwhile) = meanwhile {
            meanwhile(deed).await;
        }
    }

    fn leases_of_store(&self) -> &dyn SessionLease {
        self.store.leases().unwrap()
    }
}

#[async_trait]
impl SessionPersistDriver for SlowLeases {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().evicts().leases()
    }
    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.store.get_session(id).await
    }
    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.store.list_sessions(request).await
    }
    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.store.update_session(record).await
    }
    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.store.list_events(request).await
    }
    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.store.insert_event(session_id, event).await
    }
    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await
    }
    fn leases(&self) -> Option<&dyn SessionLease> {
        Some(self)
    }
}

#[async_trait]
impl SessionLease for SlowLeases {
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError> {
        let acquired = self.leases_of_store().acquire(session_id, holder, ttl).await;
        self.did(Deed::Acquire).await;
        acquired
    }
    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError> {
        let taken = self.leases_of_store().take_over(session_id, holder, ttl).await;
        self.did(Deed::Acquire).await;
        taken
    }
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        let renewed = self.leases_of_store().renew(lease, ttl).await;
        self.did(Deed::Renew).await;
        renewed
    }
    async fn release(&self, lease: &Lease) -> Result<(), PersistError> {
        let released = self.leases_of_store().release(lease).await;
        self.did(Deed::Release).await;
        released
    }
    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError> {
        self.leases_of_store().holder(session_id).await
    }
    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver> {
        self.leases_of_store().fenced(lease)
    }
}

impl std::fmt::Debug for SlowLeases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlowLeases").field("store", &self.store).finish_non_exhaustive()
    }
}
