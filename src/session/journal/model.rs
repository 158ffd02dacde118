//! The journal beside other writers and a store that fails, in any order of what they do.
//!
//! The other writer reads the same process: it stores the events that follow what the record has,
//! or a gap in their place, and things of its own. What must come out is one record that lacks nothing.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sandbox_agent_persist::{
    Capabilities, ListPage, ListSessionsRequest, RawValue, Sender, SessionPersistDriver, SessionRecord,
    async_trait,
};
use sandbox_agent_persist_memory::MemorySessionPersistDriver;

use super::*;
use crate::session::ids;
use crate::session::tail::{End, TailReader};

const SESSION: &str = "one";
const PROCESS: &str = "process";

/// What happens at an insert of ours.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Nothing,
    /// The other one stores the next events of the process before.
    Overtaken(u8),
    /// The same, and takes them for lost.
    GivenUp(u8),
    /// The other one stores something of its own before.
    Joined,
    FailsBefore,
    /// It worked, and says that it failed.
    FailsAfter,
}

/// What is appended in one batch.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Inbound,
    Gap(u8),
    Outbound,
    /// Under an id that the other one used for something else.
    Taken,
}

#[derive(Debug)]
struct Model {
    store: MemorySessionPersistDriver,
    fates: Mutex<VecDeque<Fate>>,
}

impl Model {
    async fn events(&self) -> Vec<SessionEvent> {
        let request = ListEventsRequest::new(SESSION).limit(usize::MAX);
        self.store.list_events(request).await.unwrap().items
    }

    async fn other(&self, id: String, sender: Sender) {
        let next = self.events().await.len() as u64 + 1;
        let event = event(id, next, sender, "theirs");
        let _ = self.store.insert_event(SESSION, event).await.unwrap();
    }

    /// Up to which SSE id the record has the process.
    async fn recorded(&self) -> u64 {
        self.events().await.iter().filter_map(ids::span).map(|span| *span.end()).max().unwrap_or(0)
    }

    async fn before(&self) -> Result<Fate, PersistError> {
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Nothing);
        match fate {
            Fate::Overtaken(count) => {
                for _ in 0..count {
                    let next = self.recorded().await + 1;
                    self.other(ids::inbound(PROCESS, next), Sender::Agent).await;
                }
            }
            Fate::GivenUp(count) => {
                let next = self.recorded().await + 1;
                self.other(ids::gap(PROCESS, next, next + u64::from(count)), Sender::Client).await;
            }
            Fate::Joined => self.other(ids::outbound(PROCESS), Sender::Client).await,
            Fate::FailsBefore => return Err(unavailable()),
            Fate::Nothing | Fate::FailsAfter => {}
        }
        Ok(fate)
    }
}

fn unavailable() -> PersistError {
    PersistError::new(PersistErrorKind::Unavailable, "told to fail")
}

#[async_trait]
impl SessionPersistDriver for Model {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.store.get_session(id).await
    }
    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.store.list_sessions(request).await
    }
    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.store.update_session(record).await
    }
    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.store.list_events(request).await
    }
    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.insert_events(session_id, vec![event]).await
    }
    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        let fate = self.before().await?;
        let inserted = self.store.insert_events(session_id, events).await?;
        if let Fate::FailsAfter = fate { Err(unavailable()) } else { Ok(inserted) }
    }
    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await
    }
}

/// Of the same id, the same text: but for what is not ours.
fn event(id: String, index: u64, sender: Sender, whose: &str) -> SessionEvent {
    let text = if id.starts_with(PROCESS) { id.clone() } else { whose.to_owned() };
    let payload = RawValue::from_string(format!("{text:?}")).unwrap();
    SessionEvent::new(id, index, SESSION, 0, PROCESS, sender, payload)
}

/// Nobody asks in these histories.
struct Nobody;

impl Witness for Nobody {
    fn stored(&self, _place: usize, _event: &SessionEvent) {}
    fn theirs(&self, _event: &SessionEvent) {}
}

