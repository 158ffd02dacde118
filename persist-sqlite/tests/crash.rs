//! A program that is killed at any moment of its writes, again and again on one file.
//!
//! The program is this test program, started again to run [`crash_writer`] alone. It tells what was
//! acknowledged on its output, which this one reads to the end when it has killed it.
//! `PERSIST_SQLITE_CRASH_ROUNDS` says how often that is done, and `PERSIST_SQLITE_CRASH_SEED` when.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{event, events, held, named};
use rusqlite::Connection;
use sandbox_agent_persist::{
    Acquired, Inserted, ListEventsRequest, SessionEvent, SessionLease, SessionPersistDriver, SessionRecord,
    SessionUpkeep,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;

const FILE: &str = "PERSIST_SQLITE_TEST_CRASH_FILE";
const ROUNDS: &str = "PERSIST_SQLITE_CRASH_ROUNDS";
const SEED: &str = "PERSIST_SQLITE_CRASH_SEED";

const HOUR: Duration = Duration::from_secs(3600);

/// Events that one event comes to stand for.
const RUN: u64 = 6;

type Store = SqliteSessionPersistDriver;

/// What the started program does until it is killed; nothing when it was not started for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_writer() {
    let Ok(path) = std::env::var(FILE) else { return };
    let store = Store::open(path).await.unwrap();
    tokio::join!(
        inserts(&store, "alone", 1),
        inserts(&store, "batches", 40),
        folds(&store),
        updates(&store),
        deletions(&store),
        leases(&store),
    );
}

async fn last_index(store: &Store, session_id: &str) -> u64 {
    let newest = ListEventsRequest::new(session_id).descending().limit(1);
    store.list_events(newest).await.unwrap().items.first().map_or(0, |event| event.event_index)
}

async fn insert(store: &dyn SessionPersistDriver, session_id: &str, events: Vec<SessionEvent>) {
    let last = events.last().unwrap().event_index;
    assert_eq!(store.insert_events(session_id, events).await.unwrap(), Inserted::Stored);
    println!("\nstored {session_id} {last}");
}

async fn inserts(store: &Store, session_id: &str, most: u64) {
    let mut last = last_index(store, session_id).await;
    loop {
        let size = fastrand::u64(1..=most);
        insert(store, session_id, events(session_id, last + 1..=last + size)).await;
        last += size;
    }
}

fn run_that_ends_at(last: u64) -> SessionEvent {
    named("folded", last, &format!("run to {last}")).standing_from(last + 1 - RUN)
}

async fn folds(store: &Store) {
    let mut last = last_index(store, "folded").await;
    loop {
        // Whoever was killed may have left a run half written, or not folded.
        let end = last.next_multiple_of(RUN);
        if last < end {
            insert(store, "folded", events("folded", last + 1..=end)).await;
        }
        if end > 0 && store.fold("folded", run_that_ends_at(end)).await.unwrap() {
            println!("\nfolded {end} {end}");
        }
        last = end;
        insert(store, "folded", events("folded", last + 1..=last + 2)).await;
        last += 2;
    }
}

fn record(number: u64) -> SessionRecord {
    let mut record = SessionRecord::new("updated", format!("agent {number}"), 0);
    record.title = Some(format!("title {number}"));
    record.tags = [format!("tag {number}")].into();
    record.session_init = Some(number.into());
    record.extra.insert("number".to_owned(), number.into());
    record
}

async fn updates(store: &Store) {
    let held = store.get_session("updated").await.unwrap();
    let mut number = held.map_or(0, |record| record.session_init.unwrap().as_u64().unwrap());
    loop {
        number += 1;
        store.update_session(record(number)).await.unwrap();
        println!("\nupdated it {number}");
    }
}

async fn deletions(store: &Store) {
    loop {
        let id = format!("doomed.{:x}", fastrand::u64(..));
        store.update_session(SessionRecord::new(&id, "codex", 1)).await.unwrap();
        assert_eq!(store.insert_events(&id, events(&id, 1..=5)).await.unwrap(), Inserted::Stored);
        println!("\nmade {id} 5");
        store.delete_session(&id).await.unwrap();
        println!("\ndeleted {id} 5");
    }
}

async fn leases(store: &Store) {
    let mut last = last_index(store, "leased").await;
    loop {
        let lease = store.take_over("leased", "writer", HOUR).await.unwrap();
        println!("\ngranted it {}", lease.token);
        let fenced = store.fenced(&lease);
        for _ in 0..fastrand::u64(0..4) {
            last += 1;
            insert(&*fenced, "leased", vec![event("leased", last)]).await;
        }
    }
}

/// What was acknowledged so far, by all that were killed.
#[derive(Default)]
struct Acknowledged {
    /// The last index of each session.
    stored: BTreeMap<String, u64>,
    /// Where each run of "folded" ends.
    folded: Vec<u64>,
    updated: u64,
    token: u64,
    /// The doomed sessions of the last one; `true` when it is gone for certain.
    doomed: BTreeMap<String, bool>,
    /// Up to where each session was found to be right.
    checked: BTreeMap<String, u64>,
}

