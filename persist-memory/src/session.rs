//! One session in memory.

use std::cmp::Ordering;
use std::collections::VecDeque;

use sandbox_agent_persist::{
    ListEventsRequest, ListPage, Order, PersistError, SessionEvent, SessionRecord, Usage,
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
    /// Each event with the number of the write that stored it; each begins where the one before ends.
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
        self.events.back().map_or(self.oldest_index, |(_, event)| event.event_index + 1)
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
        self.oldest_index = event.event_index + 1;
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

        let low = self.events.partition_point(|(_, event)| event.event_index < first_wanted);
        let high = self.events.partition_point(|(_, event)| event.is_within((None, before))).max(low);
        let wanted = self.events.range(low..high).map(|(_, event)| event.clone());
        Ok(match request.order {
            Order::Ascending => ListPage::of_events(wanted, request),
            Order::Descending => ListPage::of_events(wanted.rev(), request),
        })
    }

    pub(crate) fn usage(&self) -> Usage {
        let bytes = self.events().map(|event| event.payload.get().len() as u64).sum();
        Usage::new(self.events.len() as u64, bytes)
    }

    /// Puts the event in the place of those that it stands for, and gives these; `None` where the
    /// session does not hold just them.
    pub(crate) fn fold(&mut self, folded: SessionEvent) -> Option<Vec<SessionEvent>> {
        let place = |index: u64| {
            self.events.binary_search_by(|(_, event)| match event {
                event if event.event_index < index => Ordering::Less,
                event if event.first_index() > index => Ordering::Greater,
                _ => Ordering::Equal,
            })
        };
        let (low, high) = (place(folded.first_index()).ok()?, place(folded.event_index).ok()?);
        let (write, first) = self.events.get(low)?;
        let last = &self.events.get(high)?.1;
        if first.first_index() != folded.first_index() || last.event_index != folded.event_index {
            return None;
        }
        let folded = (*write, folded);
        let behind = self.events.split_off(high + 1);
        let run = self.events.split_off(low);
        self.events.push_back(folded);
        self.events.extend(behind);
        Some(run.into_iter().map(|(_, event)| event).collect())
    }
}
