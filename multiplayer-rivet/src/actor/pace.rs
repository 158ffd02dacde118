//! How often an actor may tell something: a pure reckoning.

use std::time::Duration;

use tokio::time::Instant;

/// When the next messages may go out.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    /// Messages a second, to all together.
    most: u32,
    next: Instant,
}

impl Pace {
    pub(super) fn new(window: Duration, most: u32, now: Instant) -> Self {
        Self { window, most: most.max(1), next: now }
    }

    /// The time before which nothing goes out.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// So many messages went out to each of so many.
    pub(super) fn told(&mut self, messages: usize, seats: usize, now: Instant) {
        let copies = u32::try_from(messages.saturating_mul(seats)).unwrap_or(u32::MAX);
        let cost = Duration::from_secs(1).saturating_mul(copies) / self.most;
        self.next = now + cost.max(self.window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_those_who_look_on() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(50), 200, now);
        assert_eq!(pace.next(), now, "the first goes out at once");
        for (messages, seats, wait) in [(1, 1, 50), (1, 10, 50), (1, 40, 200), (4, 40, 800), (20, 1, 100)] {
            pace.told(messages, seats, now);
            assert_eq!(pace.next() - now, Duration::from_millis(wait), "{messages} to {seats}");
        }
    }
}
