//! One session in memory.

use std::collections::VecDeque;

use sandbox_agent_persist::{
    Cursor, ListEventsRequest, ListPage, Order, PersistError, SessionEvent, SessionRecord,
};

use crate::turns::{Change, Turns};

pub(crate) struct Session {
    pub(crate) record: Option<SessionRecord>,
    pub(crate) record_size: usize,
    pub(crate) turns: Turns,
    /// The number of the store's write that touched it last.
    pub(crate) last_write: u64,
    /// Where the store's queue of oldest events has it.
    pub(crate) queued_at: Option<u64>,
    /// Each event with the number of the write that stored it; the indexes have no hole.
    events: VecDeque<(u64, SessionEvent)>,
    oldest_index: u64,
}

impl Session {
    /// A session whose events before `oldest_index` are gone; 1 for a new one.
    pub(crate) fn starting_at(oldest_index: u64) -> Self {
        Self {
            record: None,
            record_size: 0,
            turns: Turns::default(),
            last_write: 0,
            queued_at: None,
            events: VecDeque::new(),
            oldest_index,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.oldest_index + self.events.len() as u64
    }

    pub(crate) fn push(&mut self, write: u64, event: SessionEvent, change: Change) {
        self.turns.begin(change, &event);
        self.events.push_back((write, event));
    }

    /// The write that stored the oldest event, if that one may be evicted.
    pub(crate) fn evictable(&self) -> Option<u64> {
        let (write, event) = self.events.front()?;
        match self.turns.oldest_prompt() {
            Some(prompt) if prompt <= event.event_index => None,
            _ => Some(*write),
        }
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<SessionEvent> {
        let (_, event) = self.events.pop_front()?;
        self.oldest_index += 1;
        Some(event)
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &SessionEvent> {
        self.events.iter().map(|(_, event)| event)
    }

    pub(crate) fn page(&self, request: &ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let (after, before) = request.bounds()?;
        let first_wanted = after.map_or(1, |after| after.saturating_add(1));
        let begins_at = match request.order {
            Order::Ascending => after.map(|_| first_wanted),
            Order::Descending => before.map(|before| before.saturating_sub(1)),
        };
        if begins_at.is_some_and(|index| (1..self.oldest_index).contains(&index)) {
            return Err(PersistError::evicted(
                &request.session_id,
                first_wanted.min(self.oldest_index - 1),
                self.oldest_index - 1,
            ));
        }

        let low = self.offset(first_wanted);
        let high = self.offset(before.unwrap_or(u64::MAX)).max(low);
        let wanted = self.events.range(low..high).map(|(_, event)| event);
        let size = request.page_size();
        let cursor = |last: &&SessionEvent| Cursor::at_event(last.event_index);
        let page = match request.order {
            Order::Ascending => ListPage::first_of(wanted, size, cursor),
            Order::Descending => ListPage::first_of(wanted.rev(), size, cursor),
        };
        let items = page.items.into_iter().cloned().collect();
        Ok(ListPage::new(items, page.next_cursor))
    }

    /// Where the event with this index is, or would be if all indexes were held.
    fn offset(&self, index: u64) -> usize {
        let offset = index.saturating_sub(self.oldest_index);
        usize::try_from(offset).map_or(self.events.len(), |offset| offset.min(self.events.len()))
    }
}
