//! Reading a session's events: as a stream, or by a callback.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use sandbox_agent_persist::SessionEvent;

use super::callback::Callback;
use super::core::SessionCore;
use super::tail::TailReader;
use crate::error::{Error, Result};

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first event of the session.
    Start,
    /// At the event with this index; the first is 1.
    Index(u64),
    /// After the newest event that is stored.
    Now,
}

/// A session's events: those that are stored, then those that come; no hole, no double.
///
/// Each is in the store before it is here. A reader that is slower than the agent slows nobody:
/// it reads on from the store. Where the store has evicted events, that is an error which says
/// which, and the stream goes on behind them; any other error is the last item. The stream ends when the SDK is closed or detached. Waiting for the next event lasts as
/// long as the session is silent. Dropping it at any point is safe.
pub struct Events(BoxStream<'static, Result<Arc<SessionEvent>>>);

impl Events {
    pub(crate) fn new(core: &Arc<SessionCore>, from: From) -> Self {
        Self(
            stream::unfold(reader(core, from), |mut reader| async { Some((reader.next().await?, reader)) })
                .fuse()
                .boxed(),
        )
    }
}

fn reader(core: &Arc<SessionCore>, from: From) -> TailReader {
    core.follow_store();
    let after = match from {
        From::Start => 0,
        From::Index(index) => index.saturating_sub(1),
        From::Now => core.tail.last(),
    };
    TailReader::new(core.tail.clone(), core.store.clone(), core.id.clone(), after)
}

impl Stream for Events {
    type Item = Result<Arc<SessionEvent>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A callback that gets a session's events; drop it to unsubscribe.
///
/// The callback runs on a thread of its own and may block: it slows neither the session nor its
/// neighbours. An event that it is in the middle of when the subscription is dropped is the last.
#[derive(Debug)]
pub struct Subscription {
    core: Arc<SessionCore>,
    callback: Callback,
    failure: Arc<Mutex<Option<Error>>>,
}

impl Subscription {
    pub(crate) fn new(
        core: Arc<SessionCore>,
        from: From,
        mut callback: impl FnMut(&SessionEvent) + Send + 'static,
    ) -> Self {
        let failure = Arc::new(Mutex::new(None));
        let reader = reader(&core, from);
        let start = reader.position();
        let (failed, session) = (failure.clone(), core.id.clone());
        let events = stream::unfold(reader, |mut reader| async {
            let event = reader.next().await?;
            Some(((reader.position(), event), reader))
        })
        .map(move |(position, event)| {
            let event = event.inspect_err(|error| {
                tracing::warn!(%session, %error, "a subscription missed events");
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            });
            (position, event.ok())
        });
        let each = move |event: Option<Arc<SessionEvent>>| {
            if let Some(event) = event {
                callback(&event);
            }
        };
        let callback = Callback::start(&core.runtime, "session-events", start, events, each);
        Self { core, callback, failure }
    }

    /// Waits until the callback returned from every event that was stored when this was called.
    ///
    /// Bounded by the callback's own speed, and by the end of the SDK. Fails when events were
    /// evicted before the callback got to them, when the store failed, or when the callback
    /// panicked. Dropping the call is safe.
    pub async fn caught_up(&self) -> Result<()> {
        let last = self.core.tail.last();
        let progress = self.callback.reached(last).await;
        if let Some(error) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(error);
        }
        if progress.position >= last {
            return Ok(());
        }
        Err(Error::closed())
    }
}
