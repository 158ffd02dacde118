//! Leases in a file: what the suite can't see from outside.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{event, events, foreign, held, open};
use sandbox_agent_persist::{
    Acquired, Inserted, Lease, PersistErrorKind, SessionLease, SessionPersistDriver, SessionRecord,
    SessionUpkeep,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;

const HOUR: Duration = Duration::from_secs(3600);

async fn acquired(store: &SqliteSessionPersistDriver, session_id: &str, holder: &str) -> Lease {
    match store.acquire(session_id, holder, HOUR).await.unwrap() {
        Acquired::Granted(lease) => lease,
        Acquired::Held(by) => panic!("held by {by:?}"),
    }
}

#[tokio::test]
async fn a_write_is_held_against_the_lease_in_the_transaction_that_it_shares() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let ours = acquired(&store, "ours", "we").await;
    let fenced = store.fenced(&ours);
    let before = store.stats();
    let other = foreign(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    // Each waits behind the one before it, as long as nobody else may write.
    let insert = |store: std::sync::Arc<dyn SessionPersistDriver>, session_id: &'static str, index| {
        tokio::spawn(async move {
            let inserted = store.insert_event(session_id, event(session_id, index)).await;
            inserted.map_err(|error| error.kind())
        })
    };
    let plain = || std::sync::Arc::new(store.clone());
    let in_order = [
        insert(plain(), "free", 1),
        insert(plain(), "ours", 1),
        insert(fenced.clone(), "ours", 1),
        insert(fenced, "free", 2),
    ];
    let taken = tokio::spawn({
        let store = store.clone();
        async move { acquired(&store, "free", "they").await }
    });
    let too_late = insert(plain(), "free", 3);
    let last = insert(plain(), "another", 1);
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").unwrap();

    let mut got = Vec::new();
    for insert in in_order {
        got.push(insert.await.unwrap());
    }
    let stored = Ok(Inserted::Stored);
    assert_eq!(got, [stored, Err(PersistErrorKind::Fenced), stored, stored]);
    let theirs = taken.await.unwrap();
    assert_eq!(too_late.await.unwrap(), Err(PersistErrorKind::Fenced));
    assert_eq!(last.await.unwrap(), stored);
    let after = store.stats();
    assert!(after.commits - before.commits <= 2, "one holds most of them: {before:?} {after:?}");
    assert_eq!(after.calls - before.calls, 7);

    assert_eq!(held(&store, "free").await, events("free", 1..=2));
    let error = store.insert_event("free", event("free", 3)).await.unwrap_err();
    assert!(error.to_string().contains("\"they\""), "{error}");
    let elsewhere = open(&folder).await;
    assert_eq!(elsewhere.holder("free").await.unwrap(), Some(theirs.clone()));
    let error = elsewhere.update_session(SessionRecord::new("free", "codex", 1)).await.unwrap_err();
    assert!(error.is_fenced(), "{error}");
    let fenced = elsewhere.fenced(&theirs);
    assert_eq!(fenced.insert_event("free", event("free", 3)).await.unwrap(), Inserted::Stored);
}

#[tokio::test]
async fn tokens_grow_whatever_becomes_of_the_leases() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for ends in ["taken over", "released", "deleted by hand", "with its session", "vacuumed away"] {
        let store = open(&folder).await;
        let lease = acquired(&store, "session", "holder").await;
        assert!(lease.token > last, "{ends}: {} after {last}", lease.token);
        last = lease.token;
        match ends {
            "taken over" => last = store.take_over("session", "holder", HOUR).await.unwrap().token,
            "released" => store.release(&lease).await.unwrap(),
            "deleted by hand" => foreign(&folder).execute_batch("DELETE FROM leases").unwrap(),
            "with its session" => store.fenced(&lease).delete_session("session").await.unwrap(),
            _ => {
                foreign(&folder).execute_batch("UPDATE leases SET expires_at = 0").unwrap();
                store.vacuum().await.unwrap();
            }
        }
        store.close().await.unwrap();
    }
    let lease = acquired(&open(&folder).await, "session", "holder").await;
    assert!(lease.token > last);
}

#[tokio::test]
async fn a_program_that_knows_no_leases_writes_past_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let fenced = store.fenced(&acquired(&store, "s", "we").await);
    let theirs =
        "INSERT INTO events (id, event_index, session_id, created_at, connection_id, sender, payload_json)
        VALUES ('theirs', 1, 's', 0, 'c', 'agent', '{}')";
    foreign(&folder).execute_batch(theirs).unwrap();
    let inserted = fenced.insert_event("s", event("s", 1)).await.unwrap();
    assert_eq!(inserted, Inserted::Conflict { next_index: 2 });
}

#[tokio::test]
async fn vacuuming_forgets_the_leases_that_expired_long_ago() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let Acquired::Granted(expired) = store.acquire("expired", "we", Duration::ZERO).await.unwrap() else {
        panic!("nobody had it");
    };
    let day_and_more = 25 * 3600 * 1000;
    let file = foreign(&folder);
    let old = "INSERT INTO leases (session_id, holder, expires_at) VALUES ('old', 'we', ?1)";
    file.execute(old, [expired.expires_at - day_and_more]).unwrap();
    store.vacuum().await.unwrap();
    let left: String =
        file.query_row("SELECT group_concat(session_id) FROM leases", [], |row| row.get(0)).unwrap();
    assert_eq!(left, "expired");
    // Nobody took it meanwhile.
    let fenced = store.fenced(&expired);
    assert_eq!(fenced.insert_event("expired", event("expired", 1)).await.unwrap(), Inserted::Stored);
}
