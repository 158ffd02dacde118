//! The conformance suite finds each way to break the contract, in the case that it belongs to.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use sandbox_agent_persist::conformance::{Harness, SENTENCES, run_all};
use sandbox_agent_persist::{
    Capabilities, Cursor, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, Order, PersistError,
    RawValue, SessionEvent, SessionPersistDriver, SessionRecord, async_trait,
};
use tokio::task::yield_now;

/// What a driver does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Healthy,
    MergesRecords,
    ForgetsUnknownMembers,
    ListsSessionsById,
    ListsChangedSessionsTwice,
    AcceptsHoles,
    AcceptsDoubleIndexes,
    StoresDuplicates,
    ChecksTheIndexFirst,
    LosesOrder,
    PrintsPayloadsAnew,
    CountsAllSessionsTogether,
    LosesEvents,
    ReturnsBeforeItStores,
    GoesOnAfterARefusal,
    LooksThenWrites,
    TearsWhenDropped,
    HasCursorsThatCount,
    HasInclusiveBounds,
    IgnoresLimits,
    TakesAnyCursor,
    KeepsDeletedEvents,
    DeletesByPrefix,
    EvictsAndCountsAnew,
    EvictsTheNewest,
    EvictsInSecret,
    EvictsInSilence,
    PromisesToBeDurable,
}

use Fault::*;

/// Every fault with the sentence that it breaks first of all.
const FAULTS: [(Fault, usize); 27] = [
    (MergesRecords, 1),
    (ForgetsUnknownMembers, 2),
    (ListsSessionsById, 3),
    (ListsChangedSessionsTwice, 3),
    (AcceptsHoles, 4),
    (AcceptsDoubleIndexes, 4),
    (AcceptsDoubleIndexes, 10),
    (StoresDuplicates, 5),
    (ChecksTheIndexFirst, 5),
    (LosesOrder, 6),
    (PrintsPayloadsAnew, 6),
    (CountsAllSessionsTogether, 7),
    (LosesEvents, 8),
    (ReturnsBeforeItStores, 8),
    (GoesOnAfterARefusal, 9),
    (LooksThenWrites, 10),
    (TearsWhenDropped, 11),
    (HasCursorsThatCount, 12),
    (HasInclusiveBounds, 13),
    (IgnoresLimits, 13),
    (TakesAnyCursor, 14),
    (KeepsDeletedEvents, 15),
    (DeletesByPrefix, 15),
    (EvictsAndCountsAnew, 16),
    (EvictsTheNewest, 16),
    (EvictsInSecret, 16),
    (EvictsInSilence, 17),
];

/// How many events a session has at most when the fault is about eviction.
const HELD: usize = 1000;

#[derive(Debug, Default)]
struct State {
    sessions: Vec<SessionRecord>,
    events: BTreeMap<String, Vec<SessionEvent>>,
    ids: BTreeSet<String>,
    inserts: usize,
    /// What was told to be stored, and is by the next insert.
    late: Option<SessionEvent>,
}

#[derive(Clone, Debug)]
struct Driver {
    fault: Fault,
    state: Arc<Mutex<State>>,
}

impl Driver {
    fn evicts(&self) -> bool {
        matches!(self.fault, EvictsAndCountsAnew | EvictsTheNewest | EvictsInSilence | EvictsInSecret)
    }

    fn refusal(&self, state: &State, session_id: &str, event: &SessionEvent) -> Option<Inserted> {
        let events = state.events.get(session_id);
        let next_index = match self.fault {
            CountsAllSessionsTogether => state.ids.len() as u64 + 1,
            EvictsAndCountsAnew => events.map_or(0, Vec::len) as u64 + 1,
            _ => {
                events.and_then(|events| events.iter().map(|event| event.event_index).max()).unwrap_or(0) + 1
            }
        };
        let known = state.ids.contains(&event.id) && self.fault != StoresDuplicates;
        let misplaced = match self.fault {
            AcceptsHoles => event.event_index < next_index,
            AcceptsDoubleIndexes => event.event_index > next_index || event.event_index == 0,
            _ => event.event_index != next_index,
        };
        match (known, misplaced) {
            (true, false) => Some(Inserted::Duplicate),
            (true, true) if self.fault != ChecksTheIndexFirst => Some(Inserted::Duplicate),
            (_, true) => Some(Inserted::Conflict { next_index }),
            (false, false) => None,
        }
    }

