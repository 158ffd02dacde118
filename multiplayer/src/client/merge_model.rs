//! The merge beside a simulated host, in any order of what both do.

#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::client::tests::{frame, run};
use crate::frame::FrameBody;

#[derive(Clone, Copy, Debug)]
enum Move {
    /// The line grows; of what is new, so many of the last are pushed in order.
    Grow {
        by: u64,
        pushed: u64,
    },
    /// An old one, or one that was lost, is pushed: so far from the end.
    Push {
        back: u64,
        length: u64,
        large: bool,
    },
    /// The question that is open is answered, with so many frames in runs of this length.
    Answer {
        most: u64,
        length: u64,
        large: bool,
    },
    Evict {
        length: u64,
    },
    LoseLarge,
    Silence,
    Cut,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (prop_oneof![9 => 1..9_u64, 1 => 4000..9000_u64], 0..9_u64)
            .prop_map(|(by, pushed)| Move::Grow { by, pushed }),
        4 => (0..20_u64, 1..4_u64, any::<bool>())
            .prop_map(|(back, length, large)| Move::Push { back, length, large }),
        6 => (0..9_u64, 1..4_u64, prop::bool::weighted(0.2))
            .prop_map(|(most, length, large)| Move::Answer { most, length, large }),
        1 => (1..9_u64).prop_map(|length| Move::Evict { length }),
        1 => Just(Move::LoseLarge),
        1 => Just(Move::Silence),
        1 => Just(Move::Cut),
    ]
}

struct World {
    merge: Merge,
    last: u64,
    /// All up to here was told, or jumped over by a snapshot.
    told: Option<u64>,
}

impl World {
    fn step(&mut self, next: Move) {
        match next {
            Move::Grow { by, pushed } => {
                self.last += by;
                for at in self.last - pushed.min(by) + 1..=self.last {
                    self.push(Arrival::Frame(frame(at)));
                }
            }
            Move::Push { back, length, large } => {
                let to = self.last.saturating_sub(back);
                if to > 0 {
                    self.push(some(to.saturating_sub(length) + 1, to, large));
                }
            }
            Move::Answer { most, length, large } => self.answer(most, length, large),
            Move::Evict { length } => {
                self.last += length;
                let evicted = Frame::standing_from(self.last - length + 1, self.last, 0, FrameBody::Evicted);
                self.push(Arrival::Frame(Arc::new(evicted)));
            }
            Move::LoseLarge => {
                if let Some(Need::Large(large)) = self.merge.need()
                    && self.merge.gone(large).is_err()
                {
                    self.merge.opened();
                }
            }
            Move::Silence => self.merge.silent(),
            Move::Cut => self.merge.opened(),
        }
        assert_eq!(self.merge.done(), self.told);
        assert!(self.merge.bytes <= self.merge.max_bytes);
        let bytes: usize = self.merge.waiting.values().map(Arrival::size).sum();
        assert_eq!(self.merge.bytes, bytes);
    }

    fn push(&mut self, arrival: Arrival) {
        let mut told = Vec::new();
        self.merge.pushed(arrival, &mut told);
        self.check(told);
    }

    fn answer(&mut self, most: u64, length: u64, large: bool) {
        let mut told = Vec::new();
        let broken = match self.merge.need() {
            None => return,
            Some(Need::Snapshot) => {
                self.told = Some(self.last);
                self.merge.jump(self.last, &mut told)
            }
            Some(Need::Page(since)) => {
                let mut arrivals = Vec::new();
                let mut from = since + 1;
                for _ in 0..most {
                    let to = (from + length - 1).min(self.last);
                    if from <= to {
                        arrivals.push(some(from, to, large));
                    }
                    from = to + 1;
                }
                self.merge.page(since, arrivals, self.last, &mut told)
            }
            Some(Need::Large(large)) => {
                self.merge.fetched(run(large.from, large.sequence), &mut told);
                Ok(())
            }
        };
        self.check(told);
        if broken.is_err() {
            self.merge.opened();
        }
    }

    fn check(&mut self, frames: Vec<Arc<Frame>>) {
        for frame in frames {
            assert_eq!(frame.from, self.told.unwrap() + 1, "without a hole and without a double");
            assert!(frame.from <= frame.sequence && frame.sequence <= self.last);
            self.told = Some(frame.sequence);
        }
    }

    /// From here on nothing goes wrong, and nothing happens: all that there is must be told.
    fn settle(&mut self) {
        self.merge.silent();
        for _ in 0..self.last * 2 + 8 {
            if self.merge.need().is_none() {
                assert_eq!(self.told, Some(self.last), "something is missing and nobody asks for it");
                return;
            }
            self.step(Move::Answer { most: 64, length: 2, large: false });
        }
        panic!("the questions come to no end");
    }
}

fn some(from: u64, to: u64, large: bool) -> Arrival {
    let from = from.clamp(1, to);
    match large {
        true => Arrival::Large(Large { from, sequence: to, bytes: 9 }),
        false => Arrival::Frame(run(from, to)),
    }
}

proptest! {
    #[test]
    fn the_line_is_told_without_a_hole_or_a_double_and_to_its_end(
        moves in vec(any_move(), 0..120),
        start in 0..3_u64,
        max_bytes in prop_oneof![Just(1024 * 1024), 0..2048_usize],
    ) {
        let mut world = World { merge: Merge::new(max_bytes), last: start, told: None };
        world.merge.opened();
        for next in moves {
            world.step(next);
        }
        world.settle();
    }
}