/// Makes the events of a batch; the process goes on where it was.
fn make(entries: &[Entry], position: &mut u64) -> Vec<SessionEvent> {
    let each = entries.iter().map(|entry| match entry {
        Entry::Inbound => {
            *position += 1;
            event(ids::inbound(PROCESS, *position), 0, Sender::Agent, "ours")
        }
        Entry::Gap(count) => {
            let from = *position + 1;
            *position = from + u64::from(*count);
            event(ids::gap(PROCESS, from, *position), 0, Sender::Client, "ours")
        }
        Entry::Outbound => event(ids::outbound(PROCESS), 0, Sender::Client, "ours"),
        Entry::Taken => event("taken".to_owned(), 0, Sender::Client, "ours"),
    });
    each.collect()
}

async fn live(batches: Vec<Vec<Entry>>, fates: Vec<Fate>) {
    let model = Arc::new(Model { store: MemorySessionPersistDriver::new(), fates: Mutex::new(fates.into()) });
    model.other("taken".to_owned(), Sender::Client).await;
    let store = Store::new(model.clone(), Duration::from_secs(3600), Arc::default());
    let tail = Arc::new(Tail::new(0, usize::MAX));
    let mut journal = Journal::new(SESSION.to_owned(), store.clone(), tail.clone());
    let (mut position, mut outbound, mut inbound) = (0, Vec::new(), Vec::new());
    for entries in batches {
        let events = make(&entries, &mut position);
        let asked: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
        let batch = journal.append(events, &Nobody).await.unwrap();
        assert_eq!(batch.ours.len(), entries.len());
        for ((entry, id), became) in entries.iter().zip(asked).zip(batch.ours) {
            match (entry, became) {
                (Entry::Taken, Appended::Known(event)) => assert_eq!(event.id, id),
                (Entry::Inbound, Appended::Stored(event)) => {
                    assert_eq!(event.id, id);
                    inbound.push(position_of(&event));
                }
                (Entry::Gap(_), Appended::Stored(event)) => assert_eq!(event.id, id),
                (Entry::Outbound, Appended::Stored(event)) => {
                    assert_eq!(event.id, id);
                    outbound.push(id);
                }
                (entry, became) => panic!("{entry:?} became {became:?}"),
            }
        }
    }
    let events = model.events().await;
    assert!(events.iter().zip(1..).all(|(event, index)| event.event_index == index));
    let mut last = 0;
    for span in events.iter().filter_map(ids::span) {
        assert!(*span.end() > last, "{span:?} comes after {last}");
        last = *span.end();
    }
    for id in inbound {
        assert!(
            events.iter().filter_map(ids::span).any(|span| span.contains(&id)),
            "{id} is neither stored nor named"
        );
    }
    let stored: Vec<_> =
        events.iter().filter(|event| outbound.contains(&event.id)).map(|event| &event.id).collect();
    assert_eq!(stored, outbound.iter().collect::<Vec<_>>(), "each of ours once, in its order");
    // Whoever reads the tail sees the record.
    tail.end(End::Closed);
    let mut reader = TailReader::new(tail.clone(), store, SESSION.to_owned(), 0);
    for index in 1..=tail.last() {
        let seen = reader.next().await.unwrap().unwrap();
        assert_eq!(*seen, events[usize::try_from(index).unwrap() - 1]);
    }
    assert!(reader.next().await.is_none());
}

fn position_of(event: &SessionEvent) -> u64 {
    *ids::span(event).unwrap().end()
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Nothing),
        2 => (1..6_u8).prop_map(Fate::Overtaken),
        1 => (0..4_u8).prop_map(Fate::GivenUp),
        1 => Just(Fate::Joined),
        1 => Just(Fate::FailsBefore),
        1 => Just(Fate::FailsAfter),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        6 => Just(Entry::Inbound),
        1 => (0..4_u8).prop_map(Entry::Gap),
        2 => Just(Entry::Outbound),
        1 => Just(Entry::Taken),
    ]
}

proptest! {
    #[test]
    fn whatever_others_do_the_record_lacks_nothing_and_has_nothing_twice(
        batches in vec(vec(any_entry(), 1..8), 0..12),
        fates in vec(any_fate(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(live(batches, fates));
    }
}