impl Acknowledged {
    /// Takes a line of the program; `false` when it says nothing of this.
    fn take(&mut self, line: &str) -> bool {
        let words: Vec<_> = line.split(' ').collect();
        let [what, of, number] = words[..] else { return false };
        let Ok(number) = number.parse() else { return false };
        match what {
            "stored" => assert!(self.stored.insert(of.to_owned(), number).is_none_or(|last| last < number)),
            "folded" => self.folded.push(number),
            "updated" => self.updated = number,
            "made" => assert!(self.doomed.insert(of.to_owned(), false).is_none()),
            "deleted" => assert_eq!(self.doomed.insert(of.to_owned(), true), Some(false)),
            "granted" => {
                assert!(number > self.token, "token {number} was granted after {}", self.token);
                self.token = number;
            }
            _ => return false,
        }
        true
    }

    /// Whether the file has it all, whole.
    async fn check(&mut self, store: &Store) {
        for session_id in ["alone", "batches", "leased"] {
            let checked = self.checked.get(session_id).copied().unwrap_or(0);
            let tail = ListEventsRequest::new(session_id).after_index(checked).limit(usize::MAX);
            let tail = store.list_events(tail).await.unwrap().items;
            let last = checked + tail.len() as u64;
            assert_eq!(tail, events(session_id, checked + 1..=last), "{session_id}");
            assert!(last >= self.stored.get(session_id).copied().unwrap_or(0), "{session_id} lost an event");
            self.checked.insert(session_id.to_owned(), last);
        }
        self.check_folded(store).await;

        let updated = store.get_session("updated").await.unwrap();
        let number =
            updated.as_ref().map_or(0, |updated| updated.session_init.clone().unwrap().as_u64().unwrap());
        assert!(number >= self.updated, "update {} was lost", self.updated);
        assert!(updated.is_none_or(|updated| updated == record(number)), "update {number} is torn");

        for (id, gone) in std::mem::take(&mut self.doomed) {
            let (record, events) = (store.get_session(&id).await.unwrap(), held(store, &id).await);
            let whole = record.is_some() && events == common::events(&id, 1..=5);
            let nothing = record.is_none() && events.is_empty();
            assert!(nothing || (whole && !gone), "{id}, gone for certain: {gone}, has {events:?}");
        }

        if self.token > 0 {
            let lease = store.holder("leased").await.unwrap().unwrap();
            assert!(lease.token >= self.token, "the lease {} was lost", self.token);
            let other = store.acquire("leased", "other", HOUR).await.unwrap();
            assert_eq!(other, Acquired::Held(lease));
            let error = store.delete_session("leased").await.unwrap_err();
            assert!(error.is_fenced(), "{error}");
        }
    }

    async fn check_folded(&mut self, store: &Store) {
        let checked = self.checked.get("folded").copied().unwrap_or(0);
        let tail = ListEventsRequest::new("folded").after_index(checked).limit(usize::MAX);
        let mut last = checked;
        for event in store.list_events(tail).await.unwrap().items {
            assert_eq!(event.first_index(), last + 1);
            last = event.event_index;
            let whole = match event.folded_from {
                Some(_) => run_that_ends_at(last),
                None => common::event("folded", last),
            };
            assert_eq!(event, whole);
            if event.folded_from.is_some() {
                self.folded.retain(|end| *end != last);
            }
            // Behind it there may still be folded.
            if last % RUN == 0 && event.folded_from.is_some() {
                self.checked.insert("folded".to_owned(), last);
            }
        }
        assert!(self.folded.is_empty(), "the folds to {:?} were lost", self.folded);
        assert!(last >= self.stored.get("folded").copied().unwrap_or(0), "folded lost an event");
    }
}

/// Starts the program and kills it a moment after so many acknowledgements.
fn killed(path: &Path, acknowledged: &mut Acknowledged, after: usize, moment: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash_writer", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if acknowledged.take(&line.unwrap()) {
            seen += 1;
            if seen == after {
                thread::sleep(moment);
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(seen >= after, "it ended by itself");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_survives_any_kill() {
    let rounds = number(ROUNDS).unwrap_or(100);
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED}={seed} {ROUNDS}={rounds}");
    let mut moments = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let mut acknowledged = Acknowledged::default();
    for _ in 0..rounds {
        let (after, moment) = (moments.usize(1..120), Duration::from_micros(moments.u64(0..2_000)));
        killed(&path, &mut acknowledged, after, moment);
        let store = Store::open(&path).await.unwrap();
        acknowledged.check(&store).await;
        store.close().await.unwrap();
    }

    acknowledged.checked.clear();
    let store = Store::open(&path).await.unwrap();
    acknowledged.check(&store).await;
    let file = Connection::open(&path).unwrap();
    let sound: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    println!("{:?}, {} updates, token {}", acknowledged.checked, acknowledged.updated, acknowledged.token);
    assert!(acknowledged.checked.len() == 4 && acknowledged.updated > 0 && acknowledged.token > 0);
}
