//! The driver in actors of a real engine, found by `RIVET_ENGINE_BIN`.
#![allow(clippy::unwrap_used)]

mod harness;

use std::time::Duration;

use harness::{Actors, Kind, with_actors};
use rivetkit_core::{ActorContext, StateDelta};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, PersistErrorKind, RawValue, Sender, SessionEvent, SessionPersistDriver,
    SessionRecord,
};
use sandbox_agent_persist_rivet_json::{CborValue, RivetJsonOptions, RivetJsonSessionPersistDriver};
use serde_json::{Value, json};

type Store = RivetJsonSessionPersistDriver;

/// Above this the engine never saves a state, and only its log says so.
const NEVER_SAVED: usize = 131_072;
const KEY: &str = "_sandboxAgentPersist";

fn kind() -> Kind {
    Kind { options: RivetJsonOptions::new(), durable: None }
}

fn durable() -> Kind {
    Kind { durable: Some(Duration::from_secs(20)), ..kind() }
}

fn event(index: u64, text: &str) -> SessionEvent {
    let payload =
        format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"n":0.5,"text":"{text}"}}}}"#);
    let payload = RawValue::from_string(payload).unwrap();
    SessionEvent::new(format!("e{index}"), index, "s", 1_700_000_000_000, "c", Sender::Agent, payload)
}

async fn insert(store: &Store, index: u64, text: &str) {
    assert_eq!(store.insert_event("s", event(index, text)).await.unwrap(), Inserted::Stored);
}

async fn held(store: &Store) -> Vec<SessionEvent> {
    store.list_events(ListEventsRequest::new("s").limit(usize::MAX)).await.unwrap().items
}

