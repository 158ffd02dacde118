//! What a turn brought becomes less, and nobody who reads it sees more than that.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use sandbox_agent_sdk::persist::SessionUpkeep;
use sandbox_agent_sdk::{
    ErrorKind, From, Limits, MemorySessionPersistDriver, Result, ResumeOutcome, SandboxAgent, SessionEvent,
    SessionPersistDriver,
};
use sandbox_agent_testkit::Sandbox;
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{request, said, stored};
use crate::{PATIENCE, eventually, limits, sandbox, sdk_on};

/// Everything that a turn of so many updates says.
fn streamed(count: u64) -> String {
    (1..=count).map(|number| format!("u{number} ")).collect()
}

async fn compacting(sandbox: &Sandbox, driver: impl SessionPersistDriver, limits: Limits) -> SandboxAgent {
    let builder = SandboxAgent::builder(sandbox.url()).persist(driver).compact(true).limits(limits);
    builder.connect().await.unwrap()
}

async fn is_compacted(driver: &MemorySessionPersistDriver, most: u64) {
    eventually("the turn is compacted", async || driver.usage("one").await.unwrap().events <= most).await;
}

/// Reads up to this index: no index twice, none left out.
async fn read_to(
    events: &mut (impl Stream<Item = Result<Arc<SessionEvent>>> + Unpin),
    mut after: u64,
    last: u64,
) -> Vec<SessionEvent> {
    let mut read = Vec::new();
    while after < last {
        let event = timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.first_index(), after + 1);
        after = event.event_index;
        read.push((*event).clone());
    }
    read
}

#[tokio::test]
async fn a_turn_of_many_chunks_becomes_a_few_events_and_says_the_same() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = compacting(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("thought hm; stream 500; tool Look; stream 400; say done").await.unwrap();
    let last = session.last_index();
    assert!(last > 900);
    is_compacted(&driver, 20).await;
    let events = stored(&driver, "one").await;
    assert_eq!(said(&events), streamed(500) + &streamed(400) + "done");
    let mut next = 1;
    for event in &events {
        assert_eq!(event.first_index(), next);
        next = event.event_index + 1;
    }
    assert_eq!(next, last + 1);

    // The session goes on, here and elsewhere, and an agent that knows nothing is told the same.
    session.prompt("say more").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    let after = opened.session.last_index();
    opened.session.prompt("recall").await.unwrap();
    let mut told = opened.session.events(From::Index(after + 1));
    let told = said(&read_to(&mut told, after, opened.session.last_index()).await);
    assert!(told.contains(&(streamed(500) + &streamed(400) + "done\n\nUser: say more")), "{told}");
}

#[tokio::test]
async fn a_reader_in_the_middle_of_a_run_gets_the_rest_once() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    // It reads from the store: nothing of the past stays in memory.
    let sdk = compacting(&sandbox, driver.clone(), limits().tail_bytes(1)).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let before = session.last_index();
    let mut slow = session.events(From::Index(before + 1));
    let mut turn = session.prompt("stream 1500; say done");
    let first = read_to(&mut slow, before, before + 20).await;
    let first_of_turn: Vec<_> = (&mut turn).take(30).map(|event| event.unwrap()).collect().await;
    eventually("the turn ended", async || session.last_index() >= before + 1503).await;
    is_compacted(&driver, before + 10).await;

    let last = session.last_index();
    let rest = read_to(&mut slow, before + 20, last).await;
    assert_eq!(said(&first) + &said(&rest), streamed(1500) + "done");
    let mut by_turn: String = first_of_turn.iter().filter_map(|event| event.text()).collect();
    by_turn.extend(turn.map(|event| event.unwrap().text().unwrap_or_default()).collect::<Vec<_>>().await);
    assert_eq!(by_turn, streamed(1500) + "done");

    for from in [before + 3, before + 700, last - 2, last] {
        let whole = read_to(&mut session.events(From::Index(before + 1)), before, from - 1).await;
        let part = read_to(&mut session.events(From::Index(from)), from - 1, last).await;
        assert!(said(&whole).starts_with("u1 ") && said(&part).ends_with("done") || from == last);
    }
}

#[tokio::test]
async fn whoever_reads_the_process_late_stores_nothing_of_it_again() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let one = compacting(&sandbox, driver.clone(), limits()).await;
    let session = one.create_session(request("one")).await.unwrap();
    let late = Arc::new(GatedStore::over(&driver));
    let two = sdk_on(&sandbox, late.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    let mut held = late.hold(Operation::Insert);
    session.prompt("stream 300; say done").await.unwrap();
    held.reached().await;
    is_compacted(&driver, 20).await;
    let last = session.last_index();
    drop(held);
    eventually("the other one has come by all of it", async || other.last_index() >= last).await;
    other.prompt("say more").await.unwrap();
    let events = stored(&driver, "one").await;
    assert_eq!(said(&events), streamed(300) + "donemore");
    let all = read_to(&mut other.events(From::Start), 0, other.last_index()).await;
    assert_eq!(said(&all), said(&events));
}

#[tokio::test]
async fn a_past_is_compacted_when_it_is_asked_for_but_not_the_turn_that_runs() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("stream 200; say done").await.unwrap();
    let turn = session.prompt("stream 100; ask Push; say over");
    eventually("it waits", async || session.pending_permissions().len() == 1).await;
    let done = sdk.compact_session("one").await.unwrap();
    assert_eq!((done.runs, done.events_folded), (1, 201));
    assert!(done.bytes_saved > 10_000, "{done:?}");
    session.cancel();
    turn.await.unwrap();
    assert!(sdk.compact_session("one").await.unwrap().events_folded >= 100);
    assert_eq!(sdk.compact_session("one").await.unwrap().events_folded, 0);
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    assert_eq!(sdk.compact_session("one").await.unwrap().events_folded, 0);
}

#[tokio::test]
async fn a_store_that_folds_nothing_is_refused() {
    let sandbox = sandbox().await;
    let store = Arc::new(GatedStore::default());
    let refused = SandboxAgent::builder(sandbox.url()).persist(store.clone()).compact(true).connect().await;
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    let sdk = sdk_on(&sandbox, store, limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("stream 5").await.unwrap();
    assert!(sdk.compact_session("one").await.unwrap_err().is_persist());
}
