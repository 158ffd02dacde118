//! Stores that fail, stand still, or have another writer.

use std::future::{pending, ready};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::persist::{PersistError, PersistErrorKind, envelope};
use sandbox_agent_sdk::{
    Delivery, ErrorKind, GapCause, Limits, MemorySessionPersistDriver, SandboxAgent, Session,
    SessionPersistDriver, SessionState,
};
use sandbox_agent_testkit::{Events, On, Sandbox};
use serde_json::json;
use tokio::time::timeout;

use crate::support::store::{GatedStore, Moment, Operation};
use crate::support::{assert_sound, begun, gaps, recorded, request, said, stored, updates};
use crate::{PATIENCE, limits, sandbox, sdk_on, server};

/// The same session, open in two SDKs that share one SQLite file.
async fn two_on_one_file(sandbox: &Sandbox, file: &Path) -> [(Session, SandboxAgent); 2] {
    [open_on_file(sandbox, file).await, open_on_file(sandbox, file).await]
}

async fn open_on_file(sandbox: &Sandbox, file: &Path) -> (Session, SandboxAgent) {
    let driver = SqliteSessionPersistDriver::open(file).await.unwrap();
    let sdk = sdk_on(sandbox, driver, limits()).await;
    (sdk.resume_or_create_session(request("one")).await.unwrap(), sdk)
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_sent() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    driver.fail(Operation::Insert, PersistErrorKind::Other);
    let error = session.prompt("say no").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Persist(PersistErrorKind::Other));
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
    assert!(sandbox.prompts_received().is_empty());
    session.state().wait_for(|state| *state == SessionState::Closed).await.unwrap();

    driver.open();
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    session.prompt("say yes").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "yes");
}

#[tokio::test]
async fn a_store_that_fails_in_a_turn_ends_it_for_everybody_who_waits() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("stream 100 rate=200");
    let mut events = session.events(sandbox_agent_sdk::From::Now);
    let waiting = session.prompt("say never");
    events.next().await.unwrap().unwrap();
    driver.fail(Operation::Insert, PersistErrorKind::Other);
    assert!(turn.await.unwrap_err().is_persist());
    assert_eq!(waiting.await.unwrap_err().delivery(), Some(Delivery::NotSent));
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(last.unwrap().unwrap_err().is_persist(), "subscribers are told too");
    assert_sound(&stored(&driver, "one").await);
}

#[tokio::test]
async fn a_store_that_is_busy_for_a_moment_is_tried_again() {
    // An insert that worked and reported a failure is tried again too, and stored once.
    for failing in [Moment::Before, Moment::After] {
        let sandbox = sandbox().await;
        let driver = Arc::new(GatedStore::default());
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let session = sdk.create_session(request("one")).await.unwrap();
        let failed = Arc::new(AtomicBool::new(false));
        let told = failed.clone();
        driver.gate(move |moment, operation| {
            let fails =
                (moment, operation) == (failing, Operation::Insert) && !told.swap(true, Ordering::SeqCst);
            ready(if fails { Err(PersistError::new(PersistErrorKind::Unavailable, "busy")) } else { Ok(()) })
        });
        session.prompt("stream 50").await.unwrap();
        assert!(failed.load(Ordering::SeqCst), "it failed once");
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
    let [(one, _a), (two, _b)] = &two_on_one_file(&sandbox, &file).await;
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
    let sandbox = sandbox().await;
    let driver = GatedStore::default();
    driver.gate(|_, _| pending());
    let sdk = sdk_on(&sandbox, driver, limits().store(Duration::from_millis(200))).await;
    let error = sdk.create_session(request("one")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Persist(PersistErrorKind::Unavailable));
}

#[tokio::test]
async fn with_a_slow_store_a_response_is_stored_once_and_last() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits().queue_bytes(100_000)).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    driver.delay(Operation::Insert, Duration::from_millis(1200));
    let first = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose_for_good(Events::ids([first + 20]));
    session.prompt("stream 100 rate=50").await.unwrap();
    let at_return = usize::try_from(session.last_index()).unwrap();
    driver.open();
    // Its end proves that everything before it is stored.
    session.prompt("say next").await.unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);

    let events = stored(&driver, "one").await;
    assert_sound(&events);
    let prompt = events.iter().find_map(|event| match envelope::kind(&event.payload) {
        envelope::Kind::Request { method, id } if method == envelope::PROMPT => Some(id),
        _ => None,
    });
    let is_answer = |kind| matches!(kind, envelope::Kind::Response { id } if Some(id) == prompt);
    let answers = events.iter().filter(|event| is_answer(envelope::kind(&event.payload))).count();
    assert_eq!((answers, updates(&events[at_return..]).len()), (1, 0));
    assert_eq!((updates(&events).len(), gaps(&events).len()), (99, 1));
}

