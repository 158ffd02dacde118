//! When an idempotent call is tried again: a pure state machine over given times, and what goes by it.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, sleep};

use super::call::timed_out;
use super::operation::{Operation, Repeats};
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::http::within;
use crate::limits::{Limits, after};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Retry {
    repeats: Repeats,
    delays: ExponentialBackoff,
    /// No try begins after this.
    until: Instant,
    /// When the try began that is under way, the pause before it aside.
    began: Instant,
    /// How long the server may be away.
    away: Duration,
    /// When it has to be back.
    back_by: Instant,
}

impl Retry {
    pub(crate) fn new(repeats: Repeats, limits: &Limits, now: Instant) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_jitter()
            .with_max_times(limits.tries.saturating_sub(1))
            .build();
        let (until, away) = (after(now, limits.retry), limits.reconnect);
        Self { repeats, delays, until, began: now, away, back_by: after(now, away) }
    }

    /// How long to wait before the next try; `None` when the error is the outcome.
    ///
    /// A server that says when to come again is not asked earlier.
    pub(crate) fn failed(&mut self, error: &Error, now: Instant) -> Option<Duration> {
        if self.repeats == Repeats::No || !passes(error) {
            return None;
        }
        let delay = self.delays.next()?.max(error.retry_after().unwrap_or_default());
        if was_there(error) && now.duration_since(self.began) > MAX_DELAY {
            self.back_by = after(now, self.away);
        }
        self.began = after(now, delay);
        (self.began < self.until.min(self.back_by)).then_some(delay)
    }
}

/// Makes a call, each try within `limit`, and makes it again while that does no harm and may help.
///
/// A try that was not answered in its time is the outcome: another one would wait as long.
pub(crate) async fn tried<T, Q, B, R, A: Future<Output = Result<T>>>(
    operation: &Operation<Q, B, R>,
    limits: &Limits,
    limit: Duration,
    attempt: impl Fn() -> A,
) -> Result<T> {
    let mut retry = Retry::new(operation.repeats, limits, Instant::now());
    loop {
        let error = match within(limit, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => return Err(timed_out(operation.path, limit)),
        };
        let Some(delay) = retry.failed(&error, Instant::now()) else { return Err(error) };
        tracing::debug!(path = operation.path, ?delay, %error, "a call is tried again");
        sleep(delay).await;
    }
}

/// The limits of a call that is dear to lose, and can be made again: the count of tries doesn't end it, nor does that it
/// broke off late.
#[cfg(feature = "files")]
pub(crate) fn patient(limits: &Limits) -> Limits {
    limits.clone().tries(usize::MAX).retry(limits.transfer.max(limits.retry))
}

/// Whether the server was there until the try broke off. One that lasted no longer than the longest pause doesn't show it,
/// and somebody else's answer is that of one who waited for it in vain.
fn was_there(error: &Error) -> bool {
    *error.kind() == ErrorKind::Unreachable && error.delivery() == Some(Delivery::Unknown)
}

/// Whether it may go well another time. What the server itself refuses, with a kind of its own, it
/// refuses again, unless it says when to come again.
pub(crate) fn passes(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unreachable | ErrorKind::TokenUnavailable => true,
        ErrorKind::Refused(problem) => {
            let busy = matches!(problem.status, 408 | 425 | 429 | 502 | 503 | 504);
            busy && (!problem.is_the_servers() || error.retry_after().is_some())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