    fn store(&self, state: &mut State, session_id: &str, mut event: SessionEvent) {
        state.inserts += 1;
        state.ids.insert(event.id.clone());
        if self.fault == LosesEvents && state.inserts % 10 == 7 {
            return;
        }
        if self.fault == PrintsPayloadsAnew {
            let value: serde_json::Value = serde_json::from_str(event.payload.get()).unwrap();
            event.payload = RawValue::from_string(value.to_string()).unwrap();
        }
        let events = state.events.entry(session_id.to_owned()).or_default();
        events.push(event);
        if self.fault == LosesOrder {
            events.sort_by_key(|event| event.created_at);
        }
        if self.evicts() && events.len() > HELD {
            events.remove(match self.fault {
                EvictsTheNewest => HELD - 1,
                _ => 0,
            });
        }
    }
}

#[async_trait]
impl SessionPersistDriver for Driver {
    fn capabilities(&self) -> Capabilities {
        match self.fault {
            PromisesToBeDurable => Capabilities::new().durable(),
            EvictsInSecret => Capabilities::new(),
            _ if self.evicts() => Capabilities::new().evicts(),
            _ => Capabilities::new(),
        }
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        let state = self.state.lock().unwrap();
        Ok(state.sessions.iter().rfind(|record| record.id == id).cloned())
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        let mut all = self.state.lock().unwrap().sessions.clone();
        match self.fault {
            ListsSessionsById => all.sort_by(|a, b| a.id.cmp(&b.id)),
            _ => all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id))),
        }
        if request.order == Order::Descending {
            all.reverse();
        }
        let key = |record: &SessionRecord| match self.fault {
            ListsSessionsById => (0, record.id.clone()),
            _ => (record.created_at, record.id.clone()),
        };
        let start = match &request.cursor {
            None => 0,
            Some(cursor) => match cursor.session_key() {
                Err(_) if self.fault == TakesAnyCursor => 0,
                Err(error) => return Err(error),
                Ok((count, _)) if self.fault == HasCursorsThatCount => count as usize,
                Ok((created_at, id)) => {
                    let at = match self.fault {
                        ListsSessionsById => (0, id.to_owned()),
                        _ => (created_at, id.to_owned()),
                    };
                    all.iter()
                        .take_while(|record| match request.order {
                            Order::Ascending => key(record) <= at,
                            Order::Descending => key(record) >= at,
                        })
                        .count()
                }
            },
        };
        let end = all.len().min(start + request.page_size());
        let items = all[start..end].to_vec();
        let next_cursor = items.last().filter(|_| end < all.len()).map(|last| match self.fault {
            HasCursorsThatCount => Cursor::at_session(end as i64, ""),
            _ => Cursor::at_session(last.created_at, &last.id),
        });
        Ok(ListPage::new(items, next_cursor))
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        let mut record = record;
        let mut state = self.state.lock().unwrap();
        if self.fault == ForgetsUnknownMembers {
            record.extra.clear();
        }
        if let Some(at) = state.sessions.iter().position(|old| old.id == record.id) {
            if self.fault == MergesRecords {
                record.session_init = record.session_init.or(state.sessions[at].session_init.take());
            }
            if self.fault != ListsChangedSessionsTwice {
                state.sessions.remove(at);
            }
        }
        state.sessions.push(record);
        Ok(())
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let (after, before) = match request.bounds() {
            Err(_) if self.fault == TakesAnyCursor => (None, None),
            bounds => bounds?,
        };
        let state = self.state.lock().unwrap();
        let mut all = state.events.get(&request.session_id).cloned().unwrap_or_default();
        let oldest = all.first().map_or(1, |event| event.event_index);
        let begins_at = match request.order {
            Order::Ascending => after.map(|after| after.saturating_add(1)),
            Order::Descending => before.map(|before| before.saturating_sub(1)),
        };
        if let Some(from) = begins_at.filter(|from| (1..oldest).contains(from))
            && self.fault != EvictsInSilence
        {
            return Err(PersistError::evicted(&request.session_id, from, oldest - 1));
        }
        if request.order == Order::Descending {
            all.reverse();
        }
        let inclusive = self.fault == HasInclusiveBounds && request.cursor.is_none();
        let counts = self.fault == HasCursorsThatCount && request.cursor.is_some();
        if counts {
            let at = match request.order {
                Order::Ascending => after,
                Order::Descending => before,
            };
            all.drain(..all.len().min(at.unwrap_or(0) as usize));
        } else {
            all.retain(|event| {
                let index = event.event_index;
                let low = after.is_none_or(|after| index > after || inclusive && index == after);
                let high = before.is_none_or(|before| index < before || inclusive && index == before);
                low && high
            });
        }
        let size = match self.fault {
            IgnoresLimits => usize::MAX,
            _ => request.page_size(),
        };
        let more = all.len() > size;
        all.truncate(size);
        let gone_before = match (&request.cursor, self.fault) {
            (Some(cursor), HasCursorsThatCount) => cursor.event_key()?,
            _ => 0,
        };
        let next_cursor = all.last().filter(|_| more).map(|last| match self.fault {
            HasCursorsThatCount => Cursor::at_event(gone_before + all.len() as u64),
            _ => Cursor::at_event(last.event_index),
        });
        Ok(ListPage::new(all, next_cursor))
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        event.check_session(session_id)?;
        {
            let mut state = self.state.lock().unwrap();
            if let Some(late) = state.late.take() {
                self.store(&mut state, &late.session_id.clone(), late);
            }
            if let Some(refusal) = self.refusal(&state, session_id, &event) {
                return Ok(refusal);
            }
            match self.fault {
                LooksThenWrites => {}
                TearsWhenDropped => drop(state.ids.insert(event.id.clone())),
                ReturnsBeforeItStores => {
                    state.late = Some(event);
                    return Ok(Inserted::Stored);
                }
                _ => {
                    self.store(&mut state, session_id, event);
                    return Ok(Inserted::Stored);
                }
            }
        }
        yield_now().await;
        self.store(&mut self.state.lock().unwrap(), session_id, event);
        Ok(Inserted::Stored)
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        let mut refused = None;
        for event in events {
            match self.insert_event(session_id, event).await? {
                Inserted::Stored => {}
                stopped if self.fault == GoesOnAfterARefusal => {
                    refused.get_or_insert(stopped);
                }
                stopped => return Ok(stopped),
            }
        }
        Ok(refused.unwrap_or(Inserted::Stored))
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        let mut state = self.state.lock().unwrap();
        state.sessions.retain(|record| match self.fault {
            DeletesByPrefix => !record.id.starts_with(id),
            _ => record.id != id,
        });
        if self.fault != KeepsDeletedEvents {
            for event in state.events.remove(id).unwrap_or_default() {
                state.ids.remove(&event.id);
            }
        }
        Ok(())
    }
}

