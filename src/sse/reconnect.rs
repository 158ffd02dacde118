//! When to connect again, and when to give up: a pure state machine over given times.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

const FIRST_DELAY: Duration = Duration::from_millis(50);
/// Small enough that a server that is back is found within half the time that it was away.
const FACTOR: f32 = 1.3;
const MAX_DELAY: Duration = Duration::from_secs(2);
/// A connection that lived so long was a good one: the next failure starts from the first delay.
const STABLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Reconnect {
    budget: Duration,
    delays: ExponentialBackoff,
    opened: Option<Instant>,
    /// Since when there has been no connection.
    away: Option<Instant>,
}

impl Reconnect {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { budget, delays: delays(), opened: None, away: None }
    }

    pub(crate) fn opened(&mut self, now: Instant) {
        self.opened = Some(now);
    }

    /// How long to wait before the next try; `None` when the budget is used up.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Duration> {
        if self.opened.take().is_some_and(|opened| now - opened >= STABLE) {
            self.delays = delays();
            self.away = None;
        }
        let away = *self.away.get_or_insert(now);
        if now - away >= self.budget {
            return None;
        }
        Some(self.delays.next().unwrap_or(MAX_DELAY))
    }
}

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_DELAY)
        .with_max_delay(MAX_DELAY)
        .with_factor(FACTOR)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod model;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_when_the_budget_is_used_up() {
        let mut reconnect = Reconnect::new(Duration::from_secs(60));
        let start = Instant::now();
        let mut now = start;
        while let Some(delay) = reconnect.failed(now) {
            assert!(delay <= 2 * MAX_DELAY, "{delay:?} with its jitter is within the cap");
            now += delay;
        }
        assert!(now - start >= Duration::from_secs(60));
        assert!(now - start <= Duration::from_secs(60) + 2 * MAX_DELAY);
    }

    #[test]
    fn a_server_that_accepts_and_drops_does_not_reset_the_delays() {
        let mut reconnect = Reconnect::new(Duration::from_secs(60));
        let mut now = Instant::now();
        let mut tries = 0;
        while let Some(delay) = reconnect.failed(now) {
            now += delay;
            reconnect.opened(now);
            tries += 1;
            assert!(tries < 100, "it does not try without pause");
        }
    }

    #[test]
    fn a_stable_connection_starts_over() {
        let mut reconnect = Reconnect::new(Duration::from_secs(60));
        let mut now = Instant::now();
        while let Some(delay) = reconnect.failed(now) {
            now += delay;
        }
        reconnect.opened(now);
        assert!(reconnect.failed(now + STABLE).unwrap() <= 2 * FIRST_DELAY);
    }
}
