//! The state machine beside a reference that counts failures.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Move {
    Open,
    Fail,
}

/// The failures since the last connection that held, and when the first of them was.
#[derive(Default)]
struct Reference {
    opened: Option<Instant>,
    first: Option<Instant>,
    failures: i32,
}

impl Reference {
    /// The least delay that is right now; jitter may double it.
    fn failed(&mut self, now: Instant, budget: Duration) -> Option<Duration> {
        if self.opened.is_some_and(|opened| now >= opened + STABLE) {
            *self = Self::default();
        }
        self.opened = None;
        let first = *self.first.get_or_insert(now);
        if now >= first + budget {
            return None;
        }
        let delay = FIRST_DELAY.as_secs_f64() * f64::from(FACTOR).powi(self.failures);
        self.failures += 1;
        Some(MAX_DELAY.min(Duration::from_secs_f64(delay.min(MAX_DELAY.as_secs_f64()))))
    }
}

/// Steps so large that they often add up to exactly what counts as stable, and to the budget.
fn quarters(most: u32) -> impl Strategy<Value = Duration> {
    (0..most).prop_map(|quarters| quarters * Duration::from_millis(250))
}

proptest! {
    #[test]
    fn waits_longer_with_each_failure_and_gives_up_within_the_budget(
        moves in vec((prop_oneof![4 => quarters(12), 1 => quarters(30)], prop_oneof![1 => Just(Move::Open), 3 => Just(Move::Fail)]), 1..80),
        budget in quarters(360),
    ) {
        let (mut machine, mut reference) = (Reconnect::new(budget), Reference::default());
        let mut now = Instant::now();
        for (pause, next) in moves {
            now += pause;
            match next {
                Move::Open => {
                    machine.opened(now);
                    reference.opened = Some(now);
                }
                Move::Fail => match (machine.failed(now), reference.failed(now, budget)) {
                    (None, None) => {}
                    (Some(delay), Some(least)) => {
                        // Powers of the factor are rounded differently here and there.
                        prop_assert!(delay >= least.mul_f32(0.999), "{:?} is less than {:?}", delay, least);
                        prop_assert!(delay <= least.mul_f32(2.001), "{:?} is over twice {:?}", delay, least);
                    }
                    other => prop_assert!(false, "machine and reference differ: {:?}", other),
                },
            }
        }
    }
}
