//! One session as the driver holds it.

use std::cmp::Ordering;
use std::collections::VecDeque;

use sandbox_agent_persist::{
    ListEventsRequest, ListPage, Order, PersistError, RawValue, SessionEvent, SessionRecord, Usage,
};

use crate::turns::Turns;
use crate::{marks, measure};

/// Members of an event that no Rust program knows, in their order.
pub(crate) type Unknown = Vec<(String, Box<RawValue>)>;

/// A stored event.
#[derive(Debug)]
pub(crate) struct Held {
    /// The number of the store's write that stored it.
    pub(crate) write: u64,
    /// What it takes in the state, with a comma.
    pub(crate) size: usize,
    pub(crate) event: SessionEvent,
    pub(crate) unknown: Unknown,
}

/// A stored record, with what it takes in the state.
#[derive(Debug)]
pub(crate) struct HeldRecord {
    pub(crate) record: SessionRecord,
    pub(crate) size: usize,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) record: Option<HeldRecord>,
    pub(crate) turns: Turns,
    /// The number of the store's write that touched it last.
    pub(crate) last_write: u64,
    /// Where the store's queue of oldest events has it.
    pub(crate) queued: Option<(bool, u64)>,
    /// Each begins where the one before ends.
    events: VecDeque<Held>,
    /// What the events take in the state.
    event_bytes: usize,
    oldest_index: u64,
    /// What its name takes.
    name_size: usize,
    mark_size: usize,
}

impl Session {
    /// A session whose events before `oldest_index` are gone; 1 for a new one.
    pub(crate) fn starting_at(id: &str, oldest_index: u64) -> Self {
        Self {
            record: None,
            turns: Turns::default(),
            last_write: 0,
            queued: None,
            events: VecDeque::new(),
            event_bytes: 0,
            oldest_index,
            name_size: measure::text(id),
            mark_size: marks::size(id),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.events.back().map_or(self.oldest_index, |held| held.event.event_index + 1)
    }

    /// The index before which all is gone, where no event that is held tells it.
    pub(crate) fn mark(&self) -> Option<u64> {
        (self.events.is_empty() && self.oldest_index > 1).then_some(self.oldest_index)
    }

    /// What it takes in the state.
    pub(crate) fn bytes(&self) -> usize {
        let mark = self.mark().map_or(0, |_| self.mark_size);
        self.bytes_beside_events() + self.event_bytes + mark
    }

    /// What it takes in the state when all its events are gone, and that is marked.
    pub(crate) fn bytes_without_events(&self) -> usize {
        self.bytes_beside_events() + self.mark_size
    }

    fn bytes_beside_events(&self) -> usize {
        // A colon, a comma, and the brackets of the list.
        self.name_size + 4 + self.record.as_ref().map_or(0, |held| held.size)
    }

    /// What its events take in the state.
    pub(crate) fn event_bytes(&self) -> usize {
        self.event_bytes
    }

    pub(crate) fn push(&mut self, held: Held) {
        self.event_bytes += held.size;
        if self.events.is_empty() {
            self.oldest_index = held.event.first_index();
        }
        self.turns.see(&held.event);
        self.events.push_back(held);
    }

    /// The write that stored the oldest event, and whether that is of a running turn.
    pub(crate) fn oldest(&self) -> Option<(bool, u64)> {
        let oldest = self.events.front()?;
        let runs = self.turns.oldest_prompt().is_some_and(|prompt| prompt <= oldest.event.event_index);
        Some((runs, oldest.write))
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Held> {
        let held = self.events.pop_front()?;
        self.event_bytes -= held.size;
        self.oldest_index = held.event.event_index + 1;
        Some(held)
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Held> {
        self.events.iter()
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

        let low = self.events.partition_point(|held| held.event.event_index < first_wanted);
        let high = self.events.partition_point(|held| held.event.is_within((None, before))).max(low);
        let wanted = self.events.range(low..high).map(|held| held.event.clone());
        Ok(match request.order {
            Order::Ascending => ListPage::of_events(wanted, request),
            Order::Descending => ListPage::of_events(wanted.rev(), request),
        })
    }

    pub(crate) fn usage(&self) -> Usage {
        let bytes = self.events().map(|held| held.event.payload.get().len() as u64).sum();
        Usage::new(self.events.len() as u64, bytes)
    }

    /// The places of the events that the folded one stands for; `None` where these are not just all
    /// of its indexes. The second is what they take.
    pub(crate) fn run(&self, folded: &SessionEvent) -> Option<(std::ops::Range<usize>, usize)> {
        let place = |index: u64| {
            self.events.binary_search_by(|held| match &held.event {
                event if event.event_index < index => Ordering::Less,
                event if event.first_index() > index => Ordering::Greater,
                _ => Ordering::Equal,
            })
        };
        let (low, high) = (place(folded.first_index()).ok()?, place(folded.event_index).ok()?);
        let (first, last) = (&self.events.get(low)?.event, &self.events.get(high)?.event);
        let is_all = first.first_index() == folded.first_index() && last.event_index == folded.event_index;
        let size = self.events.range(low..=high).map(|held| held.size).sum();
        is_all.then_some((low..high + 1, size))
    }

    /// Puts an event in the place of a run, and gives the run.
    pub(crate) fn fold(&mut self, run: std::ops::Range<usize>, mut folded: Held) -> Vec<Held> {
        let behind = self.events.split_off(run.end.min(self.events.len()));
        let run = self.events.split_off(run.start.min(self.events.len()));
        if let Some(first) = run.front() {
            folded.write = first.write;
        }
        self.event_bytes = self.event_bytes + folded.size - run.iter().map(|held| held.size).sum::<usize>();
        self.events.push_back(folded);
        self.events.extend(behind);
        run.into()
    }
}
