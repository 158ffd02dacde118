//! Several processes that write one file.
//!
//! The other process is this test program, started again to run [`writer_process`] alone.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tokio::task::JoinSet;

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
        "greedy" => write_all_the_time(&store, name).await,
        "modest" => write_now_and_then(&store, name).await,
        _ => write_beside_another(&store, name).await,
    }
}

fn event(session_id: &str, index: u64, id: String) -> SessionEvent {
    let payload = format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(300));
    let payload = RawValue::from_string(payload).unwrap();
    SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, payload)
}

async fn held(store: &SqliteSessionPersistDriver, session_id: &str) -> Vec<SessionEvent> {
    let all = ListEventsRequest::new(session_id).limit(usize::MAX);
    store.list_events(all).await.unwrap().items
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

/// Has always something that waits to be written, until it is killed.
async fn write_all_the_time(store: &SqliteSessionPersistDriver, name: &str) {
    let mut sessions = JoinSet::new();
    for number in 0..4 {
        let (store, session_id) = (store.clone(), format!("{name} {number}"));
        sessions.spawn(async move {
            for batch in 0.. {
                let events = (1..=128).map(|place| batch * 128 + place);
                let events = events.map(|index| event(&session_id, index, format!("{session_id}.{index}")));
                let inserted = store.insert_events(&session_id, events.collect()).await.unwrap();
                assert_eq!(inserted, Inserted::Stored);
                if batch == 0 {
                    println!("\nwrites");
                }
            }
        });
    }
    sessions.join_all().await;
}

const NOW_AND_THEN: u64 = 100;

/// Tells the longest that a call took.
async fn write_now_and_then(store: &SqliteSessionPersistDriver, name: &str) {
    let mut worst = Duration::ZERO;
    for index in 1..=NOW_AND_THEN {
        let began = Instant::now();
        let inserted = store.insert_event(name, event(name, index, format!("{name}.{index}"))).await;
        assert_eq!(inserted.unwrap(), Inserted::Stored);
        worst = worst.max(began.elapsed());
    }
    println!("\nworst {}", worst.as_millis());
}

#[tokio::test]
async fn a_process_that_writes_all_the_time_keeps_no_other_from_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let greedy = ["a", "b"].map(|name| {
        let (child, mut lines) = start("greedy", &path, name);
        lines.find(|line| line.as_ref().unwrap() == "writes").unwrap().unwrap();
        // Its output is read to the end, or it would wait for that.
        (child, thread::spawn(move || lines.count()))
    });
    let modest = ["m", "n"].map(|name| start("modest", &path, name));
    let mut worst = Vec::new();
    for (mut child, lines) in modest {
        let lines = lines.map(Result::unwrap);
        worst.extend(lines.filter_map(|line| line.strip_prefix("worst ")?.parse::<u64>().ok()));
        assert!(child.wait().unwrap().success());
    }
    for (mut child, output) in greedy {
        assert_eq!(child.try_wait().unwrap(), None, "it had no error and goes on");
        child.kill().unwrap();
        child.wait().unwrap();
        output.join().unwrap();
    }
    println!("waited {worst:?} ms at most");
    // Half of what a call waits before it is an error.
    assert!(worst.len() == 2 && worst.iter().all(|worst| *worst < 2_500), "{worst:?}");
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    assert_eq!(held(&store, "m").await.len() as u64, NOW_AND_THEN);
}
