//! What other writers put into the record: another SDK that reads the same process gets the same events.

use std::collections::{HashMap, VecDeque};

use sandbox_agent_persist::SessionEvent;

use super::ids;

/// So many events of others are known that this writer has yet to come by.
const KEPT: usize = 1 << 16;

/// What was read back from the store.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// The indexes of events; `None` where the id is that of something else than ours.
    by_id: HashMap<String, Option<u64>>,
    /// The ids, oldest first.
    order: VecDeque<String>,
    /// Up to which SSE id others have recorded each process.
    recorded: HashMap<String, u64>,
}

impl Others {
    /// Remembers an event that was read back, if it may still come here: the one that was about to
    /// be stored under its id, or one of a process.
    pub(super) fn add(&mut self, event: &SessionEvent, wanted: Option<&SessionEvent>) {
        let span = ids::span(event);
        if let Some(span) = &span {
            let recorded = self.recorded.entry(event.connection_id.clone()).or_default();
            *recorded = (*recorded).max(*span.end());
        }
        if span.is_none() && wanted.is_none() {
            return;
        }
        let same = wanted.is_none_or(|wanted| wanted.payload.get() == event.payload.get());
        if self.by_id.insert(event.id.clone(), same.then_some(event.event_index)).is_none() {
            self.order.push_back(event.id.clone());
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }

    /// Whether the store has an event with this id, and at which index if it is the same.
    pub(super) fn take(&mut self, event: &SessionEvent) -> Option<Option<u64>> {
        // Its id leaves the order when its turn comes.
        self.by_id.remove(&event.id)
    }

    /// Whether the record has gone past the place of this event: stored now, it would be out of order.
    pub(super) fn covers(&self, event: &SessionEvent) -> bool {
        let Some(span) = ids::span(event) else { return false };
        self.recorded.get(&event.connection_id).is_some_and(|recorded| span.end() <= recorded)
    }
}
