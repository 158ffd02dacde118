//! When to connect again, and when to give up: a pure state machine over given times.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// Short, because most connections that are lost can be had again at once.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// A connection that was good for so long starts the delays over.
const STABLE: Duration = Duration::from_secs(5);

/// How long to believe in the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Endless,
    /// So many failures in a row that have a bound are enough.
    Tries(u32),
}

#[derive(Debug)]
pub(super) struct Reconnect {
    longest: Duration,
    delays: ExponentialBackoff,
    attempt: u32,
    /// Failures in a row that have a bound.
    bounded: u32,
    opened: Option<Instant>,
}

impl Reconnect {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, delays: delays(longest), attempt: 0, bounded: 0, opened: None }
    }

    /// The host has answered.
    pub(super) fn opened(&mut self, now: Instant) {
        self.opened.get_or_insert(now);
    }

    /// How long to wait before which try; `None` where it is given up.
    pub(super) fn failed(&mut self, now: Instant, patience: Patience) -> Option<(u32, Duration)> {
        if self.opened.take().is_some_and(|opened| now - opened >= STABLE) {
            *self = Self::new(self.longest);
        }
        self.bounded = match patience {
            Patience::Endless => 0,
            Patience::Tries(most) if self.bounded + 1 >= most => return None,
            Patience::Tries(_) => self.bounded + 1,
        };
        self.attempt = self.attempt.saturating_add(1);
        Some((self.attempt, self.delays.next().unwrap_or(self.longest)))
    }
}

fn delays(longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_DELAY.min(longest))
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MAX_DELAY: Duration = Duration::from_secs(10);

    #[test]
    fn delays_grow_to_the_cap_and_start_over_after_a_stable_connection() {
        let mut reconnect = Reconnect::new(MAX_DELAY);
        let mut now = Instant::now();
        let mut longest = Duration::ZERO;
        for attempt in 1..=50 {
            let (said, delay) = reconnect.failed(now, Patience::Endless).unwrap();
            assert_eq!(said, attempt);
            assert!(delay <= 2 * MAX_DELAY, "{delay:?} with its jitter is within the cap");
            longest = longest.max(delay);
            now += delay;
            // One that is lost at once is no reason to hurry.
            reconnect.opened(now);
        }
        assert!(longest >= MAX_DELAY);
        reconnect.opened(now);
        reconnect.opened(now + STABLE);
        let (attempt, delay) = reconnect.failed(now + STABLE, Patience::Endless).unwrap();
        assert!(attempt == 1 && delay <= 2 * FIRST_DELAY);
    }

    #[test]
    fn clients_that_lose_a_host_together_come_back_one_by_one() {
        let now = Instant::now();
        let mut delays: Vec<_> =
            (0..20).map(|_| Reconnect::new(MAX_DELAY).failed(now, Patience::Endless).unwrap().1).collect();
        delays.sort();
        delays.dedup();
        assert!(delays.len() > 10, "{delays:?}");
    }

    #[test]
    fn what_no_later_try_can_mend_is_given_up_when_it_was_seen_in_a_row() {
        let mut reconnect = Reconnect::new(MAX_DELAY);
        let now = Instant::now();
        let few = Patience::Tries(3);
        assert!(reconnect.failed(now, few).is_some());
        assert!(reconnect.failed(now, few).is_some());
        assert!(reconnect.failed(now, Patience::Endless).is_some());
        assert!(reconnect.failed(now, few).is_some());
        assert!(reconnect.failed(now, few).is_some());
        assert!(reconnect.failed(now, few).is_none());
    }
}
