//! The state is never larger than it may be, whatever is written to it.
//!
//! `PERSIST_RIVET_JSON_SEED` repeats the run of one seed, which each failure names.
#![allow(clippy::unwrap_used)]

mod kit;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use kit::{Driver, PROMPT, RESPONSE, event, held, ids, limits};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, PersistErrorKind, Sender, SessionEvent, SessionPersistDriver, SessionRecord,
};
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, ValueState};
use serde_json::Map;

const SESSIONS: [&str; 5] = ["a", "b", "session-c", "ü\"\\\n", "long"];

/// What must be there, as far as the writes say.
#[derive(Default)]
struct Model {
    /// The events of each session that were stored since it began, and the index before the first.
    stored: BTreeMap<String, Vec<SessionEvent>>,
}

struct Run {
    random: Rng,
    store: Driver,
    options: RivetJsonOptions,
    model: Model,
    named: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let options = limits()
            .max_bytes(random.usize(1_000..30_000))
            .max_sessions(random.usize(1..6))
            .max_events_per_session(random.usize(1..60));
        let store = Driver::in_process(options.clone());
        Self { random, store, options, model: Model::default(), named: 0 }
    }

    fn session(&mut self) -> String {
        let session = SESSIONS[self.random.usize(..SESSIONS.len())];
        if session == "long" { "x".repeat(300) } else { session.to_owned() }
    }

    fn payload(&mut self) -> (Sender, String) {
        let size = match self.random.u8(..10) {
            0 => self.options.max_bytes + self.random.usize(..500),
            1 => self.random.usize(..self.options.max_bytes),
            _ => self.random.usize(..300),
        };
        match self.random.u8(..6) {
            0 => (Sender::Client, PROMPT.to_owned()),
            1 => (Sender::Agent, RESPONSE.to_owned()),
            2 => (Sender::Agent, format!("[{}0.5]", "0.5,".repeat(size / 4))),
            3 => (
                Sender::Agent,
                format!("{{\"id\":7,\"result\":{{\"x\":\"{}\"}}}}", "\\u0000".repeat(size / 6)),
            ),
            _ => (Sender::Agent, kit::update_of(size)),
        }
    }

    fn event(&mut self, session: &str, index: u64) -> SessionEvent {
        let (sender, payload) = self.payload();
        self.named += 1;
        let mut event = event(session, index, &payload);
        event.id = format!("{}-{}", self.named, self.random.alphanumeric());
        event.sender = sender;
        event
    }

    /// The index that the store wants next, held against the model.
    async fn next_index(&mut self, session: &str) -> u64 {
        let probe = event(session, u64::MAX, "null");
        let next_index = match self.store.insert_event(session, probe).await.unwrap() {
            Inserted::Conflict { next_index } => next_index,
            other => panic!("{other:?}"),
        };
        let stored = self.model.stored.entry(session.to_owned()).or_default();
        let want = stored.last().map_or(1, |event| event.event_index + 1);
        // Of a session that went whole the mark may be forgotten.
        if next_index == 1 && want > 1 {
            stored.clear();
        } else {
            assert_eq!(next_index, want, "of {session:?}");
        }
        next_index
    }

    async fn step(&mut self) {
        let session = self.session();
        match self.random.u8(..12) {
            0 => {
                let mut record = SessionRecord::new(&session, "codex", self.random.i64(0..100));
                record.title = Some("é".repeat(self.random.usize(..400)));
                record.destroyed_at = self.random.bool().then_some(1);
                let updated = self.store.update_session(record.clone()).await;
                match updated {
                    Ok(()) => assert_eq!(self.store.get_session(&session).await.unwrap(), Some(record)),
                    Err(error) => assert_eq!(error.kind(), PersistErrorKind::TooLarge),
                }
            }
            1 if self.random.u8(..4) == 0 => {
                self.store.delete_session(&session).await.unwrap();
                self.model.stored.remove(&session);
            }
            1 | 2 => self.fold(&session).await,
            3 => {
                let mut next = self.next_index(&session).await;
                let count = self.random.u64(1..8);
                let batch: Vec<_> = (next..next + count).map(|index| self.event(&session, index)).collect();
                let inserted = self.store.insert_events(&session, batch.clone()).await;
                if inserted.is_err() {
                    // A part of it may be there.
                    let probe = event(&session, u64::MAX, "null");
                    match self.store.insert_event(&session, probe).await.unwrap() {
                        Inserted::Conflict { next_index } => next = next_index,
                        other => panic!("{other:?}"),
                    }
                } else {
                    next += count;
                }
                let stored = batch.into_iter().filter(|event| event.event_index < next);
                self.model.stored.entry(session).or_default().extend(stored);
            }
            _ => {
                let next = self.next_index(&session).await;
                let event = self.event(&session, next);
                match self.store.insert_event(&session, event.clone()).await {
                    Ok(inserted) => {
                        assert_eq!(inserted, Inserted::Stored);
                        self.model.stored.entry(session).or_default().push(event);
                    }
                    Err(error) => assert_eq!(error.kind(), PersistErrorKind::TooLarge),
                }
            }
        }
    }

    async fn fold(&mut self, session: &str) {
        let held = held(&self.store, session).await;
        if held.len() < 3 {
            return;
        }
        let from = self.random.usize(..held.len() - 1);
        let to = self.random.usize(from + 1..held.len());
        let (first, last) = (held[from].first_index(), held[to].event_index);
        let folded = self.event(session, last).standing_from(first);
        match self.store.upkeep().unwrap().fold(session, folded.clone()).await {
            Ok(was_folded) => {
                assert!(was_folded);
                let stored = self.model.stored.get_mut(session).unwrap();
                stored.retain(|event| event.event_index < first || event.first_index() > last);
                stored.push(folded);
                stored.sort_by_key(|event| event.event_index);
            }
            Err(error) => assert_eq!(error.kind(), PersistErrorKind::TooLarge),
        }
    }

    fn check_bytes(&self) {
        let content = self.store.content();
        let (counted, json) = (content.bytes(), content.json());
        assert!(counted <= self.options.max_bytes, "{counted} of {}", self.options.max_bytes);
        assert!(json.len() <= counted, "{} in JSON, {counted} counted", json.len());
    }

    /// What is held is the end of what was stored; the rest is marked.
    async fn check_sessions(&self) {
        let mut sessions = 0;
        for (session, stored) in &self.model.stored {
            let held = held(&self.store, session).await;
            sessions += usize::from(!held.is_empty());
            assert!(held.len() <= self.options.max_events_per_session);
            let (gone, left) = stored.split_at(stored.len() - held.len());
            for (held, stored) in held.iter().zip(left) {
                assert_eq!((&held.id, held.indexes()), (&stored.id, stored.indexes()));
                let is_whole = sandbox_agent_persist_rivet_json::Truncated::of(held).is_none();
                assert!(!is_whole || held.payload.get() == stored.payload.get());
            }
            let begin = ListEventsRequest::new(session).after_index(0);
            if let (Some(last), Err(error)) = (gone.last(), self.store.list_events(begin).await) {
                let want = PersistErrorKind::Evicted { from: 1, to: last.event_index };
                assert_eq!(error.kind(), want);
            } else {
                assert!(gone.is_empty() || held.is_empty());
            }
        }
        assert!(sessions <= self.options.max_sessions);
        assert!(ids(&self.store).await.len() <= self.options.max_sessions);
    }

    /// What another driver reads of it is the same.
    async fn check_opened_again(&self) {
        let json = self.store.content().json();
        let mut members = Map::new();
        members.insert("_sandboxAgentPersist".to_owned(), serde_json::from_str(&json).unwrap());
        let again = Driver::open_with_options(ValueState::with_members(members), self.options.clone());
        let again = again.await.unwrap();
        assert_eq!(again.content().bytes(), self.store.content().bytes());
        let values = [&again, &self.store].map(|store| store.content().to_value());
        assert_eq!(values[0], values[1]);
        for session in self.model.stored.keys() {
            for after in [0, 3] {
                let request = ListEventsRequest::new(session).after_index(after).limit(usize::MAX);
                let [first, second] = [&again, &self.store];
                match (first.list_events(request.clone()).await, second.list_events(request).await) {
                    (Ok(first), Ok(second)) => assert_eq!(
                        first.items.iter().map(|event| &event.id).collect::<Vec<_>>(),
                        second.items.iter().map(|event| &event.id).collect::<Vec<_>>()
                    ),
                    (first, second) => {
                        assert_eq!(first.unwrap_err().kind(), second.unwrap_err().kind());
                    }
                }
            }
        }
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("PERSIST_RIVET_JSON_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=60).collect(),
    }
}

