//! Processes that are killed while they write: nothing that was acknowledged is lost, and the file is whole.
//!
//! The other process is this test program, started again to run [`writer_process`] alone.
//! `PERSIST_RIVET_JSON_KILLS` is how many are killed, `PERSIST_RIVET_JSON_SEED` when.
#![allow(clippy::unwrap_used)]

mod kit;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use kit::{Driver, held, limits, raw};
use sandbox_agent_persist::{Inserted, Sender, SessionEvent, SessionPersistDriver, SessionRecord};
use sandbox_agent_persist_rivet_json::FileState;

/// Tells the started program which file to write.
const WRITER: &str = "PERSIST_RIVET_JSON_TEST_WRITER";
/// The sessions, and how many events each stores at once.
const SESSIONS: [(&str, u64); 4] = [("alone", 1), ("beside", 1), ("batches", 7), ("records", 2)];
const HELD: u64 = 60;

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |number| number.parse().unwrap())
}

fn start(path: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_process", "--nocapture", "--test-threads=1"])
        .env(WRITER, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn open(path: &Path) -> Driver {
    let options = limits().max_events_per_session(HELD as usize);
    Driver::open_with_options(FileState::new(path).unwrap(), options).await.unwrap()
}

fn numbered(session_id: &str, index: u64) -> SessionEvent {
    let id = format!("{session_id}.{index}");
    let payload = raw(format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(index as usize * 31 % 900)));
    SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, payload)
}

/// What a started program does; nothing when it was not started to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_process() {
    let Some(path) = std::env::var_os(WRITER) else {
        return;
    };
    let store = open(path.as_ref()).await;
    let [a, b, c, d] = SESSIONS.map(|(session, size)| tokio::spawn(write(store.clone(), session, size)));
    tokio::try_join!(a, b, c, d).unwrap();
}

async fn write(store: Driver, session_id: &str, size: u64) {
    let mut last = held(&store, session_id).await.last().map_or(0, |event| event.event_index);
    loop {
        let batch = (last + 1..=last + size).map(|index| numbered(session_id, index));
        let inserted = store.insert_events(session_id, batch.collect()).await.unwrap();
        assert_eq!(inserted, Inserted::Stored);
        last += size;
        if session_id == "records" {
            store.update_session(SessionRecord::new(session_id, "codex", last as i64)).await.unwrap();
        }
        println!("\nstored {session_id} {last}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let seed = number_of("PERSIST_RIVET_JSON_SEED", 1);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut acknowledged: BTreeMap<_, _> = SESSIONS.map(|(session, _)| (session.to_owned(), 0)).into();
    for round in 1..=number_of("PERSIST_RIVET_JSON_KILLS", 100) {
        let (mut child, lines) = start(&path);
        let (mut seen, kill_at) = (0, random.u64(1..30));
        for line in lines {
            let line = line.unwrap();
            let Some((session, last)) = line.strip_prefix("stored ").and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            acknowledged.insert(session.to_owned(), last.parse::<u64>().unwrap());
            seen += 1;
            if seen == kill_at {
                // Somewhere in one of its next saves.
                thread::sleep(Duration::from_micros(random.u64(..3_000)));
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= kill_at, "it ended by itself");

        let store = open(&path).await;
        for (session, acknowledged) in &acknowledged {
            let held = held(&store, session).await;
            let last = held.last().map_or(0, |event| event.event_index);
            assert!(last >= *acknowledged, "{session} lost an event in round {round} of seed {seed}");
            let first = last.saturating_sub(HELD) + 1;
            let want: Vec<_> = (first..=last).map(|index| numbered(session, index)).collect();
            assert_eq!(held, want, "in round {round} of seed {seed}");
        }
        let record = store.get_session("records").await.unwrap();
        let noted = record.map_or(0, |record| record.created_at.unsigned_abs());
        assert!(noted >= acknowledged["records"], "a record was lost in round {round} of seed {seed}");
    }
    assert!(acknowledged.values().all(|last| *last > HELD), "{acknowledged:?}");
}
