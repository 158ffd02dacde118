//! Appends to a session's record: gives out indexes, and gets along with other writers.

use std::collections::HashMap;
use std::sync::Arc;

use sandbox_agent_persist::{Inserted, ListEventsRequest, PersistError, PersistErrorKind, SessionEvent};

use super::store::Store;
use super::tail::Tail;

/// How many events are read back at once.
const PAGE: usize = 1024;

/// The record of one session, as its one writer in this process sees it.
pub(crate) struct Journal {
    pub(crate) session_id: String,
    pub(crate) store: Store,
    pub(crate) tail: Arc<Tail>,
}

impl Journal {
    /// Stores and publishes; `stored` is told of each event, by its place, in between. Each place of
    /// the result holds the event as stored, or `None` where its id belongs to another event.
    pub(crate) async fn append(
        &self,
        mut events: Vec<SessionEvent>,
        stored: impl Fn(usize, &SessionEvent),
    ) -> Result<Vec<Option<Arc<SessionEvent>>>, PersistError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut next = self.tail.last() + 1;
        loop {
            number(&mut events, next);
            match self.insert(&events).await? {
                Inserted::Stored if next == self.tail.last() + 1 => {
                    events.iter().enumerate().for_each(|(place, event)| stored(place, event));
                    let events: Vec<_> = events.into_iter().map(Arc::new).collect();
                    self.tail.publish(events.clone());
                    return Ok(events.into_iter().map(Some).collect());
                }
                Inserted::Stored => {
                    let places = self.read_back(&events, stored).await?;
                    return self.all_found(places, |_| false);
                }
                Inserted::Conflict { next_index } => next = self.renumber(next, next_index)?,
                Inserted::Duplicate => break,
            }
        }
        let mut known = vec![false; events.len()];
        for (event, known) in events.iter_mut().zip(&mut known) {
            loop {
                event.event_index = next;
                match self.insert(std::slice::from_ref(event)).await? {
                    Inserted::Stored => next += 1,
                    Inserted::Duplicate => *known = true,
                    Inserted::Conflict { next_index } => {
                        next = self.renumber(next, next_index)?;
                        continue;
                    }
                }
                break;
            }
        }
        let places = self.read_back(&events, stored).await?;
        self.all_found(places, |place| known[place])
    }

    /// What was stored must be there, unless its id was known before.
    fn all_found(
        &self,
        places: Vec<Option<Arc<SessionEvent>>>,
        known: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<Arc<SessionEvent>>>, PersistError> {
        let lost = places.iter().enumerate().any(|(place, event)| event.is_none() && !known(place));
        if lost {
            let message =
                format!("session {:?} was changed by somebody else while it was written", self.session_id);
            return Err(PersistError::new(PersistErrorKind::Fenced, message));
        }
        Ok(places)
    }

    async fn insert(&self, events: &[SessionEvent]) -> Result<Inserted, PersistError> {
        let driver = &self.store.driver;
        match events {
            [event] => self.store.call(|| driver.insert_event(&self.session_id, event.clone())).await,
            events => self.store.call(|| driver.insert_events(&self.session_id, events.to_vec())).await,
        }
    }

    fn renumber(&self, tried: u64, next: u64) -> Result<u64, PersistError> {
        if next <= self.tail.last() {
            let message = format!(
                "session {:?} was deleted or written anew by somebody else: its next index is {next}, after {}",
                self.session_id,
                self.tail.last()
            );
            return Err(PersistError::new(PersistErrorKind::Fenced, message));
        }
        if tried == next {
            let message =
                format!("the store refused index {tried} of session {:?} and asked for it", self.session_id);
            return Err(PersistError::new(PersistErrorKind::Corrupt, message));
        }
        Ok(next)
    }

    /// Another writer was here too: publishes what the store holds now, its events among ours.
    async fn read_back(
        &self,
        ours: &[SessionEvent],
        stored: impl Fn(usize, &SessionEvent),
    ) -> Result<Vec<Option<Arc<SessionEvent>>>, PersistError> {
        let mut places = vec![None; ours.len()];
        let mut after = self.tail.last();
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
            let by_id: HashMap<_, _> = events.iter().map(|event| (event.id.as_str(), event)).collect();
            for (number, event) in ours.iter().enumerate() {
                let found = by_id.get(event.id.as_str());
                if let Some(found) = found.filter(|found| found.payload.get() == event.payload.get()) {
                    stored(number, found);
                    places[number] = Some(Arc::clone(found));
                }
            }
            after = events.last().map_or(after, |event| event.event_index);
            self.tail.publish(events);
            if !more {
                return Ok(places);
            }
        }
    }
}

fn number(events: &mut [SessionEvent], first: u64) {
    for (event, index) in events.iter_mut().zip(first..) {
        event.event_index = index;
    }
}