struct Broken(Driver);

impl Broken {
    fn new(fault: Fault) -> Self {
        let state = Arc::default();
        Self(Driver { fault, state })
    }
}

#[async_trait]
impl Harness for Broken {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        Arc::new(self.0.clone())
    }

    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        (self.0.fault == PromisesToBeDurable).then(|| Arc::new(Broken::new(Healthy).0) as _)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_driver_without_a_fault_passes() {
    let report = run_all(|| Broken::new(Healthy)).await;
    assert!(report.failures.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_fault_is_found() {
    let mut proven = BTreeSet::new();
    for (fault, sentence) in FAULTS.into_iter().chain([(PromisesToBeDurable, 18)]) {
        let report = run_all(|| Broken::new(fault)).await;
        let broken = report.broken_sentences();
        assert!(broken.contains(&sentence), "{fault:?}, found {broken:?}: {report}");
        proven.insert(sentence);
    }
    assert_eq!(proven, (1..=SENTENCES.len()).collect(), "each sentence has a fault");
}

#[tokio::test]
async fn a_failure_names_the_sentence() {
    let report = run_all(|| Broken::new(AcceptsHoles)).await;
    let shown = report.to_string();
    let sentence = format!("sentence 4 of the contract is broken: {}", SENTENCES[3]);
    assert!(shown.contains(&sentence), "{shown}");
    assert!(shown.contains("insert_event at index"), "{shown}");
}
