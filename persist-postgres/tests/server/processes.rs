//! Processes that are killed while they write, two that write one session, and one that writes a lot.
//!
//! The other process is this test program, started again to run [`writer_process`] alone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use sandbox_agent_persist::{Inserted, SessionPersistDriver};
use sandbox_agent_persist_postgres::{PostgresOptions, PostgresSessionPersistDriver};

use crate::scratch::{Scratch, event, held, named, url};

/// Tells the started program what to write, to which schema and as whom.
const ROLE: &str = "PERSIST_POSTGRES_TEST_WRITER";

/// How often a writer is killed, unless this variable says so.
const KILLS: &str = "SANDBOX_AGENT_POSTGRES_KILLS";
const KILLS_DEFAULT: u32 = 100;

fn start(role: &str, scratch: &Scratch, name: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "processes::writer_process",
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ROLE, format!("{role}\n{name}\n{}", scratch.schema))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// What a started program does; nothing when it was not started to write.
#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn writer_process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let mut parts = role.splitn(3, '\n');
    let (role, name) = (parts.next().unwrap(), parts.next().unwrap());
    let options = PostgresOptions::new().schema(parts.next().unwrap()).connections(3);
    let store = PostgresSessionPersistDriver::connect_with_options(&url(), options).await.unwrap();
    match role {
        "until killed" => {
            let alone = write_until_killed(&store, "alone", 1);
            let batches = write_until_killed(&store, "batches", 7);
            tokio::join!(alone, batches);
        }
        "a million" => write_a_million(&store).await,
        _ => write_beside_another(&store, name).await,
    }
}

async fn write_until_killed(store: &PostgresSessionPersistDriver, session_id: &str, size: u64) {
    let mut next = 1 + held(store, session_id).await.last().map_or(0, |last| last.event_index);
    loop {
        let batch = (next..next + size).map(|index| event(session_id, index)).collect();
        match store.insert_events(session_id, batch).await.unwrap() {
            Inserted::Stored => {}
            // What the one before had on its way when it was killed.
            Inserted::Conflict { next_index } => {
                next = next_index;
                continue;
            }
            Inserted::Duplicate => {
                next = 1 + held(store, session_id).await.last().map_or(0, |last| last.event_index);
                continue;
            }
        }
        next += size;
        println!("\nstored {session_id} {}", next - 1);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn what_was_acknowledged_survives_the_death_of_its_process() {
    let kills = std::env::var(KILLS).map_or(KILLS_DEFAULT, |kills| kills.parse().unwrap());
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    let mut acknowledged = BTreeMap::<String, u64>::new();
    for kill in 0..kills {
        let kill_at = 1 + kill % 7 * 3;
        let (mut child, lines) = start("until killed", &scratch, "");
        let mut seen = 0;
        for line in lines.map(Result::unwrap) {
            let Some((session_id, last)) = line.strip_prefix("stored ").and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            acknowledged.insert(session_id.to_owned(), last.parse().unwrap());
            seen += 1;
            // What it printed until it died is read on; it is somewhere in its next writes then.
            if seen == kill_at {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= kill_at, "it ended by itself");
        for (session_id, acknowledged) in &acknowledged {
            let held = held(&store, session_id).await;
            assert!(held.len() as u64 >= *acknowledged, "{session_id} lost an event at kill {kill}");
            let want: Vec<_> = (1..=held.len() as u64).map(|index| event(session_id, index)).collect();
            assert_eq!(held, want, "at kill {kill}");
        }
    }
    assert_eq!(acknowledged.len(), 2, "{acknowledged:?}");
}

const EACH: u64 = 300;

async fn write_beside_another(store: &PostgresSessionPersistDriver, name: &str) {
    let (mut next_index, mut done, mut conflicts) = (1, 0, 0);
    while done < EACH {
        let size = 1 + done % 3;
        let batch =
            (0..size).map(|place| named("shared", next_index + place, &format!("{name}.{}", done + place)));
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
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn two_processes_write_one_session_and_lose_nothing() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    let writers = ["a", "b"].map(|name| (name, start("beside another", &scratch, name)));
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

async fn write_a_million(store: &PostgresSessionPersistDriver) {
    const BATCH: u64 = 500;
    let before = peak();
    for batch in 0..1_000_000 / BATCH {
        let batch = (batch * BATCH + 1..=(batch + 1) * BATCH).map(|index| event("s", index)).collect();
        assert_eq!(store.insert_events("s", batch).await.unwrap(), Inserted::Stored);
    }
    println!("\ntook {}", peak() - before);
}

/// The most KiB that this process has had in memory.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
#[cfg(target_os = "linux")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_million_events_take_little_memory() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    let (mut child, lines) = start("a million", &scratch, "");
    let lines: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success());
    let took: u64 = lines.iter().find_map(|line| line.strip_prefix("took ")).unwrap().parse().unwrap();
    println!("{took} KiB");
    assert!(took <= 32 * 1024, "{took} KiB");
    let last = sandbox_agent_persist::ListEventsRequest::new("s").descending().limit(1);
    assert_eq!(store.list_events(last).await.unwrap().items, [event("s", 1_000_000)]);
}
