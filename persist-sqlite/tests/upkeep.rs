//! Folding and vacuuming a file.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{event, events, foreign, held, named, open};
use sandbox_agent_persist::{Inserted, PersistErrorKind, SessionPersistDriver, SessionUpkeep, Usage};
use sandbox_agent_persist_sqlite::{SqliteOptions, SqliteSessionPersistDriver};
use std::time::Duration;

#[tokio::test]
async fn a_vacuum_gives_back_the_room_of_what_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    for (session_id, last) in [("gone", 20_000), ("folded", 10_000), ("kept", 100)] {
        let inserted = store.insert_events(session_id, events(session_id, 1..=last)).await.unwrap();
        assert_eq!(inserted, Inserted::Stored);
    }
    store.vacuum().await.unwrap();
    let bytes = || -> u64 {
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let before = bytes();
    assert!(store.usage("folded").await.unwrap().bytes > 3_000_000);
    store.delete_session("gone").await.unwrap();
    let run = named("folded", 10_000, "run").standing_from(1);
    assert!(store.fold("folded", run.clone()).await.unwrap());
    store.vacuum().await.unwrap();
    // What is left is 101 events.
    assert!(bytes() * 50 < before, "{before} before, and {} after", bytes());
    assert_eq!(held(&store, "kept").await, events("kept", 1..=100));
    assert_eq!(held(&store, "folded").await, std::slice::from_ref(&run));
    assert_eq!(store.usage("folded").await.unwrap(), Usage::new(1, run.payload.get().len() as u64));
    assert_eq!(store.insert_event("folded", event("folded", 10_001)).await.unwrap(), Inserted::Stored);
}

#[tokio::test]
async fn a_file_in_use_is_vacuumed_another_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(20));
    let store = SqliteSessionPersistDriver::open_with_options(&path, options).await.unwrap();
    assert_eq!(store.insert_events("s", events("s", 1..=100)).await.unwrap(), Inserted::Stored);
    for holds in ["BEGIN IMMEDIATE", "BEGIN; SELECT count(*) FROM events"] {
        let other = foreign(&folder);
        other.execute_batch(holds).unwrap();
        let error = store.vacuum().await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        other.execute_batch("ROLLBACK").unwrap();
        store.vacuum().await.unwrap();
    }
    assert_eq!(held(&store, "s").await, events("s", 1..=100));
}

/// No driver leaves a hole; somebody who repairs a file may.
#[tokio::test]
async fn a_run_with_a_hole_is_not_folded() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    assert_eq!(store.insert_events("s", events("s", 1..=9)).await.unwrap(), Inserted::Stored);
    foreign(&folder).execute_batch("DELETE FROM events WHERE event_index = 5").unwrap();
    assert!(!store.fold("s", named("s", 8, "run").standing_from(2)).await.unwrap());
    assert_eq!(held(&store, "s").await.len(), 8);
    assert!(store.fold("s", named("s", 4, "run").standing_from(2)).await.unwrap());
}

#[tokio::test]
async fn a_fold_that_fails_changes_nothing() {
    for loses in ["ABORT", "ROLLBACK"] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        assert_eq!(store.insert_events("s", events("s", 1..=9)).await.unwrap(), Inserted::Stored);
        let file = foreign(&folder);
        let refuse = format!(
            "CREATE TRIGGER refuse BEFORE UPDATE ON events BEGIN SELECT RAISE({loses}, 'refused'); END"
        );
        file.execute_batch(&refuse).unwrap();
        let error = store.fold("s", named("s", 8, "run").standing_from(2)).await.unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
        assert_eq!(held(&store, "s").await, events("s", 1..=9));
        file.execute_batch("DROP TRIGGER refuse").unwrap();
        assert!(store.fold("s", named("s", 8, "run").standing_from(2)).await.unwrap());
        let indexes: Vec<_> = held(&store, "s").await.iter().map(|event| event.indexes()).collect();
        assert_eq!(indexes, [1..=1, 2..=8, 9..=9]);
    }
}
