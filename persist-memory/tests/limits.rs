//! What goes when the store is full, and what never does.
#![allow(clippy::unwrap_used)]

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, PersistErrorKind, RawValue, Sender, SessionEvent,
    SessionPersistDriver, SessionRecord, envelope,
};
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};

const UPDATE: &str = r#"{"jsonrpc":"2.0","method":"session/update"}"#;
const PROMPT: &str = r#"{"jsonrpc":"2.0","id":"p-1","method":"session/prompt"}"#;
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":"p-1","result":{"stopReason":"end_turn"}}"#;

struct Session {
    store: MemorySessionPersistDriver,
    id: &'static str,
    last: u64,
}

impl Session {
    fn new(store: &MemorySessionPersistDriver, id: &'static str) -> Self {
        let store = store.clone();
        Self { store, id, last: 0 }
    }

    async fn add(&mut self, sender: Sender, payload: &str) -> Result<(), PersistErrorKind> {
        let index = self.last + 1;
        let event = SessionEvent::new(
            format!("{}.{index}", self.id),
            index,
            self.id,
            0,
            "c",
            sender,
            RawValue::from_string(payload.to_owned()).unwrap(),
        );
        let inserted = self.store.insert_event(self.id, event).await;
        let inserted = inserted.map_err(|error| error.kind())?;
        assert_eq!(inserted, Inserted::Stored);
        self.last = index;
        Ok(())
    }

    async fn updates(&mut self, count: usize) {
        for _ in 0..count {
            self.add(Sender::Agent, UPDATE).await.unwrap();
        }
    }

    async fn held(&self) -> Vec<u64> {
        let request = ListEventsRequest::new(self.id).limit(usize::MAX);
        let page = self.store.list_events(request).await.unwrap();
        page.items.iter().map(|event| event.event_index).collect()
    }
}

fn holding(events: usize) -> MemorySessionPersistDriver {
    MemorySessionPersistDriver::with_options(MemoryOptions::new().max_events_per_session(events))
}

async fn evicted(store: &MemorySessionPersistDriver, request: ListEventsRequest) -> PersistErrorKind {
    store.list_events(request).await.unwrap_err().kind()
}