#[tokio::test]
async fn a_session_that_is_deleted_under_a_turn_ends_it() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    driver.delete_session("one").await.unwrap();
    let line = json!({ "jsonrpc": "2.0", "method": "x/y", "params": {} }).to_string();
    sandbox.faults().agent_writes(&server(&session), &line).unwrap();
    let error = timeout(PATIENCE, turn).await.unwrap().unwrap_err();
    assert!(error.is_persist(), "{error:?}");
}

#[tokio::test]
async fn a_turn_without_events_is_told_that_the_store_failed() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    driver.fail(Operation::Insert, PersistErrorKind::Other);
    assert!(session.raw_notify("x/y", json!({})).await.unwrap_err().is_persist());
    let error = timeout(PATIENCE, turn).await.unwrap().unwrap_err();
    assert!(error.is_persist(), "{error:?}");
}

#[tokio::test]
async fn a_turn_shows_nothing_of_another_sdks_turn_on_the_same_session() {
    // Each has a server of its own, and so a process.
    let sandboxes = [sandbox().await, sandbox().await];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    let open = |sandbox| open_on_file(sandbox, &file);
    let [(one, _a), (two, _b)] = &[open(&sandboxes[0]).await, open(&sandboxes[1]).await];
    let text = |turn: sandbox_agent_sdk::Turn| async {
        let events: Vec<_> = futures::TryStreamExt::try_collect(turn).await.unwrap();
        events.iter().filter_map(sandbox_agent_sdk::TurnEvent::text).collect::<String>()
    };
    let (first, second) =
        tokio::join!(text(one.prompt("stream 50 rate=500")), text(two.prompt("think 50; say other")));
    assert!(first.ends_with("u50 ") && !first.contains("other"), "{first}");
    assert_eq!(second, "other");
}

#[tokio::test]
async fn nobody_sees_an_event_before_it_is_stored() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut events = session.events(sandbox_agent_sdk::From::Now);
    let last = session.last_index();
    let mut still = driver.hold(Operation::Insert);
    let turn = session.prompt("say done");
    still.reached().await;
    assert!(events.next().now_or_never().is_none());
    assert_eq!(session.last_index(), last);
    driver.open();
    drop(still);
    turn.await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().event_index, last + 1);
}

#[tokio::test]
async fn a_prompt_is_sent_only_when_it_is_stored() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let one = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = one.create_session(request("one")).await.unwrap();
    let mut still = driver.hold(Operation::Insert);
    let turn = session.prompt("say late");
    still.reached().await;
    // All of another session passes meanwhile, its prompt too.
    let other = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    other.create_session(request("other")).await.unwrap().prompt("say early").await.unwrap();
    assert_eq!(sandbox.prompts_received().len(), 1);
    driver.open();
    drop(still);
    turn.await.unwrap();
    assert_eq!(sandbox.prompts_received().len(), 2);
}

#[tokio::test]
async fn what_was_lost_while_the_store_held_the_reading_up_has_that_cause() {
    // No heartbeat says in between that the stream has nothing more.
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), Limits::default().queue_bytes(1)).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let lost = sandbox.last_event_id(&server(&session)) + 15;
    sandbox.faults().lose_for_good(Events::ids([lost]));
    // No answer of the POST lets anybody look for what the stream has not given yet.
    sandbox.faults().next(On::rpc("session/prompt")).hang();
    let mut turn = session.prompt("say begun; think 100; stream 20");
    begun(&mut turn).await;
    let mut still = driver.hold(Operation::Insert);
    still.reached().await;
    // All of another session passes meanwhile: the socket was read as far as there was room.
    let other = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    other.create_session(request("other")).await.unwrap().prompt("say hello").await.unwrap();
    driver.open();
    drop(still);
    turn.await.unwrap();
    let gaps = gaps(&recorded(&session).await);
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert_eq!((gap.from, gap.to, gap.cause), (lost, lost, GapCause::StoreTooSlow));
}

