//! Puts a process's events in order: a pure step function, without sockets or time.
//!
//! Events come from the running stream and from refills beside it, doubled and with holes.
//! Out come each event once, in order, and gaps where a refill showed that the server has
//! them no longer.

use std::collections::BTreeMap;

use super::gap::GapCause;

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<T> {
    Deliver(u64, T),
    Gap {
        from: u64,
        to: u64,
        cause: GapCause,
    },
    /// Fetch what the server holds after `after`, until an event at or past `until` came.
    Refill {
        after: u64,
        until: u64,
    },
}

/// What came in the place of an id.
#[derive(Debug)]
pub(crate) enum Slot<T> {
    Event(T),
    Unreadable(GapCause),
}

/// A refill that brought nothing although later events are known is tried so often.
const FRUITLESS: u8 = 3;

#[derive(Debug)]
pub(crate) struct Sequence<T> {
    /// All up to here were delivered, or named in a gap.
    done: u64,
    waiting: BTreeMap<u64, Slot<T>>,
    refilling: bool,
    fruitless: u8,
    /// Whether the socket went unread since the stream last kept up.
    stalled: bool,
}

impl<T> Sequence<T> {
    pub(crate) fn new(done: u64) -> Self {
        Self { done, waiting: BTreeMap::new(), refilling: false, fruitless: 0, stalled: false }
    }

    /// Where a new connection goes on.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// The largest id that is known.
    pub(crate) fn highest(&self) -> u64 {
        self.waiting.keys().next_back().copied().unwrap_or(self.done)
    }

    pub(crate) fn stalled(&mut self) {
        self.stalled = true;
    }

    /// The stream has nothing more to give: what is missing from now on is missing for another reason.
    pub(crate) fn kept_up(&mut self) {
        self.stalled = false;
    }

    pub(crate) fn arrive(&mut self, id: u64, slot: Slot<T>, steps: &mut Vec<Step<T>>) {
        if id <= self.done {
            return;
        }
        self.waiting.entry(id).or_insert(slot);
        self.advance(steps);
    }

    /// A refill ended. It saw every event that the server held up to `covered`.
    pub(crate) fn refilled(&mut self, covered: u64, steps: &mut Vec<Step<T>>) {
        self.refilling = false;
        if covered > self.done {
            self.fruitless = 0;
            self.give_up(covered, steps);
        } else if !self.waiting.is_empty() {
            self.fruitless += 1;
            if self.fruitless >= FRUITLESS {
                self.fruitless = 0;
                self.give_up(self.highest(), steps);
            }
        }
        self.advance(steps);
    }

    /// Delivers what is there up to `limit`, and names what is not.
    fn give_up(&mut self, limit: u64, steps: &mut Vec<Step<T>>) {
        while self.done < limit {
            self.deliver(steps);
            if self.done >= limit {
                break;
            }
            let next = self.waiting.keys().next().copied().unwrap_or(u64::MAX);
            let to = limit.min(next - 1);
            let cause = if self.stalled { GapCause::StoreTooSlow } else { GapCause::ServerDropped };
            steps.push(Step::Gap { from: self.done + 1, to, cause });
            self.done = to;
        }
    }

    fn advance(&mut self, steps: &mut Vec<Step<T>>) {
        self.deliver(steps);
        if let (Some((&until, _)), false) = (self.waiting.last_key_value(), self.refilling) {
            self.refilling = true;
            steps.push(Step::Refill { after: self.done, until });
        }
    }

    fn deliver(&mut self, steps: &mut Vec<Step<T>>) {
        while let Some(slot) = self.waiting.remove(&(self.done + 1)) {
            self.done += 1;
            steps.push(match slot {
                Slot::Event(event) => Step::Deliver(self.done, event),
                Slot::Unreadable(cause) => Step::Gap { from: self.done, to: self.done, cause },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(sequence: &mut Sequence<u64>, ids: impl IntoIterator<Item = u64>) -> Vec<Step<u64>> {
        let mut steps = Vec::new();
        for id in ids {
            sequence.arrive(id, Slot::Event(id), &mut steps);
        }
        steps
    }

    fn refilled(sequence: &mut Sequence<u64>, covered: u64) -> Vec<Step<u64>> {
        let mut steps = Vec::new();
        sequence.refilled(covered, &mut steps);
        steps
    }

    #[test]
    fn doubles_are_dropped() {
        let mut sequence = Sequence::new(0);
        let steps = arrive(&mut sequence, [1, 1, 2, 1, 2, 3]);
        assert_eq!(steps, [Step::Deliver(1, 1), Step::Deliver(2, 2), Step::Deliver(3, 3)]);
    }

    #[test]
    fn a_jump_is_refilled_at_once_and_only_once() {
        let mut sequence = Sequence::new(0);
        let steps = arrive(&mut sequence, [1, 5, 6, 9]);
        assert_eq!(steps, [Step::Deliver(1, 1), Step::Refill { after: 1, until: 5 }]);
        let steps = arrive(&mut sequence, [2, 3, 4]);
        let delivered: Vec<_> = (2..=6).map(|id| Step::Deliver(id, id)).collect();
        assert_eq!(steps, delivered);
        assert_eq!(refilled(&mut sequence, 5), [Step::Refill { after: 6, until: 9 }]);
    }

    #[test]
    fn what_a_refill_does_not_bring_is_a_gap() {
        let mut sequence = Sequence::new(0);
        arrive(&mut sequence, [1, 8]);
        arrive(&mut sequence, [5]);
        let steps = refilled(&mut sequence, 8);
        assert_eq!(
            steps,
            [
                Step::Gap { from: 2, to: 4, cause: GapCause::ServerDropped },
                Step::Deliver(5, 5),
                Step::Gap { from: 6, to: 7, cause: GapCause::ServerDropped },
                Step::Deliver(8, 8),
            ]
        );
    }

    #[test]
    fn a_refill_that_broke_off_judges_only_what_it_saw() {
        let mut sequence = Sequence::new(0);
        arrive(&mut sequence, [1, 9]);
        arrive(&mut sequence, [3]);
        let steps = refilled(&mut sequence, 3);
        assert_eq!(
            steps,
            [
                Step::Gap { from: 2, to: 2, cause: GapCause::ServerDropped },
                Step::Deliver(3, 3),
                Step::Refill { after: 3, until: 9 },
            ]
        );
    }

    #[test]
    fn a_refill_that_brings_nothing_is_tried_again_before_it_is_a_gap() {
        let mut sequence = Sequence::new(0);
        arrive(&mut sequence, [4]);
        sequence.stalled();
        for _ in 1..FRUITLESS {
            assert_eq!(refilled(&mut sequence, 0), [Step::Refill { after: 0, until: 4 }]);
        }
        assert_eq!(
            refilled(&mut sequence, 0),
            [Step::Gap { from: 1, to: 3, cause: GapCause::StoreTooSlow }, Step::Deliver(4, 4)]
        );
    }

    #[test]
    fn an_unreadable_event_is_a_gap_without_a_refill() {
        let mut sequence = Sequence::new(0);
        let mut steps = Vec::new();
        sequence.arrive(1, Slot::Unreadable(GapCause::TooLarge), &mut steps);
        assert_eq!(steps, [Step::<u64>::Gap { from: 1, to: 1, cause: GapCause::TooLarge }]);
    }
}
