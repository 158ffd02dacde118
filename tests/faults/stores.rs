//! Stores that fail, stand still, or have another writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::persist::{Capabilities, Inserted, PersistError, PersistErrorKind, async_trait};
use sandbox_agent_sdk::{
    Delivery, ErrorKind, ListEventsRequest, ListPage, ListSessionsRequest, MemorySessionPersistDriver,
    SandboxAgent, SessionEvent, SessionPersistDriver, SessionRecord, SessionState,
};

use crate::support::{assert_sound, recorded, request, said, stored, updates};
use crate::{limits, sandbox};

/// Fails its inserts while it is told to.
#[derive(Debug, Default)]
struct Failing {
    store: MemorySessionPersistDriver,
    failing: AtomicBool,
    /// Whether trying again may help.
    passing: AtomicBool,
    calls: AtomicUsize,
    /// Whether it stores first and fails then.
    after: AtomicBool,
}

impl Failing {
    fn verdict(&self) -> Result<(), PersistError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.failing.load(Ordering::SeqCst) {
            return Ok(());
        }
        if self.passing.load(Ordering::SeqCst) {
            // One failure, then it works again.
            self.failing.store(false, Ordering::SeqCst);
            return Err(PersistError::new(PersistErrorKind::Unavailable, "busy"));
        }
        Err(PersistError::new(PersistErrorKind::Other, "the disk is full"))
    }
}

#[async_trait]
impl SessionPersistDriver for Failing {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
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
        if self.after.load(Ordering::SeqCst) {
            let inserted = self.store.insert_event(session_id, event).await;
            self.verdict()?;
            return inserted;
        }
        self.verdict()?;
        self.store.insert_event(session_id, event).await
    }
    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await
    }
}

async fn with_store(sandbox: &sandbox_agent_testkit::Sandbox, driver: Arc<Failing>) -> SandboxAgent {
    SandboxAgent::builder(sandbox.url()).persist(driver).limits(limits()).connect().await.unwrap()
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_sent() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Failing::default());
    let sdk = with_store(&sandbox, driver.clone()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    driver.failing.store(true, Ordering::SeqCst);
    let error = session.prompt("say no").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Persist(PersistErrorKind::Other));
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
    assert!(sandbox.prompts_received().is_empty());
    session.state().wait_for(|state| *state == SessionState::Closed).await.unwrap();

    driver.failing.store(false, Ordering::SeqCst);
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    session.prompt("say yes").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "yes");
}

#[tokio::test]
async fn a_store_that_fails_in_a_turn_ends_it_for_everybody_who_waits() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Failing::default());
    let sdk = with_store(&sandbox, driver.clone()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("stream 100 rate=200");
    let failing = driver.clone();
    let mut events = session.events(sandbox_agent_sdk::From::Now);
    let waiting = session.prompt("say never");
    futures::StreamExt::next(&mut events).await.unwrap().unwrap();
    failing.failing.store(true, Ordering::SeqCst);
    assert!(turn.await.unwrap_err().is_persist());
    assert_eq!(waiting.await.unwrap_err().delivery(), Some(Delivery::NotSent));
    let mut last = None;
    while let Some(event) = futures::StreamExt::next(&mut events).await {
        last = Some(event);
    }
    assert!(last.unwrap().unwrap_err().is_persist(), "subscribers are told too");
    assert_sound(&stored(&driver.store, "one").await);
}

#[tokio::test]
async fn a_store_that_is_busy_for_a_moment_is_tried_again() {
    for after in [false, true] {
        let sandbox = sandbox().await;
        let driver = Arc::new(Failing::default());
        driver.passing.store(true, Ordering::SeqCst);
        // An insert that worked and reported a failure is tried again too, and stored once.
        driver.after.store(after, Ordering::SeqCst);
        let sdk = with_store(&sandbox, driver.clone()).await;
        let session = sdk.create_session(request("one")).await.unwrap();
        driver.failing.store(true, Ordering::SeqCst);
        session.prompt("stream 50").await.unwrap();
        assert!(!driver.failing.load(Ordering::SeqCst), "it failed once");
        let events = recorded(&session).await;
        assert_sound(&events);
        assert_eq!(updates(&events), (1..=50).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_of_one_session_leave_no_hole_and_lose_nothing() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let driver = SqliteSessionPersistDriver::open(&file).await.unwrap();
        let sdk =
            SandboxAgent::builder(sandbox.url()).persist(driver).limits(limits()).connect().await.unwrap();
        sessions.push((sdk.resume_or_create_session(request("one")).await.unwrap(), sdk));
    }
    let [(one, _a), (two, _b)] = sessions.as_slice() else { unreachable!() };
    let turns =
        tokio::join!(async { one.prompt("stream 500").await }, async { two.prompt("stream 500").await });
    turns.0.unwrap();
    turns.1.unwrap();
    let driver = SqliteSessionPersistDriver::open(&file).await.unwrap();
    let events = stored(&driver, "one").await;
    assert_sound(&events);
    assert_eq!(updates(&events).len(), 1000);
    // Both see all of it once they have written again.
    one.prompt("say one").await.unwrap();
    let seen = recorded(one).await;
    assert_sound(&seen);
    assert!(updates(&seen).len() == 1000);
}

#[tokio::test]
async fn a_store_that_never_answers_ends_within_its_limit() {
    #[derive(Debug)]
    struct Silent;
    #[async_trait]
    impl SessionPersistDriver for Silent {
        fn capabilities(&self) -> Capabilities {
            Capabilities::new()
        }
        async fn get_session(&self, _: &str) -> Result<Option<SessionRecord>, PersistError> {
            std::future::pending().await
        }
        async fn list_sessions(
            &self,
            _: ListSessionsRequest,
        ) -> Result<ListPage<SessionRecord>, PersistError> {
            std::future::pending().await
        }
        async fn update_session(&self, _: SessionRecord) -> Result<(), PersistError> {
            std::future::pending().await
        }
        async fn list_events(&self, _: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
            std::future::pending().await
        }
        async fn insert_event(&self, _: &str, _: SessionEvent) -> Result<Inserted, PersistError> {
            std::future::pending().await
        }
        async fn delete_session(&self, _: &str) -> Result<(), PersistError> {
            std::future::pending().await
        }
    }
    let sandbox = sandbox().await;
    let limits = limits().store(Duration::from_millis(200));
    let sdk = SandboxAgent::builder(sandbox.url()).persist(Silent).limits(limits).connect().await.unwrap();
    let error = sdk.create_session(request("one")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Persist(PersistErrorKind::Unavailable));
}
