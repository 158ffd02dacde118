//! Many updates: none is lost in silence, whoever is slow.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{Gap, SessionEvent};

use crate::support::{assert_sound, gaps, recorded, request, stored, update, updates};
use crate::{builder, server};

const UPDATES: u64 = 20_000;

/// 20,000 updates at 5,000 a second, with a callback that needs 40 s for what comes in 4.
async fn a_callback_that_blocks() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let driver = SqliteSessionPersistDriver::open(folder.path().join("sessions.db")).await.unwrap();
    let sdk = builder(&server).persist(driver.clone()).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    let subscription = session.on_event(move |event: &SessionEvent| {
        thread::sleep(Duration::from_millis(2));
        keep.lock().unwrap().extend(update(event));
    });

    session.prompt(format!("stream {UPDATES} rate=5000")).await.unwrap();

    let events = stored(&driver, "one").await;
    assert_sound(&events);
    let all = updates(&events);
    // On a machine that is busy with other work the server itself drops some.
    let missing: u64 = gaps(&events).iter().map(Gap::missing).sum();
    assert_eq!(all.len() as u64 + missing, UPDATES, "all are stored, or named, when the prompt returns");
    assert!(seen.lock().unwrap().len() < all.len(), "the callback is slower than the turn");
    subscription.caught_up().await.unwrap();
    assert!(*seen.lock().unwrap() == all, "the callback gets all that are stored, in order");
    sdk.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_callback_that_blocks_its_thread_loses_nothing() {
    a_callback_that_blocks().await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_callback_that_blocks_its_thread_loses_nothing_on_one_thread() {
    a_callback_that_blocks().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_burst_is_stored_or_named_as_a_gap() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt(format!("stream {UPDATES}")).await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    let updates = updates(&events);
    assert!(updates.is_sorted());
    let missing: u64 = gaps(&events).iter().map(Gap::missing).sum();
    assert_eq!(updates.len() as u64 + missing, UPDATES);
    sdk.close().await.unwrap();
}
