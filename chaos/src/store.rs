//! A store that misbehaves as planned, and that a killed client can't write to any more.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sandbox_agent_sdk::persist::{Capabilities, Inserted, PersistError, PersistErrorKind, async_trait};
use sandbox_agent_sdk::{
    ListEventsRequest, ListPage, ListSessionsRequest, SessionEvent, SessionPersistDriver, SessionRecord,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::log::{Line, Log};
use crate::oracle::BROKEN;
use crate::plan::{StoreFault, StoreTrouble};

pub(crate) struct FaultyStore {
    pub(crate) store: Arc<dyn SessionPersistDriver>,
    pub(crate) faults: Vec<StoreFault>,
    /// When the seed began.
    pub(crate) began: Instant,
    /// Nothing gets through once this is set.
    pub(crate) killed: watch::Receiver<bool>,
    pub(crate) log: Log,
    /// Every second failure comes after the work was done.
    late: AtomicBool,
    told: Vec<AtomicBool>,
}

impl FaultyStore {
    pub(crate) fn new(
        store: Arc<dyn SessionPersistDriver>,
        faults: &[StoreFault],
        began: Instant,
        killed: watch::Receiver<bool>,
        log: Log,
    ) -> Self {
        let told = faults.iter().map(|_| AtomicBool::new(false)).collect();
        Self { store, faults: faults.to_vec(), began, killed, log, late: AtomicBool::new(false), told }
    }

    fn trouble(&self) -> Option<StoreTrouble> {
        let now = self.began.elapsed();
        let place = self.faults.iter().position(|fault| (fault.from..fault.until).contains(&now))?;
        let what = self.faults[place].what;
        let first = !self.told[place].swap(true, Ordering::Relaxed);
        if first {
            let kind = match what {
                StoreTrouble::Unavailable => "store-error",
                StoreTrouble::Slow(_) => "slow-store",
                StoreTrouble::Broken => BROKEN,
            };
            self.log.write(Line::Trouble { kind: kind.to_owned() });
        }
        (first || what != StoreTrouble::Broken).then_some(what)
    }

    async fn through<T>(
        &self,
        work: impl Future<Output = Result<T, PersistError>> + Send,
    ) -> Result<T, PersistError> {
        let mut killed = self.killed.clone();
        let killed = async move { killed.wait_for(|killed| *killed).await.is_ok() };
        tokio::select! {
            biased;
            true = killed => std::future::pending().await,
            done = self.meet(work) => done,
        }
    }

    async fn meet<T>(
        &self,
        work: impl Future<Output = Result<T, PersistError>> + Send,
    ) -> Result<T, PersistError> {
        let failure = |kind| Err(PersistError::new(kind, "told to fail"));
        match self.trouble() {
            None => work.await,
            Some(StoreTrouble::Slow(time)) => {
                sleep(time).await;
                work.await
            }
            Some(StoreTrouble::Unavailable) if self.late.fetch_not(Ordering::Relaxed) => {
                work.await?;
                failure(PersistErrorKind::Unavailable)
            }
            Some(StoreTrouble::Unavailable) => failure(PersistErrorKind::Unavailable),
            Some(StoreTrouble::Broken) => failure(PersistErrorKind::Other),
        }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("store", &self.store).finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionPersistDriver for FaultyStore {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.through(self.store.get_session(id)).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.through(self.store.list_sessions(request)).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.through(self.store.update_session(record)).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.through(self.store.list_events(request)).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.through(self.store.insert_event(session_id, event)).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        self.through(self.store.insert_events(session_id, events)).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.through(self.store.delete_session(id)).await
    }
}
