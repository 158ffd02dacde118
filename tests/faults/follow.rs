//! Reading what another SDK writes, while it writes it.

use futures::{FutureExt, StreamExt};
use sandbox_agent_persist_memory::MemoryOptions;
use sandbox_agent_sdk::persist::SessionUpkeep;
use sandbox_agent_sdk::{
    Error, ErrorKind, From, MemorySessionPersistDriver, SessionPersistDriver, SessionState,
};
use tokio::time::timeout;

use crate::support::{begun, recorded, request, said, update};
use crate::{PATIENCE, first, limits, sandbox, sdk_on};

#[tokio::test]
async fn a_reader_elsewhere_sees_each_event_once_while_it_is_written() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    session.prompt("say past").await.unwrap();
    let two = sdk_on(&sandbox, driver, limits()).await;
    let elsewhere = two.get_session("one").await.unwrap().unwrap();
    let mut seen = elsewhere.events(From::Start);
    let mut turn = session.prompt("say begun; stream 2000; think 300; say over");
    begun(&mut turn).await;

    // Not behind the turn: while it runs.
    let mut read = Vec::new();
    let mut updates = 0;
    while updates < 2000 {
        let event = timeout(PATIENCE, seen.next()).await.unwrap().unwrap().unwrap();
        updates += u64::from(update(&event).is_some());
        read.push((*event).clone());
    }
    assert!(!said(&read).ends_with("over"));
    turn.await.unwrap();
    let last = session.last_index();
    while read.last().is_none_or(|event| event.event_index < last) {
        let event = timeout(PATIENCE, seen.next()).await.unwrap().unwrap().unwrap();
        read.push((*event).clone());
    }
    assert_eq!(read, recorded(&session).await);
    assert!(seen.next().now_or_never().is_none(), "there is no more");
    assert_eq!(*elsewhere.state().borrow(), SessionState::Dormant, "nothing runs here");
}

#[tokio::test]
async fn a_callback_elsewhere_catches_up_with_what_others_write() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    let two = sdk_on(&sandbox, driver, limits()).await;
    let elsewhere = two.get_session("one").await.unwrap().unwrap();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let _subscription = elsewhere.on_event_from(From::Start, move |event| {
        let _ = told.send(event.event_index);
    });
    session.prompt("say hello").await.unwrap();
    let last = session.last_index();
    for index in 1..=last {
        assert_eq!(timeout(PATIENCE, tells.recv()).await.unwrap(), Some(index));
    }
}

#[tokio::test]
async fn a_session_that_is_followed_can_be_driven_and_followed_again() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let one = sdk_on(&sandbox, driver.clone(), limits()).await;
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = one.create_session(request("one")).await.unwrap();
    let elsewhere = two.get_session("one").await.unwrap().unwrap();
    let mut seen = elsewhere.events(From::Start);
    session.prompt("say one").await.unwrap();
    one.detach().await.unwrap();
    elsewhere.prompt("say two").await.unwrap();
    two.detach_session("one").await.unwrap();
    let mut read = Vec::new();
    while let Some(event) = timeout(PATIENCE, seen.next()).await.unwrap() {
        read.push((*event.unwrap()).clone());
    }
    assert_eq!(said(&read), "onetwo");
    assert!(read.iter().map(|event| event.event_index).eq(1..=read.len() as u64));
}

#[tokio::test]
async fn following_ends_with_the_sdk() -> Result<(), Error> {
    let sandbox = sandbox().await;
    let (driver, _one, _session) = first(&sandbox).await;
    let two = sdk_on(&sandbox, driver, limits()).await;
    let elsewhere = two.get_session("one").await?.unwrap();
    let last = elsewhere.last_index();
    let mut seen = elsewhere.events(From::Index(last + 1));
    assert!(seen.next().now_or_never().is_none());
    two.close().await?;
    assert!(timeout(PATIENCE, seen.next()).await.unwrap().is_none());
    Ok(())
}

#[tokio::test]
async fn a_reader_elsewhere_goes_on_when_all_that_there_was_is_evicted() {
    let sandbox = sandbox().await;
    let options = MemoryOptions::new().max_bytes(100 * 1024);
    let driver = MemorySessionPersistDriver::with_options(options);
    let one = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = one.create_session(request("one")).await.unwrap();
    session.prompt("say past").await.unwrap();
    let large = one.create_session(request("large")).await.unwrap();
    for _ in 0..2 {
        large.prompt("big 60000").await.unwrap();
    }
    assert_eq!(driver.usage("one").await.unwrap().events, 0);

    let two = sdk_on(&sandbox, driver, limits()).await;
    let elsewhere = two.get_session("one").await.unwrap().unwrap();
    assert_eq!(elsewhere.last_index(), session.last_index());
    let mut seen = elsewhere.events(From::Now);
    assert!(seen.next().now_or_never().is_none());
    session.prompt("say more").await.unwrap();
    let first = timeout(PATIENCE, seen.next()).await.unwrap().unwrap().unwrap();
    assert!(first.payload.get().contains("session/prompt"));
}

#[tokio::test]
async fn a_reader_elsewhere_is_told_of_a_deletion_after_which_nothing_is_stored() {
    let sandbox = sandbox().await;
    let (driver, one, _session) = first(&sandbox).await;
    one.close().await.unwrap();
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let elsewhere = two.get_session("one").await.unwrap().unwrap();
    let mut seen = elsewhere.events(From::Now);
    assert!(seen.next().now_or_never().is_none());
    // As retention does.
    driver.delete_session("one").await.unwrap();
    // Nothing tells of it: it is looked now and then.
    tokio::time::pause();
    let told = timeout(10 * PATIENCE, seen.next()).await.unwrap().unwrap();
    assert_eq!(*told.unwrap_err().kind(), ErrorKind::SessionNotFound);
    assert!(seen.next().await.is_none());
}
