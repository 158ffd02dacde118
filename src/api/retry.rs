//! When an idempotent call is tried again: a pure state machine over given times.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::operation::Repeats;
use crate::error::{Error, ErrorKind};
use crate::http::Problem;
use crate::limits::Limits;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Retry {
    repeats: Repeats,
    delays: ExponentialBackoff,
    /// No try begins after this.
    until: Instant,
}

impl Retry {
    pub(crate) fn new(repeats: Repeats, limits: &Limits, now: Instant) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_jitter()
            .with_max_times(limits.tries.saturating_sub(1))
            .build();
        Self { repeats, delays, until: crate::limits::after(now, limits.reconnect) }
    }

    /// How long to wait before the next try; `None` when the error is the outcome.
    ///
    /// A server that says when to come again is not asked earlier.
    pub(crate) fn failed(&mut self, error: &Error, now: Instant) -> Option<Duration> {
        if self.repeats == Repeats::No || !passes(error) {
            return None;
        }
        let delay = self.delays.next()?.max(error.retry_after().unwrap_or_default());
        (crate::limits::after(now, delay) < self.until).then_some(delay)
    }
}

/// Whether it may go well another time. What the server itself refuses, with a kind of its own, it
/// refuses again, unless it says when to come again.
pub(crate) fn passes(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unreachable => true,
        ErrorKind::Refused(problem) => {
            let busy = matches!(problem.status, 408 | 425 | 429 | 502 | 503 | 504);
            busy && (!is_the_servers(problem) || error.retry_after().is_some())
        }
        _ => false,
    }
}

fn is_the_servers(problem: &Problem) -> bool {
    problem.kind.starts_with("urn:sandbox-agent:error:")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Error {
        Error::new(ErrorKind::Refused(Problem::read(status, body.as_bytes())), "refused")
    }

    fn unreachable() -> Error {
        Error::new(ErrorKind::Unreachable, "away")
    }

    fn retry(repeats: Repeats) -> (Retry, Instant) {
        let now = Instant::now();
        (Retry::new(repeats, &Limits::default(), now), now)
    }

    #[test]
    fn an_idempotent_call_is_tried_so_often_and_no_more() {
        let (mut retry, now) = retry(Repeats::Yes);
        let again = std::iter::from_fn(|| retry.failed(&unreachable(), now)).count();
        assert_eq!(again + 1, Limits::default().tries);
    }

    #[test]
    fn any_other_call_is_tried_once() {
        let (mut retry, now) = retry(Repeats::No);
        assert_eq!(retry.failed(&unreachable(), now), None);
    }

    #[test]
    fn no_try_begins_when_the_time_is_used_up() {
        let (mut retry, now) = retry(Repeats::Yes);
        assert_eq!(retry.failed(&unreachable(), now + Limits::default().reconnect), None);
    }

    #[test]
    fn what_the_server_itself_refuses_is_the_outcome() {
        let (mut retry, now) = retry(Repeats::Yes);
        let document = r#"{"type":"urn:sandbox-agent:error:stream_error","title":"T","status":502}"#;
        assert_eq!(retry.failed(&refused(502, document), now), None);
        assert_eq!(retry.failed(&refused(404, ""), now), None);
        assert!(retry.failed(&refused(502, "a proxy's page"), now).is_some());
    }

    #[test]
    fn a_server_that_says_when_is_not_asked_earlier() {
        let (mut retry, now) = retry(Repeats::Yes);
        let busy = refused(429, "").with_retry_after(Some(Duration::from_secs(7)));
        assert!(retry.failed(&busy, now).unwrap() >= Duration::from_secs(7));
        let later = refused(503, "").with_retry_after(Some(Duration::from_secs(3600)));
        assert_eq!(retry.failed(&later, now), None, "longer than it may take in all");
    }
}
