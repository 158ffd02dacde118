//! A store that is plain enough to be right: what a random history is compared with.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::kit::in_order;
use crate::{Inserted, ListEventsRequest, Order, SessionEvent, SessionFilter, SessionRecord, Usage};

#[derive(Default)]
pub(super) struct Model {
    pub(super) sessions: BTreeMap<String, Kept>,
}

/// What there is of one session.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) record: Option<SessionRecord>,
    pub(super) events: Vec<SessionEvent>,
    /// The last index that was evicted; 0 if none was.
    pub(super) gone_to: u64,
}

impl Kept {
    pub(super) fn next_index(&self) -> u64 {
        self.events.last().map_or(self.gone_to, |last| last.event_index) + 1
    }

    /// All that is within these bounds, in this order.
    pub(super) fn within(&self, order: Order, bounds: (Option<u64>, Option<u64>)) -> Vec<SessionEvent> {
        let mut events: Vec<_> =
            self.events.iter().filter(|event| event.is_within(bounds)).cloned().collect();
        if order == Order::Descending {
            events.reverse();
        }
        events
    }

    pub(super) fn usage(&self) -> Usage {
        let bytes = self.events.iter().map(|event| event.payload.get().len() as u64).sum();
        Usage::new(self.events.len() as u64, bytes)
    }
}

impl Model {
    pub(super) fn of(&mut self, session_id: &str) -> &mut Kept {
        self.sessions.entry(session_id.to_owned()).or_default()
    }

    pub(super) fn knows(&self, event_id: &str) -> bool {
        self.sessions.values().flat_map(|kept| &kept.events).any(|event| event.id == event_id)
    }

    pub(super) fn insert(&mut self, event: SessionEvent) -> Inserted {
        if self.knows(&event.id) {
            return Inserted::Duplicate;
        }
        let kept = self.of(&event.session_id);
        let next_index = kept.next_index();
        if event.first_index() != next_index {
            return Inserted::Conflict { next_index };
        }
        kept.events.push(event);
        Inserted::Stored
    }

    pub(super) fn insert_all(&mut self, events: Vec<SessionEvent>) -> Inserted {
        for event in events {
            match self.insert(event) {
                Inserted::Stored => {}
                stopped => return stopped,
            }
        }
        Inserted::Stored
    }

    pub(super) fn fold(&mut self, folded: SessionEvent) -> bool {
        if self.knows(&folded.id) {
            return false;
        }
        let run = folded.indexes();
        let is_of_run =
            |event: &SessionEvent| run.contains(&event.first_index()) && run.contains(&event.event_index);
        let events = &mut self.of(&folded.session_id).events;
        let held: Vec<u64> =
            events.iter().filter(|event| is_of_run(event)).flat_map(SessionEvent::indexes).collect();
        if held != run.clone().collect::<Vec<_>>() {
            return false;
        }
        let place = events.iter().position(is_of_run).unwrap_or(events.len());
        events.retain(|event| !is_of_run(event));
        events.insert(place, folded);
        true
    }

    /// The records that the filter picks, in this order.
    pub(super) fn listed(&self, filter: &SessionFilter, order: Order) -> Vec<SessionRecord> {
        let records = self.sessions.values().filter_map(|kept| kept.record.clone());
        let mut listed = in_order(records.filter(|record| filter.matches(record)).collect());
        if order == Order::Descending {
            listed.reverse();
        }
        listed
    }
}

/// The bounds of a request that goes on behind an event with these indexes.
pub(super) fn bounds_behind(
    request: &ListEventsRequest,
    last: Option<&RangeInclusive<u64>>,
) -> (Option<u64>, Option<u64>) {
    let (after, before) = (request.after_index, request.before_index);
    match (last, request.order) {
        (None, _) => (after, before),
        (Some(last), Order::Ascending) => (Some(*last.end()), before),
        (Some(last), Order::Descending) => (after, Some(*last.start())),
    }
}
