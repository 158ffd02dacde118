//! A second GET of a process's events, beside the running stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::link::Link;
use super::reader::{is_final, signal};
use super::sequence::Way;
use crate::error::{Error, ErrorKind, Result};
use crate::sse::{Budget, EventSource, Item, Reconnect};

/// The ring is sent at once; a stream that is quiet for so long has no more of it.
const QUIET: Duration = Duration::from_millis(250);
/// A probe never lasts longer, however much the agent writes.
pub(super) const PROBE: Duration = Duration::from_secs(2);

pub(super) struct Fetch {
    pub(super) link: Arc<Link>,
    pub(super) budget: Budget,
}

impl Fetch {
    /// Fetches a hole, trying again while the server is away. Returns up to which id the server
    /// brought all that it has; what is missing up to there is lost.
    pub(super) async fn refill(&self, after: u64, until: u64) -> u64 {
        let mut reconnect = Reconnect::new(self.link.limits.reconnect);
        loop {
            match self.run(after, Some(until)).await {
                Ok(covered) => return covered.min(until),
                Err(error) if is_final(&error) => return until,
                Err(_) => match reconnect.failed(Instant::now()) {
                    Some(delay) => sleep(delay).await,
                    None => return until,
                },
            }
        }
    }

    /// Reads what the server holds after `after`: up to `until`, or until it is quiet. Returns up
    /// to which id it saw all that there is; an error when it broke off before the first.
    pub(super) async fn run(&self, after: u64, until: Option<u64>) -> Result<u64> {
        let Link { http, server_id, limits, signals, .. } = &*self.link;
        let mut source =
            EventSource::open(http, server_id, after, limits.heartbeat, limits.event_bytes).await?;
        let mut covered = after;
        loop {
            let item = match timeout(QUIET, source.next()).await {
                Err(_) => return Ok(covered),
                Ok(Ok(Some(item))) => item,
                Ok(Ok(None)) if covered == after => return Err(cut()),
                Ok(Err(error)) if covered == after => return Err(error),
                Ok(Ok(None) | Err(_)) => return Ok(covered),
            };
            let id = match &item {
                Item::Event { id, .. } | Item::Unreadable { id: Some(id), .. } => *id,
                _ => continue,
            };
            covered = covered.max(id);
            if until.is_none_or(|until| id <= until)
                && let Some(signal) = signal(item, Way::Aside, &self.budget).await
                && signals.send(signal).is_err()
            {
                return Ok(covered);
            }
            if until.is_some_and(|until| covered >= until) {
                return Ok(covered);
            }
        }
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::Unreachable, "the server ended the event stream")
}
