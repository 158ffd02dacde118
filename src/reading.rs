//! Reads a session of a store from its first event to its newest, page by page.

use std::ops::Deref;

use sandbox_agent_persist::{
    ListEventsRequest, PersistError, PersistErrorKind, SessionEvent, SessionPersistDriver, SessionRecord,
};

use crate::error::{Error, ErrorKind, Result};
use crate::session::readable;

/// So few events are read at once that they fit into memory, where they are large.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
const FIRST_PAGE: usize = 16;
const PAGE: usize = 256;

/// What was read.
pub(crate) enum Read {
    /// The record: comes first.
    Record(Box<SessionRecord>),
    Events(Vec<SessionEvent>),
    /// The store does not have these any more.
    Missing {
        from: u64,
        to: u64,
    },
}

pub(crate) struct Pages<P> {
    store: P,
    session_id: String,
    after: Option<u64>,
    page: usize,
    state: At,
    /// Behind what is missing.
    next: Option<Read>,
}

enum At {
    Head,
    Events,
    End,
}

impl<P> Pages<P>
where
    P: Deref<Target: SessionPersistDriver>,
{
    pub(crate) fn new(store: P, session_id: impl Into<String>) -> Self {
        let session_id = session_id.into();
        Self { store, session_id, after: None, page: FIRST_PAGE, state: At::Head, next: None }
    }

    /// The next page; `None` behind the newest event that was stored when its turn came. An error is the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Read>> {
        let read = self.read().await;
        if read.is_err() {
            self.state = At::End;
        }
        read
    }

    async fn read(&mut self) -> Result<Option<Read>> {
        if let Some(read) = self.next.take() {
            return Ok(Some(read));
        }
        match self.state {
            At::Head => {
                self.state = At::Events;
                let record = self.store.get_session(&self.session_id).await?.ok_or_else(|| {
                    let id = &self.session_id;
                    Error::new(ErrorKind::SessionNotFound, format!("the store has no session {id:?}"))
                })?;
                Ok(Some(Read::Record(Box::new(readable(record)?))))
            }
            At::Events => self.events().await.map(Some),
            At::End => Ok(None),
        }
    }

    async fn events(&mut self) -> Result<Read> {
        let mut request = ListEventsRequest::new(&self.session_id).limit(self.page);
        request.after_index = self.after;
        let page = match self.store.list_events(request).await {
            Err(error) => return self.evicted(error),
            Ok(page) => page,
        };
        let bytes: usize = page.items.iter().map(SessionEvent::size).sum();
        self.page = (PAGE_BYTES / (bytes / page.items.len().max(1) + 1)).clamp(1, PAGE);
        if page.next_cursor.is_none() {
            self.state = At::End;
        }
        let first = page.items.first().map(SessionEvent::first_index);
        let begun = self.after.is_some();
        self.after = page.items.last().map(|event| event.event_index).or(self.after);
        let events = Read::Events(page.items);
        match first {
            Some(first) if !begun && first > 1 => {
                self.next = Some(events);
                Ok(Read::Missing { from: 1, to: first - 1 })
            }
            _ => Ok(events),
        }
    }

    fn evicted(&mut self, error: PersistError) -> Result<Read> {
        match error.kind() {
            PersistErrorKind::Evicted { from, to } if self.after.is_none_or(|after| after < to) => {
                self.after = Some(to);
                Ok(Read::Missing { from, to })
            }
            _ => Err(error.into()),
        }
    }
}
