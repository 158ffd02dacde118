//! Puts a process's events in order: a pure step function, without sockets or time.
//!
//! Events come from the running stream and from refills beside it, doubled and with holes.
//! Out come each event once, in order, and gaps where a refill showed that the server has
//! them no longer.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

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

/// Which of the two ways an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The running stream. What it has passed over it will not bring any more.
    Stream,
    /// A GET beside it, which may be ahead: what is missing before its events may still be on the stream.
    Aside,
}

/// A refill that brought nothing although later events are known is tried so often.
const FRUITLESS: u8 = 3;

#[derive(Debug)]
pub(crate) struct Sequence<T> {
    /// All up to here were delivered, or named in a gap.
    done: u64,
    /// How far the running stream is.
    passed: u64,
    waiting: BTreeMap<u64, Slot<T>>,
    refilling: bool,
    fruitless: u8,
    /// Whether the socket went unread since the stream last kept up.
    stalled: bool,
}

impl<T> Sequence<T> {
    pub(crate) fn new(done: u64) -> Self {
        Self { done, passed: done, waiting: BTreeMap::new(), refilling: false, fruitless: 0, stalled: false }
    }

    /// Where a new connection goes on.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    pub(crate) fn stalled(&mut self) {
        self.stalled = true;
    }

    /// A new stream begins after what is done: it may bring what the one before it had passed over.
    pub(crate) fn reconnected(&mut self) {
        self.passed = self.done;
    }

    /// The stream has nothing more to give: what is missing from now on is missing for another reason.
    pub(crate) fn kept_up(&mut self) {
        self.stalled = false;
    }

    /// Takes what came; says whether it had not come before.
    pub(crate) fn arrive(&mut self, id: u64, way: Way, slot: Slot<T>, steps: &mut Vec<Step<T>>) -> bool {
        if way == Way::Stream {
            self.passed = self.passed.max(id);
        }
        if id <= self.done {
            return false;
        }
        let Entry::Vacant(place) = self.waiting.entry(id) else {
            self.advance(steps);
            return false;
        };
        place.insert(slot);
        self.advance(steps);
        true
    }

    /// The refill of `after..=until` ended. It saw every event that the server held up to `covered`.
    pub(crate) fn refilled(&mut self, after: u64, until: u64, covered: u64, steps: &mut Vec<Step<T>>) {
        self.refilling = false;
        // What a new stream has yet to pass it may still bring.
        let until = until.min(self.passed);
        if covered > after {
            self.fruitless = 0;
            self.give_up(covered.min(until), steps);
        } else if self.done > after {
            self.fruitless = 0;
        } else {
            self.fruitless += 1;
            if self.fruitless >= FRUITLESS {
                self.fruitless = 0;
                self.give_up(until, steps);
            }
        }
        self.advance(steps);
    }

    /// A probe ended that began when the stream was at `passed`. Where the stream has been quiet
    /// since, it brings nothing of what the probe saw.
    pub(crate) fn probed(&mut self, passed: u64, steps: &mut Vec<Step<T>>) {
        if passed == self.passed {
            self.passed = self.highest();
            self.advance(steps);
        }
    }

    /// No event comes any more: what waits is delivered, and what is missing named.
    pub(crate) fn finish(&mut self, steps: &mut Vec<Step<T>>) {
        self.passed = self.highest();
        self.give_up(self.passed, steps);
    }

    fn highest(&self) -> u64 {
        self.waiting.keys().next_back().copied().unwrap_or(self.done).max(self.passed)
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
        if self.passed > self.done && !self.refilling {
            self.refilling = true;
            steps.push(Step::Refill { after: self.done, until: self.passed });
        }
    }

    fn deliver(&mut self, steps: &mut Vec<Step<T>>) {
        while let Some((next, slot)) =
            self.done.checked_add(1).and_then(|next| self.waiting.remove_entry(&next))
        {
            self.done = next;
            steps.push(match slot {
                Slot::Event(event) => Step::Deliver(self.done, event),
                Slot::Unreadable(cause) => Step::Gap { from: self.done, to: self.done, cause },
            });
        }
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::Step::{Deliver, Gap, Refill};
    use super::*;

    const LOST: GapCause = GapCause::ServerDropped;

    fn come(sequence: &mut Sequence<u64>, way: Way, ids: impl IntoIterator<Item = u64>) -> Vec<Step<u64>> {
        let mut steps = Vec::new();
        for id in ids {
            sequence.arrive(id, way, Slot::Event(id), &mut steps);
        }
        steps
    }

    fn stream(sequence: &mut Sequence<u64>, ids: impl IntoIterator<Item = u64>) -> Vec<Step<u64>> {
        come(sequence, Way::Stream, ids)
    }

    fn aside(sequence: &mut Sequence<u64>, ids: impl IntoIterator<Item = u64>) -> Vec<Step<u64>> {
        come(sequence, Way::Aside, ids)
    }

    fn refilled(sequence: &mut Sequence<u64>, (after, until): (u64, u64), covered: u64) -> Vec<Step<u64>> {
        let mut steps = Vec::new();
        sequence.refilled(after, until, covered, &mut steps);
        steps
    }

    #[test]
    fn doubles_are_dropped() {
        let mut sequence = Sequence::new(0);
        let steps = stream(&mut sequence, [1, 1, 2, 1, 2, 3]);
        assert_eq!(steps, [Deliver(1, 1), Deliver(2, 2), Deliver(3, 3)]);
    }

    #[test]
    fn a_jump_is_refilled_at_once_and_only_once() {
        let mut sequence = Sequence::new(0);
        let steps = stream(&mut sequence, [1, 5, 6, 9]);
        assert_eq!(steps, [Deliver(1, 1), Refill { after: 1, until: 5 }]);
        let steps = aside(&mut sequence, [2, 3, 4]);
        assert_eq!(steps, (2..=6).map(|id| Deliver(id, id)).collect::<Vec<_>>());
        assert_eq!(refilled(&mut sequence, (1, 5), 5), [Refill { after: 6, until: 9 }]);
    }

    #[test]
    fn what_a_refill_does_not_bring_is_a_gap() {
        let mut sequence = Sequence::new(0);
        stream(&mut sequence, [1, 8]);
        aside(&mut sequence, [5]);
        let steps = refilled(&mut sequence, (1, 8), 8);
        let gap = |from, to| Gap { from, to, cause: LOST };
        assert_eq!(steps, [gap(2, 4), Deliver(5, 5), gap(6, 7), Deliver(8, 8)]);
    }

    #[test]
    fn a_refill_that_broke_off_judges_only_what_it_saw() {
        let mut sequence = Sequence::new(0);
        stream(&mut sequence, [1, 9]);
        aside(&mut sequence, [3]);
        let steps = refilled(&mut sequence, (1, 9), 3);
        assert_eq!(
            steps,
            [Gap { from: 2, to: 2, cause: LOST }, Deliver(3, 3), Refill { after: 3, until: 9 }]
        );
    }

    #[test]
    fn a_refill_that_is_ahead_of_the_stream_gives_up_nothing_that_is_on_its_way() {
        let mut sequence = Sequence::new(0);
        stream(&mut sequence, [1, 3]);
        aside(&mut sequence, [90]);
        assert_eq!(refilled(&mut sequence, (1, 3), 90), [Gap { from: 2, to: 2, cause: LOST }, Deliver(3, 3)]);
        let steps = stream(&mut sequence, 4..=89);
        assert_eq!(steps, (4..=90).map(|id| Deliver(id, id)).collect::<Vec<_>>());
    }

    #[test]
    fn a_refill_that_brings_nothing_is_tried_again_before_it_is_a_gap() {
        let mut sequence = Sequence::new(0);
        stream(&mut sequence, [4]);
        sequence.stalled();
        for _ in 1..FRUITLESS {
            assert_eq!(refilled(&mut sequence, (0, 4), 0), [Refill { after: 0, until: 4 }]);
        }
        let gap = Gap { from: 1, to: 3, cause: GapCause::StoreTooSlow };
        assert_eq!(refilled(&mut sequence, (0, 4), 0), [gap, Deliver(4, 4)]);
    }

    #[test]
    fn a_gap_is_named_only_where_a_refill_was_asked_for() {
        let mut sequence = Sequence::new(0);
        stream(&mut sequence, [2]);
        stream(&mut sequence, [9]);
        for _ in 1..FRUITLESS {
            refilled(&mut sequence, (0, 2), 0);
        }
        let steps = refilled(&mut sequence, (0, 2), 0);
        assert_eq!(
            steps,
            [Gap { from: 1, to: 1, cause: LOST }, Deliver(2, 2), Refill { after: 2, until: 9 }]
        );
    }

    #[test]
    fn what_a_probe_fills_before_its_refill_ends_is_no_gap() {
        let mut sequence = Sequence::new(0);
        let mut steps = stream(&mut sequence, [1, 3]);
        for hole in [2, 4, 6] {
            steps.extend(aside(&mut sequence, [hole]));
            steps.extend(stream(&mut sequence, [hole + 3]));
            steps.extend(refilled(&mut sequence, (hole - 1, hole + 1), hole + 1));
        }
        assert!(!steps.iter().any(|step| matches!(step, Gap { .. })), "{steps:?}");
    }

    #[test]
    fn the_largest_id_is_no_overflow() {
        let mut sequence = Sequence::new(u64::MAX - 1);
        assert_eq!(stream(&mut sequence, [u64::MAX, u64::MAX]), [Deliver(u64::MAX, u64::MAX)]);
    }

    #[test]
    fn what_only_a_probe_saw_counts_when_the_stream_was_quiet() {
        let mut sequence = Sequence::new(0);
        stream(&mut sequence, [1]);
        assert_eq!(aside(&mut sequence, [2]), [Deliver(2, 2)]);
        aside(&mut sequence, [5]);
        let mut steps = Vec::new();
        sequence.probed(0, &mut steps);
        assert_eq!(steps, [], "the stream moved during the probe");
        sequence.probed(1, &mut steps);
        assert_eq!(steps, [Refill { after: 2, until: 5 }]);
    }

    #[test]
    fn at_the_end_all_that_waits_is_delivered() {
        let mut sequence = Sequence::new(0);
        stream(&mut sequence, [1, 3]);
        let mut steps = Vec::new();
        sequence.finish(&mut steps);
        assert_eq!(steps, [Gap { from: 2, to: 2, cause: LOST }, Deliver(3, 3)]);
    }

    #[test]
    fn an_unreadable_event_is_a_gap_without_a_refill() {
        let mut sequence = Sequence::<u64>::new(0);
        let mut steps = Vec::new();
        sequence.arrive(1, Way::Stream, Slot::Unreadable(GapCause::TooLarge), &mut steps);
        assert_eq!(steps, [Gap { from: 1, to: 1, cause: GapCause::TooLarge }]);
    }
}