#[tokio::test]
async fn the_oldest_event_of_a_full_session_goes_and_leaves_an_exact_mark() {
    let store = holding(5);
    let mut session = Session::new(&store, "s");
    session.updates(8).await;
    assert_eq!(session.held().await, [4, 5, 6, 7, 8]);

    let after = |index| ListEventsRequest::new("s").after_index(index);
    let kind = |from| PersistErrorKind::Evicted { from, to: 3 };
    assert_eq!(evicted(&store, after(0)).await, kind(1));
    assert_eq!(evicted(&store, after(2)).await, kind(3));
    assert_eq!(store.list_events(after(3)).await.unwrap().items.len(), 5);

    let before = |index| ListEventsRequest::new("s").descending().before_index(index);
    assert_eq!(evicted(&store, before(4)).await, kind(1));
    assert_eq!(evicted(&store, before(3).after_index(1)).await, kind(2));
    assert!(store.list_events(before(1)).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn an_event_of_a_running_turn_stays_until_the_turn_is_over() {
    let ends: [(Sender, String); 4] = [
        (Sender::Agent, RESPONSE.to_owned()),
        (Sender::Client, format!(r#"{{"method":"{}","params":{{"id":"p-1"}}}}"#, envelope::TURN_ENDED)),
        (Sender::Client, format!(r#"{{"method":"{}"}}"#, envelope::PROCESS_ENDED)),
        (Sender::Agent, format!(r#"{{"method":"{}"}}"#, envelope::AGENT_EXITED)),
    ];
    for (sender, end) in ends {
        let store = holding(5);
        let mut session = Session::new(&store, "s");
        session.updates(3).await;
        session.add(Sender::Client, PROMPT).await.unwrap();
        session.updates(4).await;
        assert_eq!(session.held().await, [4, 5, 6, 7, 8], "what was before it goes");

        for other in
            [UPDATE, r#"{"id":"p-2","result":{}}"#, r#"{"id":"p-1","method":"session/request_permission"}"#]
        {
            let full = session.add(Sender::Agent, other).await;
            assert_eq!(full, Err(PersistErrorKind::TooLarge), "{other}");
        }
        assert_eq!(session.held().await, [4, 5, 6, 7, 8]);

        session.add(sender, &end).await.unwrap();
        assert_eq!(session.held().await, [5, 6, 7, 8, 9], "after {end}");
        session.updates(2).await;
        assert_eq!(session.held().await, [7, 8, 9, 10, 11]);
    }
}

#[tokio::test]
async fn a_destroyed_session_has_no_running_turn() {
    let store = holding(2);
    let mut session = Session::new(&store, "s");
    session.add(Sender::Client, PROMPT).await.unwrap();
    session.updates(1).await;
    assert!(session.add(Sender::Agent, UPDATE).await.is_err());
    let mut record = SessionRecord::new("s", "codex", 0);
    record.destroyed_at = Some(1);
    store.update_session(record).await.unwrap();
    session.updates(1).await;
    assert_eq!(session.held().await, [2, 3]);
}

#[tokio::test]
async fn of_two_running_turns_the_older_one_counts() {
    let store = holding(4);
    let mut session = Session::new(&store, "s");
    session.add(Sender::Client, PROMPT).await.unwrap();
    session.add(Sender::Client, &PROMPT.replace("p-1", "p-2")).await.unwrap();
    session.updates(2).await;
    assert!(session.add(Sender::Agent, UPDATE).await.is_err());
    session.add(Sender::Agent, RESPONSE).await.unwrap();
    assert_eq!(session.held().await, [2, 3, 4, 5]);
    assert!(session.add(Sender::Agent, UPDATE).await.is_err());
}

#[tokio::test]
async fn bytes_go_from_whoever_stored_first_but_from_no_running_turn() {
    let large = format!(r#"{{"method":"session/update","text":"{}"}}"#, "x".repeat(1000));
    let options = MemoryOptions::new().max_bytes(14_000);
    let store = MemorySessionPersistDriver::with_options(options);
    let mut running = Session::new(&store, "running");
    running.add(Sender::Client, PROMPT).await.unwrap();
    let mut idle = Session::new(&store, "idle");
    let mut busy = Session::new(&store, "busy");
    for _ in 0..4 {
        idle.add(Sender::Agent, &large).await.unwrap();
    }
    while idle.held().await.len() == 4 {
        busy.add(Sender::Agent, &large).await.unwrap();
    }
    assert_eq!(idle.held().await, [2, 3, 4]);
    assert_eq!(busy.held().await.first(), Some(&1));
    for _ in 0..20 {
        busy.add(Sender::Agent, &large).await.unwrap();
    }
    assert!(idle.held().await.is_empty());
    assert!(busy.held().await.first() > Some(&1));
    assert_eq!(running.held().await, [1]);
    let gone = evicted(&store, ListEventsRequest::new("idle").after_index(0)).await;
    assert_eq!(gone, PersistErrorKind::Evicted { from: 1, to: 4 });
    idle.updates(1).await;
    assert_eq!(idle.held().await, [5]);

    let mut refused = None;
    for _ in 0..20 {
        refused = refused.or(running.add(Sender::Agent, &large).await.err());
    }
    assert_eq!(refused, Some(PersistErrorKind::TooLarge));
    assert_eq!(running.held().await.first(), Some(&1));

    let mut alone = Session::new(&store, "alone");
    let huge = large.replace("x", "twenty bytes of text");
    let refused = alone.add(Sender::Agent, &huge).await;
    assert_eq!(refused, Err(PersistErrorKind::TooLarge));
}

#[tokio::test]
async fn the_session_idle_for_longest_goes_whole_and_its_indexes_go_on() {
    let options = MemoryOptions::new().max_sessions(2);
    let store = MemorySessionPersistDriver::with_options(options);
    let ids = async || {
        let page = store.list_sessions(ListSessionsRequest::new()).await.unwrap();
        page.items.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    for (created_at, id) in (0..).zip(["a", "b"]) {
        let record = SessionRecord::new(id, "codex", created_at);
        store.update_session(record).await.unwrap();
    }
    let mut b = Session::new(&store, "b");
    b.updates(3).await;
    let mut a = Session::new(&store, "a");
    a.add(Sender::Client, PROMPT).await.unwrap();

    store.update_session(SessionRecord::new("c", "codex", 9)).await.unwrap();
    assert_eq!(ids().await, ["a", "c"]);
    let gone = evicted(&store, ListEventsRequest::new("b").after_index(0)).await;
    assert_eq!(gone, PersistErrorKind::Evicted { from: 1, to: 3 });
    assert!(b.held().await.is_empty());

    b.updates(1).await;
    assert_eq!(b.held().await, [4]);
    assert_eq!(ids().await, ["a"], "a has a running turn, so that c went");

    b.add(Sender::Client, PROMPT.replace("p-1", "p-9").as_str()).await.unwrap();
    let refused = store.update_session(SessionRecord::new("d", "codex", 9)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
    assert!(refused.to_string().contains("MemoryOptions::max_sessions"), "{refused}");
}

#[tokio::test]
async fn debug_shows_counts_and_no_content() {
    let store = MemorySessionPersistDriver::new();
    Session::new(&store, "secret").updates(2).await;
    let shown = format!("{store:?}");
    assert!(shown.contains("sessions: 1, events: 2"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn an_index_that_leaves_none_after_it_is_refused() {
    let store = MemorySessionPersistDriver::new();
    let mut session = Session::new(&store, "s");
    session.updates(1).await;
    let payload = RawValue::from_string(UPDATE.to_owned()).unwrap();
    let rest = SessionEvent::new("rest", u64::MAX, "s", 0, "c", Sender::Agent, payload).standing_from(2);
    let refused = store.insert_event("s", rest).await.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::Other);
    session.updates(1).await;
    assert_eq!(session.held().await, [1, 2]);
}
