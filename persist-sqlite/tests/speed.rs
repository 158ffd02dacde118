//! How fast the store is beside what a hand would write, for a release build on an idle machine.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tokio::task::JoinSet;

/// The ids that an agent's events have, or ids that are drawn at random.
#[derive(Clone, Copy, Debug)]
enum Ids {
    Agent,
    Random,
}

fn event(session_id: &str, index: u64, ids: Ids) -> SessionEvent {
    let id = match ids {
        Ids::Agent => format!("6f1c2f0e-6b1d-4b8e-9a52-3f0f7c1f9d11:{index}"),
        Ids::Random => {
            let spread = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{spread:016x}-{session_id}-{index:012}")
        }
    };
    let payload = format!(r#"{{"jsonrpc":"2.0","method":"session/update","text":"{}"}}"#, "x".repeat(240));
    let payload = RawValue::from_string(payload).unwrap();
    SessionEvent::new(id, index, session_id, 1_700_000_000_000, "connection-1", Sender::Agent, payload)
}

/// What a hand would write: one prepared statement, one transaction a batch, the same tables.
fn by_hand(connection: &mut Connection, batch: &[SessionEvent]) {
    let transaction = connection.transaction().unwrap();
    {
        let mut insert = transaction
            .prepare_cached(
                "INSERT INTO events (id, event_index, session_id, created_at, connection_id, \
                 sender, payload_json) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .unwrap();
        for event in batch {
            let values = params![
                event.id,
                event.event_index as i64,
                event.session_id,
                event.created_at,
                event.connection_id,
                event.sender.as_str(),
                event.payload.get(),
            ];
            insert.execute(values).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// A batch by each in turn, so that whatever else the machine does meets both.
async fn compare(ids: Ids, size: u64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteSessionPersistDriver::open(folder.path().join("ours.db")).await.unwrap();
    let path = folder.path().join("by_hand.db");
    SqliteSessionPersistDriver::open(&path).await.unwrap().close().await.unwrap();
    let mut connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();

    let events: u64 = std::env::var("EVENTS").map_or(307_200, |events| events.parse().unwrap());
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for batch in 0..events / size {
        let batch: Vec<_> = (1..=size).map(|place| event("session", batch * size + place, ids)).collect();
        let began = Instant::now();
        by_hand(&mut connection, &batch);
        theirs += began.elapsed();
        let began = Instant::now();
        assert_eq!(store.insert_events("session", batch).await.unwrap(), Inserted::Stored);
        ours += began.elapsed();
    }
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    let ratio = rate(ours) / rate(theirs);
    println!("{ids:?} {size}: ours {:.0}/s, by hand {:.0}/s, ratio {ratio:.2}", rate(ours), rate(theirs));
    ratio
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: run with --release on an idle machine"]
async fn batches_beside_a_hand() {
    for ids in [Ids::Agent, Ids::Random] {
        for size in [256, 1024] {
            let ratio = compare(ids, size).await;
            assert!(ratio >= 0.9, "{ids:?} {size}: {ratio}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: run with --release on an idle machine"]
async fn single_events_of_64_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteSessionPersistDriver::open(folder.path().join("sessions.db")).await.unwrap();
    let before = store.stats();
    let (began, mut sessions) = (Instant::now(), JoinSet::new());
    for number in 0..64 {
        let store = store.clone();
        sessions.spawn(async move {
            let session_id = format!("session-{number}");
            for index in 1..=500 {
                let event = event(&session_id, index, Ids::Random);
                assert_eq!(store.insert_event(&session_id, event).await.unwrap(), Inserted::Stored);
            }
        });
    }
    sessions.join_all().await;
    let commits = store.stats().commits - before.commits;
    let events = 64 * 500;
    println!(
        "{commits} commits, {:.1} events each, {:.0}/s",
        events as f64 / commits as f64,
        events as f64 / began.elapsed().as_secs_f64()
    );
    assert!(commits * 16 <= events);
}

/// The memory of this process, in bytes: what it has now, or the most that it had.
fn memory(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    line.trim_matches(|of: char| !of.is_ascii_digit()).parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: run with --release on an idle machine, alone in its process"]
async fn a_million_events() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteSessionPersistDriver::open(folder.path().join("sessions.db")).await.unwrap();
    let before = memory("VmRSS:");
    for batch in 0..1_000_000 / 500 {
        let batch: Vec<_> =
            (1..=500).map(|place| event("session", batch * 500 + place, Ids::Agent)).collect();
        assert_eq!(store.insert_events("session", batch).await.unwrap(), Inserted::Stored);
    }
    let grown = (memory("VmHWM:") - before) as f64 / f64::from(1 << 20);
    println!("peak growth {grown:.1} MiB");

    let mut medians = Vec::new();
    for from in [0, 1_000_000 - 100, 500_000, 0, 1_000_000 - 100] {
        let mut times = Vec::new();
        for _ in 0..400 {
            let began = Instant::now();
            let page = store.list_events(ListEventsRequest::new("session").after_index(from)).await.unwrap();
            times.push(began.elapsed());
            assert_eq!(page.items.len(), 100);
        }
        times.sort();
        println!("a page after {from}: {:?}", times[200]);
        medians.push(times[200].as_secs_f64());
    }
    assert!(grown <= 32.0);
    assert!(medians[4] / medians[3] <= 1.2, "{medians:?}");
}
