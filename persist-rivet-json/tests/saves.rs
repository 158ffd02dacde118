//! When the state is saved, and what a save that fails means.
#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kit::{Driver, event, limits};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, PersistError, PersistErrorKind, SessionPersistDriver, SessionRecord,
    async_trait,
};
use sandbox_agent_persist_rivet_json::{ActorState, Content, ValueState};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A state that is durable, counts its saves, and makes one for each permit.
#[derive(Debug)]
struct Slow {
    saved: Mutex<Option<String>>,
    saves: AtomicUsize,
    fails: AtomicBool,
    permits: Semaphore,
}

impl Slow {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            saved: Mutex::default(),
            saves: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            permits: Semaphore::new(permits),
        })
    }

    fn saved(&self) -> Value {
        self.saved
            .lock()
            .unwrap()
            .as_deref()
            .map_or(Value::Null, |saved| serde_json::from_str(saved).unwrap())
    }

    fn saves(&self) -> usize {
        self.saves.load(Ordering::SeqCst)
    }

    /// Waits until so many saves were begun.
    async fn begun(&self, saves: usize) {
        while self.saves() < saves {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl ActorState for Slow {
    async fn read(&self, _key: &str) -> Result<Option<String>, PersistError> {
        Ok(self.saved.lock().unwrap().clone())
    }

    async fn save(&self, _key: &str, content: &Content) -> Result<(), PersistError> {
        self.saves.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        if self.fails.load(Ordering::SeqCst) {
            return Err(PersistError::new(PersistErrorKind::Unavailable, "the disk is full"));
        }
        *self.saved.lock().unwrap() = Some(content.json());
        Ok(())
    }

    fn is_durable(&self) -> bool {
        true
    }
}

async fn open(state: &Arc<Slow>) -> Driver {
    Driver::open_with_options(state.clone(), limits()).await.unwrap()
}

fn insert(
    store: &Driver,
    session: &str,
    index: u64,
) -> impl Future<Output = Result<Inserted, PersistError>> + use<> {
    let (store, session) = (store.clone(), session.to_owned());
    async move { store.insert_event(&session, event(&session, index, "null")).await }
}

async fn stored(store: &Driver, session: &str, index: u64) {
    assert_eq!(insert(store, session, index).await.unwrap(), Inserted::Stored);
}

#[tokio::test]
async fn inserts_at_once_share_their_saves() {
    let state = Slow::new(usize::MAX >> 3);
    let store = open(&state).await;
    let mut inserts = JoinSet::new();
    for number in 0..64 {
        inserts.spawn(insert(&store, &format!("session {number}"), 1));
    }
    for inserted in inserts.join_all().await {
        assert_eq!(inserted.unwrap(), Inserted::Stored);
    }
    assert!((1..=4).contains(&state.saves()), "{} saves", state.saves());
    assert_eq!(state.saved()["events"].as_object().unwrap().len(), 64);
}

#[tokio::test]
async fn an_insert_returns_after_the_save_that_has_it() {
    let state = Slow::new(0);
    let store = open(&state).await;
    let first = tokio::spawn(insert(&store, "a", 1));
    state.begun(1).await;
    // It comes too late for the save that runs.
    let second = tokio::spawn(insert(&store, "b", 1));
    while store.content().to_value()["events"]["b"].is_null() {
        tokio::task::yield_now().await;
    }
    state.permits.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap(), Inserted::Stored);
    state.begun(2).await;
    assert!(!second.is_finished());
    state.permits.add_permits(1);
    assert_eq!(second.await.unwrap().unwrap(), Inserted::Stored);
    assert_eq!(state.saved()["events"]["b"][0]["id"], "b.1");
}

#[tokio::test]
async fn what_was_not_saved_is_not_read_and_not_a_duplicate() {
    let state = Slow::new(2);
    let store = open(&state).await;
    stored(&store, "old", 1).await;
    state.fails.store(true, Ordering::SeqCst);
    let failed = insert(&store, "s", 1).await.unwrap_err();
    assert_eq!(failed.kind(), PersistErrorKind::Unavailable);
    assert_eq!(failed.to_string(), "the disk is full");

    // What is on the disk can be read all the while, without another save.
    let old = store.list_events(ListEventsRequest::new("old")).await.unwrap();
    assert_eq!(old.items.len(), 1);
    assert_eq!(state.saves(), 2);

    state.permits.add_permits(3);
    let read = store.list_events(ListEventsRequest::new("s")).await.unwrap_err();
    assert_eq!(read.kind(), PersistErrorKind::Unavailable);
    let again = insert(&store, "s", 1).await.unwrap_err();
    assert_eq!(again.kind(), PersistErrorKind::Unavailable);
    let waits = store.follow().unwrap().changed("s", 0).await.unwrap_err();
    assert_eq!(waits.kind(), PersistErrorKind::Unavailable);

    state.fails.store(false, Ordering::SeqCst);
    state.permits.add_permits(1);
    assert_eq!(insert(&store, "s", 1).await.unwrap(), Inserted::Duplicate);
    assert_eq!(state.saved()["events"]["s"][0]["id"], "s.1");
    assert_eq!(store.follow().unwrap().changed("s", 0).await.unwrap(), 1);
}

#[tokio::test]
async fn all_that_wait_for_a_save_share_its_failure() {
    let state = Slow::new(0);
    state.fails.store(true, Ordering::SeqCst);
    let store = open(&state).await;
    let mut inserts = JoinSet::new();
    for number in 0..16 {
        inserts.spawn(insert(&store, &format!("session {number}"), 1));
    }
    state.begun(1).await;
    state.permits.add_permits(100);
    for inserted in inserts.join_all().await {
        assert_eq!(inserted.unwrap_err().kind(), PersistErrorKind::Unavailable);
    }
    assert!(state.saves() <= 2, "{} saves", state.saves());
}

#[tokio::test]
async fn a_dropped_call_is_saved_all_the_same_and_one_save_runs_at_a_time() {
    let state = Slow::new(0);
    let store = open(&state).await;
    let first = tokio::spawn(insert(&store, "a", 1));
    state.begun(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = tokio::spawn(insert(&store, "b", 1));
    while store.content().to_value()["events"]["b"].is_null() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(state.saves(), 1, "the first is still under way");
    state.permits.add_permits(2);
    assert_eq!(second.await.unwrap().unwrap(), Inserted::Stored);
    assert_eq!(state.saved()["events"]["a"][0]["id"], "a.1");
    assert_eq!(state.saves(), 2);
}

#[tokio::test]
async fn what_changes_nothing_is_not_saved() {
    let state = Slow::new(1);
    let store = open(&state).await;
    store.delete_session("never there").await.unwrap();
    assert_eq!(insert(&store, "s", 7).await.unwrap(), Inserted::Conflict { next_index: 1 });
    assert_eq!(state.saves(), 0);
    assert_eq!(insert(&store, "s", 1).await.unwrap(), Inserted::Stored);
    assert_eq!(insert(&store, "s", 1).await.unwrap(), Inserted::Duplicate);
    assert_eq!(store.list_events(ListEventsRequest::new("s")).await.unwrap().items.len(), 1);
    assert_eq!(state.saves(), 1);
}

#[tokio::test]
async fn a_record_that_could_not_be_read_back_is_refused() {
    let store = Driver::in_process(limits());
    let mut record = SessionRecord::new("s", "codex", 1);
    record.extra.insert("agent".to_owned(), json!("another"));
    let refused = store.update_session(record).await.unwrap_err();
    assert!(refused.to_string().contains("record of session \"s\""), "{refused}");
    let mut record = SessionRecord::new("s", "codex", 1);
    let mut deep = json!(1);
    for _ in 0..101 {
        deep = json!([deep]);
    }
    record.modes = Some(deep);
    let refused = store.update_session(record).await.unwrap_err();
    assert!(refused.to_string().contains("deeper than 100"), "{refused}");
    assert!(store.get_session("s").await.unwrap().is_none());
}

#[tokio::test]
async fn a_driver_on_a_value_takes_over_from_the_one_before() {
    let state = ValueState::new();
    let first = Driver::open(state.clone()).await.unwrap();
    let odd = r#"{ "n": 1e2, "text": "\ud800" }"#;
    let inserted = first.insert_event("s", event("s", 1, odd)).await.unwrap();
    assert_eq!(inserted, Inserted::Stored);

    let second = Driver::open(state.clone()).await.unwrap();
    assert_eq!(kit::held(&second, "s").await[0].payload.get(), odd, "byte for byte");
    let refused = insert(&first, "s", 2).await.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::Fenced);
    assert!(refused.to_string().contains("write through that one"), "{refused}");
    assert_eq!(insert(&second, "s", 2).await.unwrap(), Inserted::Stored);
    assert_eq!(state.value()["_sandboxAgentPersist"]["events"]["s"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn of_two_drivers_on_an_empty_value_the_first_to_write_has_it() {
    let state = ValueState::new();
    let [first, second] =
        [Driver::open(state.clone()).await.unwrap(), Driver::open(state.clone()).await.unwrap()];
    assert_eq!(insert(&first, "s", 1).await.unwrap(), Inserted::Stored);
    let refused = insert(&second, "t", 1).await.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::Fenced);
    let events = state.value()["_sandboxAgentPersist"]["events"].clone();
    assert_eq!(events.as_object().unwrap().keys().collect::<Vec<_>>(), ["s"]);
}

#[tokio::test]
async fn members_beside_the_drivers_can_be_changed_and_its_own_not() {
    let state = ValueState::new();
    let store = Driver::open(state.clone()).await.unwrap();
    state.change(|members| members.insert("mine".to_owned(), json!(1))).unwrap();
    assert_eq!(insert(&store, "s", 1).await.unwrap(), Inserted::Stored);
    let refused = state.change(|members| {
        assert!(!members.contains_key("_sandboxAgentPersist"));
        members.insert("_sandboxAgentPersist".to_owned(), json!({}));
        members.insert("mine".to_owned(), json!(2));
    });
    assert!(refused.unwrap_err().to_string().contains("_sandboxAgentPersist"));
    assert_eq!(state.value()["mine"], 1);
    assert_eq!(state.value()["_sandboxAgentPersist"]["events"]["s"][0]["id"], "s.1");
}

#[tokio::test]
async fn who_waits_is_told_of_what_others_store_and_of_nothing_else() {
    let store = Driver::in_process(limits());
    let waits = tokio::spawn({
        let store = store.clone();
        async move { store.follow().unwrap().changed("s", 1).await.unwrap() }
    });
    for (session, index) in [("s", 1), ("t", 1), ("t", 2)] {
        stored(&store, session, index).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(!waits.is_finished());
    }
    stored(&store, "s", 2).await;
    assert_eq!(waits.await.unwrap(), 2);
}
