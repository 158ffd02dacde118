//! The body of `GET /v1/acp/{server_id}`.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;
use futures::Stream;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::core::Core;
use super::outlet::{Event, Live, Subscription};
use super::plan::{Events, Scope};

const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");
const RACE_LIMIT: Duration = Duration::from_secs(10);

/// How a stream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Flowing,
    Stalled,
    Cut,
}

struct Tap {
    server: String,
    mood: watch::Sender<Mood>,
}

/// All streams that are open.
#[derive(Default)]
pub(super) struct Streams(Mutex<Vec<Weak<Tap>>>);

impl Streams {
    fn open(&self, scope: &Scope) -> Vec<Arc<Tap>> {
        let mut taps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taps.retain(|tap| tap.strong_count() > 0);
        taps.iter()
            .filter_map(Weak::upgrade)
            .filter(|tap| scope.as_ref().is_none_or(|only| *only == tap.server))
            .collect()
    }

    pub(super) fn count(&self) -> usize {
        self.open(&None).len()
    }

    pub(super) fn set(&self, scope: &Scope, mood: Mood) {
        for tap in self.open(scope) {
            tap.mood.send_replace(mood);
        }
    }

    pub(super) fn resume(&self, scope: &Scope) {
        for tap in self.open(scope) {
            tap.mood.send_if_modified(|mood| {
                let stalled = *mood == Mood::Stalled;
                if stalled {
                    *mood = Mood::Flowing;
                }
                stalled
            });
        }
    }

    fn add(&self, tap: &Arc<Tap>) {
        let mut taps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taps.push(Arc::downgrade(tap));
    }
}

/// The events of a subscription as they go over the wire.
pub(super) struct Reader {
    core: Arc<Core>,
    tap: Option<Arc<Tap>>,
    server: String,
    mood: watch::Receiver<Mood>,
    backlog: VecDeque<Event>,
    live: Option<Receiver<Live>>,
    ends_now: bool,
}

impl Reader {
    pub(super) fn new(core: &Arc<Core>, server: &str, (backlog, live): Subscription) -> Self {
        let stalled = core.plan().take_stall(server);
        let mood = if stalled { Mood::Stalled } else { Mood::Flowing };
        let (mood, moods) = watch::channel(mood);
        let tap = Arc::new(Tap { server: server.to_owned(), mood });
        core.streams.add(&tap);
        core.changed();
        Self {
            core: core.clone(),
            tap: Some(tap),
            server: server.to_owned(),
            mood: moods,
            backlog,
            live,
            ends_now: false,
        }
    }

    /// Waits until these events have come, and drops them.
    pub(super) async fn lose(&mut self, mut events: Events) {
        let Self { live, backlog, .. } = self;
        let lose_all = async {
            while let Some(live) = live.as_mut().filter(|_| !events.is_spent()) {
                match live.recv().await {
                    Ok(Live::Event(event)) if events.take(&event) => {}
                    Ok(Live::Event(event)) => backlog.push_back(event),
                    Ok(Live::Raw(_)) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                }
            }
        };
        let _ = timeout(RACE_LIMIT, lose_all).await;
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures::stream::unfold(self, async |mut reader| {
            let item = reader.next().await?;
            reader.ends_now |= item.is_err();
            Some((item, reader))
        })
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.ends_now {
                // Pending once, so that what was delivered is flushed before the break.
                tokio::task::yield_now().await;
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let mood = *self.mood.borrow_and_update();
            match mood {
                Mood::Flowing => {}
                Mood::Cut => {
                    self.ends_now = true;
                    continue;
                }
                Mood::Stalled => {
                    self.mood.changed().await.ok()?;
                    continue;
                }
            }
            if let Some(event) = self.backlog.pop_front() {
                return Some(Ok(self.deliver(event)));
            }
            let live = self.live.as_mut()?;
            tokio::select! {
                biased;
                _ = self.mood.changed() => {}
                received = live.recv() => match received {
                    Ok(Live::Event(event)) => return Some(Ok(self.deliver(event))),
                    Ok(Live::Raw(bytes)) => return Some(Ok(bytes)),
                    // A reader that lags is skipped ahead, and nobody tells it.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = sleep(self.core.options.heartbeat) => return Some(Ok(HEARTBEAT)),
            }
        }
    }

    fn deliver(&mut self, event: Event) -> Bytes {
        self.ends_now = self.core.plan().take_cut(&self.server, event.id);
        event.frame
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tap = None;
        self.core.changed();
    }
}
