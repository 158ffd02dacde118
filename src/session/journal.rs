//! Appends to a session's record: gives out indexes, and gets along with other writers.

use std::collections::HashMap;
use std::sync::Arc;

use sandbox_agent_persist::{Inserted, ListEventsRequest, PersistError, PersistErrorKind, SessionEvent};

use super::others::Others;
use super::store::Store;
use super::tail::Tail;

/// How many events are read back at once.
const PAGE: usize = 1024;

/// The record of one session, as its one writer in this process sees it.
pub(crate) struct Journal {
    session_id: String,
    store: Store,
    tail: Arc<Tail>,
    others: Others,
}

/// What came of an append.
#[derive(Debug)]
pub(crate) struct Batch {
    /// What became of the event in each place.
    pub(crate) ours: Vec<Appended>,
    /// What other writers had stored meanwhile; it is published too.
    pub(crate) theirs: Vec<Arc<SessionEvent>>,
}

/// What became of an event that was to be appended.
#[derive(Debug)]
pub(crate) enum Appended {
    /// It is in the record, or a gap in its place: by this writer, or by another one that was faster.
    Stored(Arc<SessionEvent>),
    /// It is not stored, because something else has its id.
    Known(SessionEvent),
}

/// Who is told what goes into the record, before anybody can read it in the tail.
pub(crate) trait Witness {
    /// The event that came in this place is stored.
    fn stored(&self, place: usize, event: &SessionEvent);
    /// Another writer stored this one.
    fn theirs(&self, event: &SessionEvent);
}

impl Journal {
    pub(crate) fn new(session_id: String, store: Store, tail: Arc<Tail>) -> Self {
        Self { session_id, store, tail, others: Others::default() }
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.session_id
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Stores and publishes.
    pub(crate) async fn append(
        &mut self,
        events: Vec<SessionEvent>,
        witness: &(impl Witness + Sync),
    ) -> Result<Batch, PersistError> {
        let mut theirs = Vec::new();
        let mut places: Vec<Option<Appended>> = events.iter().map(|_| None).collect();
        let mut left: Vec<(usize, SessionEvent)> = events.into_iter().enumerate().collect();
        let mut next = 0;
        loop {
            left = self.settle(left, &mut places, witness);
            if left.is_empty() {
                return Ok(Batch { ours: places.into_iter().flatten().collect(), theirs });
            }
            let first = next.max(self.tail.last().saturating_add(1));
            for ((_, event), index) in left.iter_mut().zip(first..) {
                event.event_index = index;
            }
            match self.insert(&left).await? {
                Inserted::Stored => {
                    let mut stored = Vec::with_capacity(left.len());
                    for (place, event) in left.drain(..) {
                        witness.stored(place, &event);
                        let event = Arc::new(event);
                        places[place] = Some(Appended::Stored(event.clone()));
                        stored.push(event);
                    }
                    self.tail.publish(stored);
                }
                Inserted::Conflict { next_index } => {
                    self.check(first, next_index)?;
                    self.read_back(&left, witness, &mut theirs).await?;
                    next = next_index;
                }
                Inserted::Duplicate => {
                    if !self.read_back(&left, witness, &mut theirs).await? {
                        // Those before a duplicate were stored, so it is the first; and the store
                        // has had it for longer than this writer has been reading.
                        let (place, event) = left.remove(0);
                        places[place] = Some(Appended::Known(event));
                    }
                }
            }
        }
    }

    /// Takes out what the record has already, by whoever wrote it.
    fn settle(
        &mut self,
        left: Vec<(usize, SessionEvent)>,
        places: &mut [Option<Appended>],
        witness: &impl Witness,
    ) -> Vec<(usize, SessionEvent)> {
        let mut open = Vec::with_capacity(left.len());
        for (place, event) in left {
            if let Some(index) = self.others.take(&event) {
                places[place] = Some(match index {
                    Some(index) => self.known_at(place, event, index, witness),
                    None => Appended::Known(event),
                });
            } else if self.others.covers(&event) {
                // At which index is forgotten, or nowhere.
                places[place] = Some(self.known_at(place, event, self.tail.last(), witness));
            } else {
                open.push((place, event));
            }
        }
        open
    }

    fn known_at(
        &self,
        place: usize,
        mut event: SessionEvent,
        index: u64,
        witness: &impl Witness,
    ) -> Appended {
        event.event_index = index;
        witness.stored(place, &event);
        Appended::Stored(Arc::new(event))
    }

    async fn insert(&self, events: &[(usize, SessionEvent)]) -> Result<Inserted, PersistError> {
        let driver = self.store.driver();
        match events {
            [(_, event)] => self.store.call(|| driver.insert_event(&self.session_id, event.clone())).await,
            events => {
                let batch = || events.iter().map(|(_, event)| event.clone()).collect();
                self.store.call(|| driver.insert_events(&self.session_id, batch())).await
            }
        }
    }

    /// Publishes what other writers have stored, up to here at the least.
    pub(crate) async fn catch_up(
        &mut self,
        last: u64,
        witness: &impl Witness,
    ) -> Result<Vec<Arc<SessionEvent>>, PersistError> {
        let mut theirs = Vec::new();
        if last > self.tail.last() {
            self.read_back(&[], witness, &mut theirs).await?;
        }
        Ok(theirs)
    }

    /// Another writer may only be ahead.
    fn check(&self, tried: u64, next: u64) -> Result<(), PersistError> {
        let session = &self.session_id;
        let (kind, message) = match next {
            _ if next < tried => (
                PersistErrorKind::Fenced,
                format!(
                    "session {session:?} was deleted or written anew by somebody else: its next index is {next}, after {}",
                    tried - 1
                ),
            ),
            _ if next == tried => (
                PersistErrorKind::Corrupt,
                format!("the store refused index {tried} of session {session:?} and asked for it"),
            ),
            _ => return Ok(()),
        };
        Err(PersistError::new(kind, message))
    }

    /// Publishes what the store holds by now; says whether it was anything.
    async fn read_back(
        &mut self,
        ours: &[(usize, SessionEvent)],
        witness: &impl Witness,
        theirs: &mut Vec<Arc<SessionEvent>>,
    ) -> Result<bool, PersistError> {
        let ours: HashMap<&str, &SessionEvent> =
            ours.iter().map(|(_, event)| (event.id.as_str(), event)).collect();
        let start = self.tail.last();
        let mut after = start;
        loop {
            let request = ListEventsRequest::new(&self.session_id).after_index(after).limit(PAGE);
            let page = self.store.list_events(&request).await;
            if let Err(error) = &page
                && let PersistErrorKind::Evicted { to, .. } = error.kind()
            {
                after = after.max(to);
                continue;
            }
            let page = page?;
            let more = page.next_cursor.is_some();
            let events: Vec<_> = page.items.into_iter().map(Arc::new).collect();
            for event in &events {
                let wanted = ours.get(event.id.as_str()).copied();
                if wanted.is_none() {
                    witness.theirs(event);
                    theirs.push(event.clone());
                }
                self.others.add(event, wanted);
            }
            after = events.last().map_or(after, |event| event.event_index);
            self.tail.publish(events);
            if !more {
                return Ok(after > start);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod model;
