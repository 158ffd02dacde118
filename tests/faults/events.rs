//! Readers of a session: from anywhere, at any speed, without a hole.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
use sandbox_agent_sdk::persist::PersistErrorKind;
use sandbox_agent_sdk::{ErrorKind, From, SandboxAgent, SessionEvent};
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{request, said, update};
use crate::{PATIENCE, limits, sandbox, sdk_on, session, session_within};

#[tokio::test]
async fn a_reader_goes_from_stored_to_live_without_hole_or_double() {
    let sandbox = sandbox().await;
    // So small a tail that most is read from the store.
    let (sdk, session) = session_within(&sandbox, limits().tail_bytes(2_000)).await;
    session.prompt("stream 300").await.unwrap();
    let from = 42;
    let events = session.events(From::Index(from));
    let turn = session.prompt("stream 300 rate=2000");
    turn.await.unwrap();
    let last = session.last_index();
    sdk.detach().await.unwrap();
    let indexes: Vec<_> = events.map(|event| event.unwrap().event_index).collect().await;
    assert_eq!(indexes, (from..=last).collect::<Vec<_>>(), "and it ends with the SDK");
}

#[tokio::test]
async fn a_reader_from_now_sees_only_what_comes() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    session.prompt("say old").await.unwrap();
    let mut events = session.events(From::Now);
    session.prompt("say new").await.unwrap();
    let first = events.next().await.unwrap().unwrap();
    assert!(first.payload.get().contains("say new"));
}

#[tokio::test]
async fn a_turn_that_is_read_late_is_read_whole() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().tail_bytes(1_000)).await;
    let turn = session.prompt("stream 200");
    session.prompt("say the next turn").await.unwrap();
    let events: Vec<_> = turn.map(Result::unwrap).collect().await;
    let texts: String = events.iter().filter_map(sandbox_agent_sdk::TurnEvent::text).collect();
    assert!(texts.ends_with("u200 ") && !texts.contains("next"), "{texts}");
}

#[tokio::test]
async fn evicted_events_are_an_error_that_names_them_and_reading_goes_on() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::with_options(MemoryOptions::new().max_events_per_session(50));
    let sdk =
        SandboxAgent::builder(sandbox.url()).persist(driver).limits(limits().tail_bytes(1_000)).connect();
    let session = sdk.await.unwrap().create_session(request("one")).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::<SessionEvent>::new()));
    session.prompt("stream 30").await.unwrap();
    session.prompt("stream 10").await.unwrap();
    session.prompt("stream 10").await.unwrap();

    let mut events = session.events(From::Start);
    let error = events.next().await.unwrap().unwrap_err();
    assert!(error.is_persist(), "{error:?}");
    let next = events.next().await.unwrap().unwrap();
    assert!(next.event_index > 1);

    let keep = seen.clone();
    let subscription =
        session.on_event_from(From::Start, move |event| keep.lock().unwrap().push(event.clone()));
    assert!(subscription.caught_up().await.unwrap_err().is_persist());
    assert!(said(&seen.lock().unwrap()).ends_with("u10 "));
}

#[tokio::test]
async fn a_subscriber_of_a_store_that_cannot_be_read_is_told() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    // So small a tail that all is read from the store.
    let sdk = sdk_on(&sandbox, driver.clone(), limits().tail_bytes(1)).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say a").await.unwrap();
    driver.fail(Operation::ListEvents, PersistErrorKind::Corrupt);
    let subscription = session.on_event_from(From::Start, |_| {});
    let error = timeout(PATIENCE, subscription.caught_up()).await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Persist(PersistErrorKind::Corrupt));
}

#[tokio::test]
async fn a_callback_that_blocks_delays_neither_turn_nor_neighbour() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let blocked = session.on_event(move |_| _ = held.recv());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    let neighbour = session.on_event(move |event| keep.lock().unwrap().extend(update(event)));
    session.prompt("stream 500").await.unwrap();
    neighbour.caught_up().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), (1..=500).collect::<Vec<_>>());
    drop(release);
    blocked.caught_up().await.unwrap();
}

#[tokio::test]
async fn a_dropped_subscription_gets_nothing_more() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let seen = Arc::new(Mutex::new(0));
    let keep = seen.clone();
    let subscription = session.on_event(move |_| *keep.lock().unwrap() += 1);
    session.prompt("say one").await.unwrap();
    subscription.caught_up().await.unwrap();
    let before = *seen.lock().unwrap();
    drop(subscription);
    session.prompt("say two").await.unwrap();
    assert_eq!(*seen.lock().unwrap(), before);
}

#[tokio::test]
async fn a_callback_that_panics_is_told_and_the_turn_goes_on() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let subscription = session.on_event(|_| panic!("a bug of the caller's"));
    session.prompt("stream 10").await.unwrap();
    assert!(subscription.caught_up().await.is_err());
}

#[tokio::test]
async fn the_last_handle_dropped_detaches() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    let mut events = session.events(From::Now);
    let server = crate::server(&session);
    drop(sdk);
    drop(session);
    let ended = timeout(Duration::from_secs(5), async { while events.next().await.is_some() {} });
    ended.await.unwrap();
    assert!(sandbox.servers().contains(&server), "the process goes on");
}

#[tokio::test]
async fn a_stream_that_ended_stays_ended() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("say hello");
    while turn.next().await.is_some() {}
    assert!(turn.next().await.is_none());
    let (mut events, mut requests) = (session.events(From::Start), session.permission_requests());
    sdk.close().await.unwrap();
    while events.next().await.is_some() {}
    assert!(events.next().await.is_none());
    assert!(requests.next().await.is_none() && requests.next().await.is_none());
}
