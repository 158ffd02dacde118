//! The sequence beside a simulated server, in any order of what both do.
//!
//! The reference knows which ids came and what each refill could see. From that follows which
//! ids may be given up: those that never came, and that the server no longer held when the
//! refill that names them ran.

mod moves;
mod server;

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use self::moves::{FetchMove, Move, any_move};
use self::server::{Fetch, Server};
use super::*;

const UNREADABLE: GapCause = GapCause::TooLarge;

/// Why ids may be given up.
enum Evidence {
    None,
    /// A refill ended that could see these up to this id.
    Seen(Vec<u64>, u64),
    /// Everything up to this id: nothing more is to be had.
    Over(u64),
}

impl Evidence {
    fn allows(&self, id: u64) -> bool {
        match self {
            Self::None => false,
            Self::Seen(held, up_to) => id <= *up_to && !held.contains(&id),
            Self::Over(up_to) => id <= *up_to,
        }
    }
}

struct World {
    server: Server,
    sequence: Sequence<u64>,
    refill: Option<Fetch>,
    /// With where the stream was when it began.
    probe: Option<(Fetch, u64)>,
    arrived: BTreeSet<u64>,
    /// All up to here was delivered or named in a gap.
    told: u64,
    /// How far the stream is: what lies behind it may still be on the stream.
    passed: u64,
    /// A probe took a stream that was slower than itself for one that brings nothing up to here.
    presumed: u64,
    fruitless: u8,
    stalled: bool,
}

fn readable(id: u64) -> bool {
    !id.is_multiple_of(7)
}

impl World {
    fn new(start: u64, ring: u64, channel: usize) -> Self {
        Self {
            server: Server::new(start, ring, channel),
            sequence: Sequence::new(start),
            refill: None,
            probe: None,
            arrived: BTreeSet::new(),
            told: start,
            passed: start,
            presumed: 0,
            fruitless: 0,
            stalled: false,
        }
    }

    fn step(&mut self, next: Move) {
        match next {
            Move::Write { count, lost } => self.server.write(count, lost),
            Move::Read(count) => {
                for id in self.server.read(count) {
                    self.passed = self.passed.max(id);
                    self.arrive(id, Way::Stream);
                }
            }
            Move::Cut => self.server.stream = None,
            Move::Connect { doubled, missed } => {
                self.server.connect(self.sequence.done(), doubled, missed);
                self.sequence.reconnected();
                (self.passed, self.presumed) = (self.told, 0);
            }
            Move::Refill(next) => self.refill(next),
            Move::Probe(next) => self.probe(next),
            Move::Stall => {
                self.sequence.stalled();
                self.stalled = true;
            }
            Move::KeepUp => {
                self.sequence.kept_up();
                self.stalled = false;
            }
        }
    }

    fn arrive(&mut self, id: u64, way: Way) {
        let slot = if readable(id) { Slot::Event(id) } else { Slot::Unreadable(UNREADABLE) };
        let mut steps = Vec::new();
        self.arrived.insert(id);
        self.sequence.arrive(id, way, slot, &mut steps);
        self.check(steps, &Evidence::None);
    }

    fn refill(&mut self, next: FetchMove) {
        let Some(mut fetch) = self.refill.take() else { return };
        let given = fetch.step(next, &self.server);
        let ended = fetch.ended;
        self.refill = Some(fetch);
        given.into_iter().for_each(|id| self.arrive(id, Way::Aside));
        if ended && let Some(fetch) = self.refill.take() {
            self.refilled(fetch, matches!(next, FetchMove::Refuse));
        }
    }

    fn refilled(&mut self, fetch: Fetch, refused: bool) {
        let Fetch { after, until: asked, covered, held, .. } = fetch;
        let covered = if refused { asked } else { covered };
        // What lies beyond may be on the stream that was opened meanwhile.
        let until = asked.min(self.passed);
        let idle = covered <= after && self.told <= after;
        self.fruitless = if idle { self.fruitless + 1 } else { 0 };
        let over = refused || self.fruitless == FRUITLESS;
        let evidence =
            if over { Evidence::Over(until) } else { Evidence::Seen(held.unwrap_or_default(), covered) };
        let up_to = if over { until } else { covered.min(until) };
        if over {
            self.fruitless = 0;
        }
        let mut steps = Vec::new();
        self.sequence.refilled(after, asked, covered, &mut steps);
        self.check(steps, &evidence);
        assert!(self.told >= up_to, "what a refill judged waits no longer");
    }

