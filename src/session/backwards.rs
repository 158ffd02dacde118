//! Reads a session's record from its newest event backwards, so far and no further.

use sandbox_agent_persist::{ListEventsRequest, SessionEvent};

use super::store::Store;
use crate::error::Result;

/// How far back the record is read. Every event counts, whatever it says, so that the cost has a
/// bound at any length.
const MAX_EVENTS: usize = 10_000;
/// Most of those who ask find what they look for in the newest few.
const FIRST_PAGE: usize = 64;
const PAGE: usize = 1_000;
/// And pages are so small that they fit into memory, where events are large.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Backwards<'a> {
    store: &'a Store,
    session_id: &'a str,
    /// The oldest index that was read.
    before: Option<u64>,
    read: usize,
    page: usize,
    at_start: bool,
}

impl<'a> Backwards<'a> {
    pub(super) fn new(store: &'a Store, session_id: &'a str) -> Self {
        Self { store, session_id, before: None, read: 0, page: FIRST_PAGE, at_start: false }
    }

    /// The next events, newest first; `None` at the oldest one, and where it is far enough.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<SessionEvent>>> {
        if self.at_start || self.read >= MAX_EVENTS {
            return Ok(None);
        }
        let mut request = ListEventsRequest::new(self.session_id).descending().limit(self.page);
        request.before_index = self.before;
        let page = self.store.list_events(&request).await?;
        let bytes: usize = page.items.iter().map(SessionEvent::size).sum();
        let fitting = PAGE_BYTES / (bytes / page.items.len().max(1) + 1);
        self.page = fitting.clamp(1, PAGE).min(2 * self.page);
        self.read += page.items.len();
        self.before = page.items.last().map(SessionEvent::first_index);
        self.at_start = page.next_cursor.is_none();
        Ok(Some(page.items))
    }

    /// Whether the session has older events than those that were read, be they stored or evicted.
    pub(super) fn has_older(&self) -> bool {
        !self.at_start || self.before.is_some_and(|first| first > 1)
    }
}
