//! A store in memory with a gate at each operation, where a test lets it fail, be slow or stand still.
//! It may evict, whatever is running.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, ready};
use sandbox_agent_sdk::persist::{
    Acquired, Capabilities, Inserted, Lease, PersistError, PersistErrorKind, SessionLease, async_trait,
};
use sandbox_agent_sdk::{
    ListEventsRequest, ListPage, ListSessionsRequest, MemorySessionPersistDriver, SessionEvent,
    SessionPersistDriver, SessionRecord,
};
use tokio::sync::watch;

/// An error in place of the operation's result.
pub type Verdict = Result<(), PersistError>;

/// Is shown what is inserted.
type Gate = Arc<dyn Fn(Moment, Operation, &[SessionEvent]) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// When the gate is passed: a failure after the work leaves the work done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    GetSession,
    ListSessions,
    UpdateSession,
    ListEvents,
    /// Of one event or of many.
    Insert,
    DeleteSession,
    /// Whatever is asked of a lease.
    Lease,
}

#[derive(Default)]
pub struct GatedStore {
    store: MemorySessionPersistDriver,
    gate: Mutex<Option<Gate>>,
    /// How many events of a session it keeps; all unless told.
    keep: Option<u64>,
    leases: bool,
    promises_to_keep_all: bool,
}

impl GatedStore {
    /// One that grants leases. What is written under one passes no gate.
    pub fn leasing() -> Self {
        Self { leases: true, ..Self::default() }
    }

    /// One that promises to evict nothing, so that no turn is noted in the record while it runs.
    pub fn keeping_all() -> Self {
        Self { promises_to_keep_all: true, ..Self::default() }
    }

    /// One SDK's view of a store that others have too.
    pub fn over(store: &MemorySessionPersistDriver) -> Self {
        Self { store: store.clone(), ..Self::default() }
    }

    /// Keeps only so many of a session's newest events.
    pub fn evicting(keep: u64) -> Self {
        Self { keep: Some(keep), ..Self::default() }
    }