#[tokio::test]
async fn whatever_is_written_the_bytes_stay_below_and_the_rest_is_right() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut run = Run::new(seed);
        for _ in 0..250 {
            run.step().await;
            run.check_bytes();
            run.check_sessions().await;
        }
        run.check_opened_again().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_thread_ever_sees_more() {
    const MOST: usize = 8_000;
    let store = Driver::in_process(limits().max_bytes(MOST));
    let is_done = std::sync::Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (content, is_done) = (store.content().clone(), is_done.clone());
        move || {
            let mut looks = 0;
            while !is_done.load(Ordering::Relaxed) {
                assert!(content.bytes() <= MOST);
                assert!(content.json().len() <= MOST);
                looks += 1;
            }
            looks
        }
    });
    let writers = SESSIONS.map(|session| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut random = Rng::with_seed(session.len() as u64);
            for index in 1..1_000 {
                let payload = kit::update_of(random.usize(..3_000));
                let inserted = store.insert_event(session, event(session, index, &payload)).await;
                assert_eq!(inserted.unwrap(), Inserted::Stored);
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    is_done.store(true, Ordering::Relaxed);
    assert!(watcher.join().unwrap() > 0);
}

#[tokio::test]
async fn a_state_that_is_too_large_is_kept_until_the_first_write() {
    let large = Driver::in_process(limits());
    let mut session = kit::Session::new(&large, "s");
    session.updates(100).await;
    let text = large.content().json();
    let mut members = Map::new();
    members.insert("_sandboxAgentPersist".to_owned(), serde_json::from_str(&text).unwrap());
    let state = ValueState::with_members(members);
    let store = Driver::open_with_options(state, limits().max_bytes(5_000).max_events_per_session(50));
    let store = store.await.unwrap();
    assert_eq!(held(&store, "s").await.len(), 100);
    let inserted = store.insert_event("s", event("s", 101, "null")).await.unwrap();
    assert_eq!(inserted, Inserted::Stored);
    assert!(store.content().bytes() <= 5_000);
    let held = held(&store, "s").await;
    assert_eq!(held.last().unwrap().event_index, 101);
    assert!(held.len() <= 50 && held.len() > 10, "{}", held.len());
}
