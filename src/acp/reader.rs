//! Reads a process's events as fast as the socket gives them, and connects again when it breaks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::Instrument;

use super::fetch::Fetched;
use super::link::Link;
use super::sequence::Way;
use crate::error::{Error, ErrorKind, Result};
use crate::sse::{Budget, EventSource, Item, Permit, Reconnect};

/// What the sequencer is told, by the reader and by whoever misses an answer.
#[derive(Debug)]
pub(crate) enum Signal {
    Event {
        id: u64,
        way: Way,
        data: String,
        permit: Permit,
        stalled: bool,
    },
    Unreadable {
        id: u64,
        way: Way,
        too_large: bool,
        head: String,
    },
    /// The stream's headers are in: what came while it subscribed may be missing.
    Connected,
    Heartbeat,
    /// An answer is overdue.
    Probe,
    /// A refill ended; all that the server had up to `covered` came.
    Refilled {
        after: u64,
        until: u64,
        covered: u64,
    },
    /// A probe ended.
    Probed {
        /// Where the stream was when it began.
        passed: u64,
        /// What it brought; `None` when it did not get there.
        fetched: Option<Fetched>,
        /// The answers that a POST had brought before it began.
        hinted: Vec<String>,
    },
    Exited(Error),
    /// No event comes any more.
    Died(Error),
}

pub(crate) struct Reader {
    link: Arc<Link>,
    budget: Budget,
}

impl Reader {
    pub(crate) fn new(link: Arc<Link>, budget: Budget) -> Self {
        Self { link, budget }
    }

    pub(crate) async fn run(self) {
        let stop = self.link.stop.clone();
        let span =
            tracing::debug_span!("connection", server_id = %self.link.server_id, agent = %self.link.agent);
        if let Some(error) = stop.run_until_cancelled(self.read().instrument(span)).await {
            let _ = self.link.signals.send(Signal::Died(error));
        }
        self.link.connected.send_replace(false);
    }

    /// Reads until there is no more point in it.
    async fn read(&self) -> Error {
        let mut reconnect = Reconnect::new(self.link.limits.reconnect);
        loop {
            let failure = match self.open().await {
                Ok(source) => {
                    self.link.set_started();
                    reconnect.opened(Instant::now());
                    self.link.counters.streams_opened.increment();
                    self.link.connected.send_replace(true);
                    let _ = self.link.signals.send(Signal::Connected);
                    let failure = pump(&self.link, &self.budget, source).await;
                    self.link.connected.send_replace(false);
                    self.link.counters.streams_lost.increment();
                    failure
                }
                Err(error) if is_final(&error) => return self.name(error),
                Err(error) => error,
            };
            tracing::debug!(%failure, "event stream broke off");
            match reconnect.failed(Instant::now()) {
                Some(delay) => sleep(delay).await,
                None => return failure,
            }
        }
    }

    async fn open(&self) -> Result<EventSource> {
        let link = &self.link;
        loop {
            let after = link.done.load(Ordering::Acquire);
            let opened = EventSource::open(
                &link.http,
                &link.server_id,
                after,
                link.limits.heartbeat,
                link.limits.event_bytes,
            )
            .await;
            match opened {
                // The process starts with the first POST, which is on its way.
                Err(error) if is_missing(&error) && !link.is_started() => {
                    tokio::select! {
                        () = link.started() => {}
                        () = sleep(STARTING) => {}
                    }
                }
                opened => return opened,
            }
        }
    }

    fn name(&self, error: Error) -> Error {
        if is_missing(&error) {
            Error::new(ErrorKind::ProcessGone, "the server no longer knows the agent's process")
                .with_source(error)
        } else {
            error
        }
    }
}

/// How often a process is looked for that is being started: soon enough that its first events
/// are read while they are few.
const STARTING: Duration = Duration::from_millis(25);

/// Whether the server says that it has no such process. Anybody else's 404 says nothing.
fn is_missing(error: &Error) -> bool {
    error.problem().is_some_and(|problem| problem.status == 404 && problem.code() == "session_not_found")
}

/// A refusal of the server's own that no second try changes.
pub(super) fn is_final(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unauthorized => true,
        ErrorKind::Refused(problem) => {
            (400..500).contains(&problem.status)
                && !problem.code().is_empty()
                && !matches!(problem.status, 408 | 425 | 429)
        }
        _ => false,
    }
}

/// Passes on what a stream gives until it ends; returns why it did.
async fn pump(link: &Link, budget: &Budget, mut source: EventSource) -> Error {
    loop {
        let item = match source.next().await {
            Ok(Some(item)) => item,
            Ok(None) => return Error::new(ErrorKind::Unreachable, "the server ended the event stream"),
            Err(error) => return error,
        };
        // Waits for room, so that a store that is slower than the agent stops the reading.
        let Some((permit, stalled)) = budget.take(item.size()).await else { return Error::closed() };
        let Some(signal) = signal(item, Way::Stream, permit, stalled) else { continue };
        if link.signals.send(signal).is_err() {
            return Error::closed();
        }
    }
}

/// What the sequencer is told of an item; an unreadable one without an id shows as a hole.
pub(super) fn signal(item: Item, way: Way, permit: Permit, stalled: bool) -> Option<Signal> {
    Some(match item {
        Item::Event { id, data } => Signal::Event { id, way, data, permit, stalled },
        Item::Heartbeat => Signal::Heartbeat,
        Item::Unreadable { id, too_large, head } => Signal::Unreadable { id: id?, way, too_large, head },
    })
}