#[tokio::test]
async fn what_another_sdk_stored_first_reaches_whoever_waits_for_it() {
    // The real server's heartbeats: no connection is given up by itself.
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let driver = MemorySessionPersistDriver::new();
    let slow = sdk_on(&sandbox, driver.clone(), Limits::default()).await;
    let session = slow.create_session(request("one")).await.unwrap();
    sandbox.faults().next(On::rpc("session/prompt")).hang();
    let mut turn = session.prompt("say begun; think 300; say done");
    begun(&mut turn).await;
    sandbox.faults().stall_streams();
    let fast = sdk_on(&sandbox, driver.clone(), Limits::default()).await;
    let theirs = fast.resume_or_create_session(request("one")).await.unwrap();
    theirs.running_turn().unwrap().await.unwrap();
    sandbox.faults().cut_streams();
    timeout(PATIENCE, turn).await.unwrap().unwrap();
    let events = stored(&driver, "one").await;
    assert_sound(&events);
    assert_eq!(said(&events), "begundone");
    assert_eq!(recorded(&session).await, events);
}

#[tokio::test]
async fn two_processes_of_one_session_have_one_record_that_lacks_nothing() {
    const UPDATES: u64 = 100;
    let sandboxes = [sandbox().await, sandbox().await];
    let driver = MemorySessionPersistDriver::new();
    let one = sdk_on(&sandboxes[0], driver.clone(), limits()).await;
    let one = one.resume_or_create_session(request("one")).await.unwrap();
    let other = sdk_on(&sandboxes[1], driver.clone(), limits()).await;
    let other = other.resume_or_create_session(request("one")).await.unwrap();
    let stream = || format!("stream {UPDATES} rate=1000");
    let turns = tokio::join!(async { one.prompt(stream()).await }, async { other.prompt(stream()).await });
    turns.0.unwrap();
    turns.1.unwrap();
    for session in [&one, &other] {
        session.prompt("say over").await.unwrap();
        let events = stored(&driver, "one").await;
        assert_sound(&events);
        assert_eq!(recorded(session).await, events);
    }
    let events = stored(&driver, "one").await;
    for session in [&one, &other] {
        let process = server(session);
        let its: Vec<_> = events.iter().filter(|event| event.connection_id == process).cloned().collect();
        assert_eq!(updates(&its), (1..=UPDATES).collect::<Vec<_>>());
        assert!(said(&its).ends_with("over"));
    }
}

#[tokio::test]
async fn the_answer_of_a_post_does_not_overtake_what_is_still_on_the_stream() {
    // No heartbeat looks for the answer a second time.
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), Limits::default().queue_bytes(1)).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    // What looked for events lost at the beginning has ended, and brings none of the turn's.
    sandbox.wait_for(|sandbox| sandbox.open_streams() == 1).await.unwrap();
    let mut turn = session.prompt("say begun; think 100; stream 5");
    begun(&mut turn).await;
    let mut still = driver.hold(Operation::Insert);
    still.reached().await;
    // The POST answers, and who looks for the stream's copy is sent away.
    sandbox.faults().next(On::get()).answer(503, "text/plain", "one moment");
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let other = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    other.create_session(request("other")).await.unwrap().prompt("say hello").await.unwrap();
    driver.open();
    drop(still);
    turn.await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(updates(&events), (1..=5).collect::<Vec<_>>());
    let response = format!("{}:{}", server(&session), sandbox.last_event_id(&server(&session)));
    assert_eq!(events.last().unwrap().id, response);
    let from_post = |event: &&sandbox_agent_sdk::SessionEvent| event.id.contains(":post:");
    assert_eq!(events.iter().filter(from_post).count(), 0);
}