    fn probe(&mut self, next: FetchMove) {
        let begun = || (Fetch::new(self.sequence.done(), u64::MAX), self.sequence.passed());
        let (mut fetch, passed) = self.probe.take().unwrap_or_else(begun);
        let given = fetch.step(next, &self.server);
        let ended = fetch.ended;
        self.probe = Some((fetch, passed));
        given.into_iter().for_each(|id| self.arrive(id, Way::Aside));
        if ended {
            self.probe = None;
            if self.passed == passed {
                self.passed = self.arrived.last().copied().unwrap_or(0).max(passed);
                self.presumed = self.passed;
            }
            let mut steps = Vec::new();
            self.sequence.probed(passed, &mut steps);
            self.check(steps, &Evidence::None);
        }
    }

    fn check(&mut self, steps: Vec<Step<u64>>, evidence: &Evidence) {
        for step in steps {
            match step {
                Step::Deliver(id, event) => {
                    assert_eq!((id, event), (self.told + 1, id), "once and in order");
                    assert!(self.arrived.contains(&id) && readable(id));
                    self.told = id;
                }
                Step::Gap { from, to, cause } => {
                    assert_eq!(from, self.told + 1, "a gap begins where the last step ended");
                    assert!(from <= to);
                    self.told = to;
                    if cause == UNREADABLE {
                        assert!(from == to && self.arrived.contains(&from) && !readable(from));
                        continue;
                    }
                    let expected =
                        if self.stalled { GapCause::StoreTooSlow } else { GapCause::ServerDropped };
                    assert_eq!(cause, expected);
                    for id in from..=to {
                        assert!(!self.arrived.contains(&id), "{id} came and is named in a gap");
                        assert!(evidence.allows(id), "{id} could still be had and is named in a gap");
                        let coming = self.server.stream.iter().flatten().any(|coming| *coming == id);
                        assert!(
                            id <= self.passed
                                && (!coming || id <= self.presumed || matches!(evidence, Evidence::Over(_))),
                            "{id} may be on the stream and is named in a gap"
                        );
                    }
                }
                Step::Refill { after, until } => {
                    assert!(self.refill.is_none(), "one refill at a time");
                    assert_eq!(after, self.told);
                    assert!(after < until && until <= self.passed && self.arrived.contains(&until));
                    self.refill = Some(Fetch::new(after, until));
                }
            }
        }
        assert_eq!(self.sequence.done(), self.told);
        assert!(self.told >= self.passed || self.refill.is_some(), "a hole waits and nobody fetches it");
    }

    /// From here on nothing goes wrong, and the agent is quiet: all that the server wrote must be told.
    fn settle(&mut self) {
        if self.server.stream.is_none() {
            self.step(Move::Connect { doubled: 0, missed: 3 });
        }
        self.step(Move::Read(usize::MAX));
        self.drain();
        for _ in 0..2 {
            // The first one may have begun before the stream was read.
            self.step(Move::Probe(FetchMove::Give(usize::MAX)));
            self.step(Move::Probe(FetchMove::Quiet));
            self.drain();
        }
        assert_eq!(self.told, self.server.written, "something waits for ever");
    }

    fn drain(&mut self) {
        for _ in 0..=self.server.written {
            if self.refill.is_none() {
                return;
            }
            self.step(Move::Refill(FetchMove::Give(usize::MAX)));
            self.step(Move::Refill(FetchMove::Quiet));
        }
        panic!("refills come to no end");
    }

    fn finish(&mut self) {
        let highest = self.arrived.last().copied().unwrap_or(self.told);
        let mut steps = Vec::new();
        (self.refill, self.passed) = (None, highest.max(self.passed));
        self.sequence.finish(&mut steps);
        self.check(steps, &Evidence::Over(highest));
        assert!(self.told >= highest && self.sequence.waiting.is_empty(), "nothing waits at the end");
    }
}

proptest! {
    #[test]
    fn each_id_is_told_once_and_given_up_only_when_the_server_has_it_no_more(
        moves in prop_oneof![vec(any_move(false), 0..100), vec(any_move(true), 0..100)],
        start in 0..3_u64,
        ring in 1..16_u64,
        channel in 1..8_usize,
        settles in any::<bool>(),
    ) {
        let mut world = World::new(start, ring, channel);
        moves.into_iter().for_each(|next| world.step(next));
        if settles {
            world.settle();
        }
        world.finish();
    }
}
