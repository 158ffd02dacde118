//! Order, doubles and holes of a process's output: a pure step function.

/// Output that is not to be had: the server kept no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogGap {
    /// The sequence before the hole; 0 where the beginning is missing.
    pub after: u64,
    /// The sequence that comes after it.
    pub before: u64,
}

impl LogGap {
    /// How many entries are missing.
    pub fn missing(&self) -> u64 {
        self.before.saturating_sub(self.after).saturating_sub(1)
    }
}

/// What to do with an entry that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Deliver,
    /// It was delivered before.
    Double,
    /// Some before it were passed over on the way, and may still be had: ask anew after the last one.
    Ask,
    /// Some before it are not to be had. The entry itself is delivered.
    Hole(LogGap),
}

/// How far the output was delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogSequence {
    last: u64,
    /// Whether the server was asked for what comes after `last` when it was known to have some: then the
    /// next entry is the first of its answer, not one of the live way.
    asked: bool,
}

impl LogSequence {
    pub(super) fn after(last: u64) -> Self {
        Self { last, asked: false }
    }

    pub(super) fn last(self) -> u64 {
        self.last
    }

    /// The server is asked for all that it has after the last one, which is something.
    pub(super) fn asked(&mut self) {
        self.asked = true;
    }

    pub(super) fn arrive(&mut self, sequence: u64) -> Step {
        if sequence <= self.last {
            return Step::Double;
        }
        let next = sequence == self.last + 1;
        if !next && !self.asked {
            return Step::Ask;
        }
        let hole = LogGap { after: self.last, before: sequence };
        (self.last, self.asked) = (sequence, false);
        if next { Step::Deliver } else { Step::Hole(hole) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn in_order_once() {
        let mut sequence = LogSequence::after(0);
        assert_eq!([1, 2, 2, 1, 3].map(|n| sequence.arrive(n)), {
            use Step::*;
            [Deliver, Deliver, Double, Double, Deliver]
        });
    }

    #[test]
    fn what_was_passed_over_is_asked_for_before_it_is_a_hole() {
        let mut sequence = LogSequence::after(3);
        assert_eq!(sequence.arrive(7), Step::Ask);
        assert_eq!(sequence.last(), 3, "the entry comes again");
        sequence.asked();
        assert_eq!(sequence.arrive(6), Step::Hole(LogGap { after: 3, before: 6 }));
        assert_eq!(sequence.arrive(7), Step::Deliver);
        assert_eq!(sequence.arrive(9), Step::Ask, "the answer was taken: this is another jump");
    }

    #[test]
    fn a_hole_has_its_size() {
        assert_eq!(LogGap { after: 3, before: 6 }.missing(), 2);
        assert_eq!(LogGap { after: 0, before: 2 }.missing(), 1);
    }

    proptest! {
        /// Against a server that keeps the newest entries and drops some on the live way: what is delivered
        /// and what is named as missing are together all that was written, once and in order.
        #[test]
        fn nothing_is_lost_in_silence(kept in 1_u64..20, moves in prop::collection::vec((1_u64..30, 0_u64..5), 1..50)) {
            let (mut sequence, mut written, mut seen) = (LogSequence::after(0), 0, 0);
            for (more, dropped) in moves {
                written += more;
                let mut arriving = (written - more + dropped + 1)..=written;
                let mut asked = false;
                while let Some(entry) = arriving.next() {
                    match sequence.arrive(entry) {
                        Step::Deliver => { prop_assert_eq!(entry, seen + 1); seen = entry; }
                        Step::Double => prop_assert!(entry <= seen),
                        Step::Ask => {
                            prop_assert!(!asked, "asked twice for one jump");
                            asked = true;
                            sequence.asked();
                            arriving = (sequence.last() + 1).max(written.saturating_sub(kept) + 1)..=written;
                        }
                        Step::Hole(gap) => {
                            prop_assert_eq!((gap.after, gap.before), (seen, entry));
                            seen = entry;
                        }
                    }
                }
            }
            prop_assert_eq!(seen, sequence.last());
        }
    }
}
