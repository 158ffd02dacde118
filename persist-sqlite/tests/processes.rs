//! Processes that are killed while they write, and two that write one session.
//!
//! The other process is this test program, started again to run [`writer_process`] alone.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;

/// Tells the started program what to write, to which file and as whom.
const ROLE: &str = "PERSIST_SQLITE_TEST_WRITER";

fn start(role: &str, path: &Path, name: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_process", "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{role}\n{name}\n{}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// What a started program does; nothing when it was not started to write.
#[tokio::test]
async fn writer_process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let mut parts = role.splitn(3, '\n');
    let (role, name) = (parts.next().unwrap(), parts.next().unwrap());
    let store = SqliteSessionPersistDriver::open(parts.next().unwrap()).await.unwrap();
    match role {
        "until killed" => {
            let alone = write_until_killed(&store, "alone", 1);
            let batches = write_until_killed(&store, "batches", 7);
            tokio::join!(alone, batches);
        }
        _ => write_beside_another(&store, name).await,
    }
}

fn event(session_id: &str, index: u64, id: String) -> SessionEvent {
    let payload = format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(300));
    let payload = RawValue::from_string(payload).unwrap();
    SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, payload)
}

fn numbered(session_id: &str, index: u64) -> SessionEvent {
    event(session_id, index, format!("{session_id}.{index}"))
}

async fn held(store: &SqliteSessionPersistDriver, session_id: &str) -> Vec<SessionEvent> {
    let all = ListEventsRequest::new(session_id).limit(usize::MAX);
    store.list_events(all).await.unwrap().items
}

async fn write_until_killed(store: &SqliteSessionPersistDriver, session_id: &str, size: u64) {
    let mut last = held(store, session_id).await.len() as u64;
    loop {
        let batch = (last + 1..=last + size).map(|index| numbered(session_id, index));
        let inserted = store.insert_events(session_id, batch.collect()).await.unwrap();
        assert_eq!(inserted, Inserted::Stored);
        last += size;
        println!("\nstored {session_id} {last}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let mut acknowledged = BTreeMap::from([("alone".to_owned(), 0), ("batches".to_owned(), 0)]);
    for round in 0..10 {
        let (mut child, lines) = start("until killed", &path, "");
        let (mut seen, kill_at) = (0, 3 + round * 11 % 40);
        for line in lines {
            let line = line.unwrap();
            let Some((session_id, last)) =
                line.strip_prefix("stored ").and_then(|stored| stored.split_once(' '))
            else {
                continue;
            };
            acknowledged.insert(session_id.to_owned(), last.parse::<u64>().unwrap());
            seen += 1;
            // The child is somewhere in its next writes then.
            if seen == kill_at {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= kill_at, "it ended by itself");

        let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
        for (session_id, acknowledged) in &acknowledged {
            let held = held(&store, session_id).await;
            assert!(held.len() as u64 >= *acknowledged, "{session_id} lost an event");
            let want: Vec<_> = (1..=held.len() as u64).map(|index| numbered(session_id, index)).collect();
            assert_eq!(held, want);
        }
    }
    assert!(acknowledged.values().all(|last| *last > 0), "{acknowledged:?}");
}

const EACH: u64 = 300;

async fn write_beside_another(store: &SqliteSessionPersistDriver, name: &str) {
    let mut next_index = 1;
    let mut done = 0;
    let mut conflicts = 0;
    while done < EACH {
        let size = 1 + done % 3;
        let batch =
            (0..size).map(|place| event("shared", next_index + place, format!("{name}.{}", done + place)));
        match store.insert_events("shared", batch.collect()).await.unwrap() {
            Inserted::Stored => {
                done += size;
                next_index += size;
            }
            Inserted::Conflict { next_index: next } => {
                next_index = next;
                conflicts += 1;
            }
            Inserted::Duplicate => unreachable!("each id is used once"),
        }
    }
    println!("\nwrote {done} {conflicts}");
}

#[tokio::test]
async fn two_processes_write_one_session_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let writers = ["a", "b"].map(|name| (name, start("beside another", &path, name)));
    let mut wrote = BTreeMap::new();
    for (name, (mut child, lines)) in writers {
        for line in lines.map(Result::unwrap) {
            if let Some(counts) = line.strip_prefix("wrote ") {
                let (done, conflicts) = counts.split_once(' ').unwrap();
                wrote.insert(name, done.parse::<u64>().unwrap());
                println!("{name}: {conflicts} conflicts");
            }
        }
        assert!(child.wait().unwrap().success());
    }

    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    let held = held(&store, "shared").await;
    assert_eq!(held.len() as u64, wrote.values().sum::<u64>());
    for (index, event) in (1..).zip(&held) {
        assert_eq!(event.event_index, index);
    }
    for (name, wrote) in wrote {
        let own = held.iter().filter(|event| event.id.starts_with(name));
        let own: Vec<_> = own.map(|event| event.id.clone()).collect();
        let want: Vec<_> = (0..wrote).map(|number| format!("{name}.{number}")).collect();
        assert_eq!(own, want, "in the order in which {name} wrote them");
    }
}
