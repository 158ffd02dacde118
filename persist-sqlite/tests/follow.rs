//! Following: what other processes store, and letting go.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{PATIENCE, event, foreign, open};
use sandbox_agent_persist::{Inserted, SessionFollow, SessionPersistDriver};
use tokio::time::timeout;

/// The threads of this process that look out.
fn look_outs() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == "sqlite-follow").count()
}

/// A thread has its name, and lets go of its file, a moment later than others may see.
async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, holds).await.unwrap();
}

/// All in one test: it counts the threads of the process.
#[tokio::test]
async fn what_others_store_is_told_and_nothing_runs_on_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    assert_eq!(store.insert_event("s", event("s", 1)).await.unwrap(), Inserted::Stored);
    assert_eq!(look_outs(), 0);
    assert_eq!(store.changed("s", 0).await.unwrap(), 1);

    // What is stored here is told at once, and not when it is looked for.
    let began = Instant::now();
    for index in 1..=100 {
        let waits = store.changed("here", index - 1);
        let stores = async {
            tokio::task::yield_now().await;
            let inserted = store.insert_event("here", event("here", index)).await.unwrap();
            assert_eq!(inserted, Inserted::Stored);
        };
        let (came, ()) = timeout(PATIENCE, async { tokio::join!(waits, stores) }).await.unwrap();
        assert_eq!(came.unwrap(), index);
    }
    assert!(began.elapsed() < Duration::from_millis(100 * 50 / 2), "{:?}", began.elapsed());

    // Another driver's, and one of a program that knows nothing of this.
    let elsewhere = open(&folder).await;
    let waits = store.changed("s", 1);
    let stores = async {
        // Somebody waits by then.
        tokio::task::yield_now().await;
        assert_eq!(elsewhere.insert_event("s", event("s", 2)).await.unwrap(), Inserted::Stored);
    };
    let (came, ()) = timeout(PATIENCE, async { tokio::join!(waits, stores) }).await.unwrap();
    assert_eq!(came.unwrap(), 2);
    let waits = store.changed("s", 2);
    let stores = async {
        tokio::task::yield_now().await;
        let theirs = "INSERT INTO events (id, event_index, session_id, created_at, connection_id, sender, payload_json)
            VALUES ('theirs', 3, 's', 0, 'c', 'agent', '{}')";
        foreign(&folder).execute_batch(theirs).unwrap();
    };
    let (came, ()) = timeout(PATIENCE, async { tokio::join!(waits, stores) }).await.unwrap();
    assert_eq!(came.unwrap(), 3);

    // Many wait for what does not come, and drop their calls.
    for round in 0..50 {
        let session_id = format!("session {round}");
        let waits = store.changed(&session_id, 0);
        assert!(timeout(Duration::from_millis(1), waits).await.is_err());
    }
    until(|| look_outs() == 1).await;

    // Closing refuses who waits, and lets go of the file.
    let waits = store.changed("s", 3);
    let closes = async {
        tokio::task::yield_now().await;
        elsewhere.close().await.unwrap();
        store.close().await.unwrap();
    };
    let (came, ()) = timeout(PATIENCE, async { tokio::join!(waits, closes) }).await.unwrap();
    let error = came.unwrap_err();
    assert!(error.to_string().contains("open it again"), "{error}");
    assert!(store.changed("s", 0).await.unwrap_err().to_string().contains("open it again"));
    assert_eq!(look_outs(), 0);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["sessions.db"]);

    // So does the last handle, a moment after it.
    let store = open(&folder).await;
    let again = store.clone();
    assert!(timeout(Duration::from_millis(1), store.changed("s", 3)).await.is_err());
    until(|| look_outs() == 1).await;
    drop((store, again));
    until(|| look_outs() == 0 && fs::read_dir(folder.path()).unwrap().count() == 1).await;
}
