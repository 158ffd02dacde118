//! A second GET of a process's events, beside the running stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::link::Link;
use super::reader::{is_final, signal};
use super::sequence::Way;
use crate::error::Result;
use crate::sse::{Budget, EventSource, Item, Permit, Reconnect};

/// The ring is sent at once; a stream that is quiet for so long has no more of it.
const QUIET: Duration = Duration::from_millis(250);
/// A probe never lasts longer, however much the agent writes.
pub(super) const PROBE: Duration = Duration::from_secs(2);

pub(super) struct Fetch {
    pub(super) link: Arc<Link>,
    pub(super) budget: Budget,
}

/// What a fetch brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched {
    /// Up to this id it saw all that the server held.
    pub(super) covered: u64,
    /// It ended because the server had nothing more.
    pub(super) complete: bool,
}

impl Fetch {
    /// Fetches a hole, trying again while the server is away. Returns up to which id the server
    /// brought all that it has; what is missing up to there is lost.
    pub(super) async fn refill(&self, after: u64, until: u64) -> u64 {
        let mut reconnect = Reconnect::new(self.link.limits.reconnect);
        loop {
            match self.run(after, Some(until)).await {
                Ok(fetched) => return fetched.covered.min(until),
                Err(error) if is_final(&error) => return until,
                Err(_) => match reconnect.failed(Instant::now()) {
                    Some(delay) => sleep(delay).await,
                    None => return until,
                },
            }
        }
    }

    /// Reads what the server holds after `after`: up to `until`, or until it has nothing more. An
    /// error when it broke off before the first event.
    pub(super) async fn run(&self, after: u64, until: Option<u64>) -> Result<Fetched> {
        let Link { http, server_id, limits, .. } = &*self.link;
        let mut source =
            EventSource::open(http, server_id, after, limits.heartbeat, limits.event_bytes).await?;
        self.link.set_started();
        let mut covered = after;
        while until.is_none_or(|until| covered < until) {
            let item = match source.next_while_it_gives(QUIET).await {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(Fetched { covered, complete: true }),
                Err(error) if covered == after => return Err(error),
                Err(_) => break,
            };
            let Some(id) = item.id() else { continue };
            if until.is_some_and(|until| id > until) {
                // Whatever is asked for and did not come before this is not there.
                covered = id;
            } else if self.pass_on(item, id == after + 1).await {
                covered = id;
            } else {
                // No room; but all before it was seen.
                covered = covered.max(id - 1);
                break;
            }
        }
        Ok(Fetched { covered, complete: false })
    }

    /// Hands an event on if there is room for it. The next one in order gets through in any case:
    /// what fills the room may be waiting for it.
    async fn pass_on(&self, item: Item, next_in_order: bool) -> bool {
        let signal = match timeout(QUIET, self.budget.take(item.size())).await {
            Ok(Some((permit, _))) => signal(item, Way::Aside, permit, false),
            _ if next_in_order => signal(item, Way::Aside, Permit::beyond_budget(), false),
            _ => return false,
        };
        signal.is_some_and(|signal| self.link.signals.send(signal).is_ok())
    }
}