    /// From now on each operation passes this gate, before its work and after it.
    pub fn gate<F>(&self, gate: impl Fn(Moment, Operation) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Verdict> + Send + 'static,
    {
        self.set_gate(move |moment, operation, _| gate(moment, operation).boxed());
    }

    fn set_gate(
        &self,
        gate: impl Fn(Moment, Operation, &[SessionEvent]) -> BoxFuture<'static, Verdict> + Send + Sync + 'static,
    ) {
        *self.gate.lock().unwrap() = Some(Arc::new(gate));
    }

    /// From now on there is no gate.
    pub fn open(&self) {
        *self.gate.lock().unwrap() = None;
    }

    /// From now on these operations do nothing and fail.
    pub fn fail(&self, failing: Operation, kind: PersistErrorKind) {
        self.gate(move |_, operation| {
            let error = || PersistError::new(kind, "told to fail");
            ready(if operation == failing { Err(error()) } else { Ok(()) })
        });
    }

    /// From now on these operations take that much longer.
    pub fn delay(&self, slow: Operation, time: Duration) {
        self.gate(move |moment, operation| async move {
            if (moment, operation) == (Moment::Before, slow) {
                tokio::time::sleep(time).await;
            }
            Ok(())
        });
    }

    /// These operations stand still until what this returns is dropped.
    pub fn hold(&self, held: Operation) -> Held {
        self.hold_if(move |operation, _| operation == held)
    }

    /// The same for inserts of such events.
    pub fn hold_inserts(&self, held: impl Fn(&SessionEvent) -> bool + Send + Sync + 'static) -> Held {
        self.hold_if(move |_, events| events.iter().any(&held))
    }

    fn hold_if(&self, held: impl Fn(Operation, &[SessionEvent]) -> bool + Send + Sync + 'static) -> Held {
        let (reached, is_reached) = watch::channel(false);
        let (holding, released) = watch::channel(());
        self.set_gate(move |moment, operation, events| {
            let stands = moment == Moment::Before && held(operation, events);
            let (reached, mut released) = (reached.clone(), released.clone());
            let passing = async move {
                if stands {
                    reached.send_replace(true);
                    // Nothing is ever sent: this ends with the sender.
                    let _ = released.changed().await;
                }
                Ok(())
            };
            passing.boxed()
        });
        Held { is_reached, _holding: holding }
    }

    async fn pass(&self, moment: Moment, operation: Operation, events: &[SessionEvent]) -> Verdict {
        let gate = self.gate.lock().unwrap().clone();
        match gate {
            Some(gate) => gate(moment, operation, events).await,
            None => Ok(()),
        }
    }

    async fn through<T>(
        &self,
        operation: Operation,
        events: &[SessionEvent],
        work: impl Future<Output = Result<T, PersistError>> + Send,
    ) -> Result<T, PersistError> {
        self.pass(Moment::Before, operation, events).await?;
        let done = work.await;
        self.pass(Moment::After, operation, events).await?;
        done
    }

    /// Up to which index the session's events are evicted.
    async fn evicted(&self, session_id: &str) -> Result<u64, PersistError> {
        let Some(keep) = self.keep else { return Ok(0) };
        let newest = ListEventsRequest::new(session_id).descending().limit(1);
        let newest = self.store.list_events(newest).await?;
        Ok(newest.items.first().map_or(0, |event| event.event_index.saturating_sub(keep)))
    }

    async fn list_kept(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let evicted = self.evicted(&request.session_id).await?;
        if let Some(after) = request.after_index.filter(|after| *after < evicted) {
            return Err(PersistError::evicted(&request.session_id, after + 1, evicted));
        }
        let mut page = self.store.list_events(request).await?;
        if page.items.iter().any(|event| event.event_index <= evicted) {
            page.items.retain(|event| event.event_index > evicted);
            page.next_cursor = None;
        }
        Ok(page)
    }
}

/// Operations that stand still as long as this lives.
pub struct Held {
    is_reached: watch::Receiver<bool>,
    _holding: watch::Sender<()>,
}

impl Held {
    /// Waits until an operation stands still.
    pub async fn reached(&mut self) {
        self.is_reached.wait_for(|reached| *reached).await.unwrap();
    }
}

#[async_trait]
impl SessionPersistDriver for GatedStore {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new();
        capabilities.evicts = !self.promises_to_keep_all;
        capabilities.leases = self.leases;
        capabilities
    }
    fn leases(&self) -> Option<&dyn SessionLease> {
        self.leases.then_some(self as _)
    }
    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.through(Operation::GetSession, &[], self.store.get_session(id)).await
    }
    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.through(Operation::ListSessions, &[], self.store.list_sessions(request)).await
    }
    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.through(Operation::UpdateSession, &[], self.store.update_session(record)).await
    }
    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.through(Operation::ListEvents, &[], self.list_kept(request)).await
    }
    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        let shown = [event.clone()];
        self.through(Operation::Insert, &shown, self.store.insert_event(session_id, event)).await
    }
    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        let shown = events.clone();
        self.through(Operation::Insert, &shown, self.store.insert_events(session_id, events)).await
    }
    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.through(Operation::DeleteSession, &[], self.store.delete_session(id)).await
    }
}

#[async_trait]
impl SessionLease for GatedStore {
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError> {
        self.through(Operation::Lease, &[], self.store.acquire(session_id, holder, ttl)).await
    }
    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError> {
        self.through(Operation::Lease, &[], self.store.take_over(session_id, holder, ttl)).await
    }
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        self.through(Operation::Lease, &[], self.store.renew(lease, ttl)).await
    }
    async fn release(&self, lease: &Lease) -> Result<(), PersistError> {
        self.through(Operation::Lease, &[], self.store.release(lease)).await
    }
    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError> {
        self.through(Operation::Lease, &[], self.store.holder(session_id)).await
    }
    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver> {
        self.store.fenced(lease)
    }
}

impl fmt::Debug for GatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedStore").field("store", &self.store).finish_non_exhaustive()
    }
}