/// A saved state as any reader of CBOR has it.
fn read(state: &[u8]) -> Value {
    ciborium::from_reader(state).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn what_was_written_is_there_after_the_actor_slept() {
    with_actors(kind(), sleeps_and_wakes).await;
}

async fn sleeps_and_wakes(mut actors: Actors) {
    let id = actors.create().await;
    let first = actors.awake(&id).await;
    first.store.update_session(SessionRecord::new("s", "codex", 1_700_000_000_000)).await.unwrap();
    for index in 1..=50 {
        insert(&first.store, index, "é\\n").await;
    }
    first.state.change(|members| members.push(("mine".into(), CborValue::Array(vec![7.into()])))).unwrap();
    first.sleep().await;

    let second = actors.awake(&id).await;
    assert_eq!(held(&second.store).await, (1..=50).map(|index| event(index, "é\\n")).collect::<Vec<_>>());
    let saved = read(second.snapshot.as_deref().unwrap());
    assert_eq!(saved["mine"], json!([7]));
    let content = &saved[KEY];
    assert_eq!(
        content["sessions"],
        json!({ "s": { "id": "s", "agent": "codex", "agentSessionId": "", "lastConnectionId": "",
            "createdAt": 1_700_000_000_000f64 } })
    );
    assert_eq!(
        content["events"]["s"][49],
        json!({ "id": "e50", "eventIndex": 50, "sessionId": "s", "createdAt": 1_700_000_000_000f64,
            "connectionId": "c", "sender": "agent",
            "payload": { "jsonrpc": "2.0", "method": "session/update", "params": { "n": 0.5, "text": "é\n" } } })
    );
    assert_eq!(content["evicted"], json!({}));

    insert(&second.store, 51, "").await;
    second.sleep().await;
    let third = actors.awake(&id).await;
    assert_eq!(held(&third.store).await.last().unwrap().event_index, 51);
    assert_eq!(read(third.snapshot.as_deref().unwrap())["mine"], json!([7]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_flood_of_inserts_is_saved_within_what_the_engine_saves() {
    with_actors(kind(), flood).await;
}

const LAST: u64 = 5_000;

/// The index of the newest event that the engine has.
fn last_saved(actor: &ActorContext) -> u64 {
    let saved = actor.state();
    assert!(saved.len() <= NEVER_SAVED);
    if saved.is_empty() {
        return 0;
    }
    let events = read(&saved)[KEY]["events"]["s"].take();
    events.as_array().and_then(|events| events.last()?["eventIndex"].as_u64()).unwrap_or_default()
}

async fn flood(mut actors: Actors) {
    let id = actors.create().await;
    let first = actors.awake(&id).await;
    insert(&first.store, 1, "").await;
    // As full beside the driver as it may be.
    let beside = 30 * 1024;
    first.state.change(|members| members.push(("mine".into(), "x".repeat(beside).into()))).unwrap();
    let refused = first.state.change(|members| members.push(("more".into(), "x".repeat(1024).into())));
    assert_eq!(refused.unwrap_err().kind(), PersistErrorKind::TooLarge);

    for index in 2..=LAST {
        let size = if index % 97 == 0 { 20_000 } else { 300 };
        insert(&first.store, index, &"x".repeat(size)).await;
        assert!(first.store.content().bytes() <= 96 * 1024);
        if index % 1_000 == 0 {
            // The engine goes on saving in the middle of it.
            while last_saved(&first.actor) < index {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    let before = held(&first.store).await;
    first.sleep().await;

    let second = actors.awake(&id).await;
    let saved = second.snapshot.as_deref().unwrap().len();
    assert!(saved <= NEVER_SAVED && saved > beside + 64 * 1024, "{saved}");
    assert_eq!(held(&second.store).await, before);
    assert_eq!(before.last().unwrap().event_index, LAST);
    let begin = second.store.list_events(ListEventsRequest::new("s").after_index(0)).await.unwrap_err();
    let to = before[0].event_index - 1;
    assert_eq!(begin.kind(), PersistErrorKind::Evicted { from: 1, to });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_durable_insert_returns_when_it_is_saved() {
    with_actors(durable(), inserts_durably).await;
}

async fn inserts_durably(mut actors: Actors) {
    let id = actors.create().await;
    let first = actors.awake(&id).await;
    assert!(first.store.capabilities().durable);
    for index in 1..=20 {
        insert(&first.store, index, "").await;
        let saved = read(&first.actor.state());
        let events = saved[KEY]["events"]["s"].as_array().unwrap();
        assert_eq!(events.last().unwrap()["eventIndex"], index);
    }
    let sessions: Vec<_> = (0..32).map(|number| format!("session {number}")).collect();
    let inserts = sessions.iter().map(|session| {
        let (store, session) = (first.store.clone(), session.clone());
        tokio::spawn(async move {
            let mut event = event(1, "");
            event.id.clone_from(&session);
            event.session_id.clone_from(&session);
            store.insert_event(&session, event).await.unwrap()
        })
    });
    for insert in inserts.collect::<Vec<_>>() {
        assert_eq!(insert.await.unwrap(), Inserted::Stored);
    }
    let saved = read(&first.actor.state());
    assert!(sessions.iter().all(|session| saved[KEY]["events"][session][0]["id"] == **session));
    first.sleep().await;
    let second = actors.awake(&id).await;
    assert_eq!(held(&second.store).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_state_that_another_saved_is_not_written_over() {
    with_actors(kind(), another_saves).await;
    with_actors(durable(), another_saves).await;
}

async fn another_saves(mut actors: Actors) {
    let id = actors.create().await;
    let first = actors.awake(&id).await;
    let is_durable = first.store.capabilities().durable;
    insert(&first.store, 1, "").await;
    first.state.flush().await.unwrap();

    let mut other = Vec::new();
    ciborium::into_writer(&json!({ "of": "another" }), &mut other).unwrap();
    first.actor.save_state(vec![StateDelta::ActorState(other.clone())]).await.unwrap();
    let mut index = 2;
    let refused = loop {
        match first.store.insert_event("s", event(index, "")).await {
            Ok(_) => index += 1,
            Err(error) => break error,
        }
        assert!(!is_durable, "it is noticed by the first save");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(refused.kind(), PersistErrorKind::Fenced);
    assert_eq!(first.state.flush().await.unwrap_err().kind(), PersistErrorKind::Fenced);
    assert_eq!(first.actor.state(), other);
    first.sleep().await;
    let second = actors.awake(&id).await;
    assert_eq!(read(second.snapshot.as_deref().unwrap()), json!({ "of": "another" }));
    assert!(held(&second.store).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_driver_that_may_become_too_large_is_refused() {
    let options = RivetJsonOptions::new().max_bytes(NEVER_SAVED);
    with_actors(Kind { options, ..kind() }, refuses).await;
}

async fn refuses(mut actors: Actors) {
    let id = actors.create().await;
    let first = actors.awake(&id).await;
    let refused = first.store.insert_event("s", event(1, "")).await.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
    assert!(refused.to_string().contains("RivetJsonOptions::max_bytes"), "{refused}");
}
