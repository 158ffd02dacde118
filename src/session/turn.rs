//! A turn: one prompt, what it brings, and its end.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use sandbox_agent_persist::SessionEvent;
use tokio::sync::watch;

use super::core::SessionCore;
use super::permission::PermissionRequest;
use super::queue::Ticket;
use super::tail::TailReader;
use super::view::{EventView, SessionEventExt};
use crate::acp::Gap;
use crate::acp_types::PromptResponse;
use crate::client::Guard;
use crate::error::{Delivery, Error, ErrorKind, Result};

/// How far a turn is; the last value is its outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Its time has come: it can no longer be cancelled by taking it out of the queue.
    pub(crate) running: bool,
    /// The index of the stored prompt.
    pub(crate) first: Option<u64>,
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The index of the turn's last event.
    pub(crate) last: u64,
    pub(crate) result: Result<PromptResponse>,
}

/// Something that happened in a turn.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TurnEvent {
    /// An envelope was stored: the prompt itself, an update of the agent, a response.
    Event(Arc<SessionEvent>),
    /// The agent asks for a permission; answer it with [`Session::respond`](crate::Session::respond).
    Permission(Box<PermissionRequest>),
    /// Events were lost. The turn goes on.
    Gap(Gap),
    /// The turn ended; the last item.
    Finished(PromptResponse),
}

impl TurnEvent {
    /// The text of an agent's message chunk.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Event(event) => event.agent_text(),
            _ => None,
        }
    }
}

/// What a turn has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnStats {
    /// The agent's events that were stored.
    pub events: u64,
    /// The gaps in them.
    pub gaps: u64,
    /// The events that are missing in those.
    pub missing: u64,
}

/// A prompt on its way: a stream of what it brings, and a future of how it ends.
///
/// It was queued when [`Session::prompt`](crate::Session::prompt) was called, and runs whether
/// this is polled, kept or dropped. Await it for the response; every event of the turn is in the
/// store by then. Or read it as a stream, whose last item is
/// [`TurnEvent::Finished`] or an error.
///
/// Bounded by [`Limits::turn`](crate::Limits::turn), [`Limits::silence`](crate::Limits::silence) and
/// [`Limits::permission`](crate::Limits::permission), by the life of the agent's process, and by
/// [`Limits::reconnect`](crate::Limits::reconnect) when the server is away.
/// An error's [`delivery`](Error::delivery) says whether the agent got the prompt.
#[must_use = "the turn runs on its own, but its outcome is here"]
pub struct Turn {
    ticket: Ticket,
    events: BoxStream<'static, Result<TurnEvent>>,
    /// Whoever waits for a turn keeps the SDK alive.
    guard: Arc<Guard>,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("ended", &self.ticket.progress.borrow().outcome.is_some())
            .finish_non_exhaustive()
    }
}

impl Turn {
    pub(crate) fn new(core: Arc<SessionCore>, ticket: Ticket, guard: Arc<Guard>) -> Self {
        let events = stream::unfold(Step::Begin(core, ticket.progress.subscribe()), step).fuse().boxed();
        Self { ticket, events, guard }
    }

    /// How much the turn has brought so far, and how much of it is missing.
    ///
    /// To ask after the end, await the turn by `(&mut turn).await`.
    pub fn stats(&self) -> TurnStats {
        self.ticket.stats()
    }

    /// Ends the turn and waits until it ended; the session stays.
    ///
    /// Pending permissions are answered "cancelled" and the agent is told to stop. It gets
    /// [`Limits::cancel`](crate::Limits::cancel) to end the turn by itself; after that its process
    /// is ended and the next prompt starts a new one. A prompt that still waits is taken out of
    /// the queue at once and never sent.
    /// How the turn ended is what the turn itself gives. It is cancelled by the call; awaiting it waits for the end.
    pub fn cancel(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        // Borrows nothing, so that a task can await it: the stream in a turn can't be shared between threads.
        self.ticket.withdraw();
        let progress = self.ticket.progress.subscribe();
        async { ended(progress).await.map(drop) }
    }
}

/// The error of a turn that was cancelled in time.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the turn was cancelled before it was sent")
        .with_delivery(Delivery::NotSent)
}

async fn ended(mut progress: watch::Receiver<Progress>) -> Result<Outcome> {
    let progress = progress.wait_for(|progress| progress.outcome.is_some()).await;
    progress.ok().and_then(|progress| progress.outcome.clone()).ok_or_else(Error::closed)
}

impl IntoFuture for Turn {
    type Output = Result<PromptResponse>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let _alive = self.guard;
            ended(self.ticket.progress.subscribe()).await?.result
        })
    }
}

impl<'a> IntoFuture for &'a mut Turn {
    type Output = Result<PromptResponse>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { ended(self.ticket.progress.subscribe()).await?.result })
    }
}

impl Stream for Turn {
    type Item = Result<TurnEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

/// Where the stream of a turn is.
enum Step {
    Begin(Arc<SessionCore>, watch::Receiver<Progress>),
    /// With the process that the turn is on: another SDK may write to the session as well.
    Read(TailReader, Arc<SessionCore>, watch::Receiver<Progress>, Option<String>),
    Done,
}

async fn step(mut at: Step) -> Option<(Result<TurnEvent>, Step)> {
    loop {
        at = match at {
            Step::Begin(core, mut progress) => {
                let begun = progress
                    .wait_for(|progress| progress.first.is_some() || progress.outcome.is_some())
                    .await;
                let begun = begun.map(|progress| progress.clone()).unwrap_or_default();
                match begun.first {
                    Some(first) => {
                        let (tail, store, id) = (core.tail.clone(), core.store.clone(), core.id.clone());
                        Step::Read(
                            TailReader::new(tail, store, id, first.saturating_sub(1)),
                            core,
                            progress,
                            None,
                        )
                    }
                    None => return Some((finish(begun), Step::Done)),
                }
            }
            Step::Read(mut reader, core, mut progress, process) => {
                let now = progress.borrow_and_update().clone();
                if now.outcome.as_ref().is_some_and(|outcome| reader.position() >= outcome.last) {
                    return Some((finish(now), Step::Done));
                }
                let next = tokio::select! {
                    biased;
                    next = reader.next() => next,
                    changed = progress.changed() => match changed {
                        Ok(()) => { at = Step::Read(reader, core, progress, process); continue }
                        Err(_) => return Some((finish(progress.borrow().clone()), Step::Done)),
                    },
                };
                match next {
                    Some(Ok(event)) => {
                        // The first one is the prompt.
                        let process = process.unwrap_or_else(|| event.connection_id.clone());
                        let ours = event.connection_id == process;
                        let shown = ours.then(|| show(&core, event));
                        let next = Step::Read(reader, core, progress, Some(process));
                        match shown {
                            Some(shown) => return Some((Ok(shown), next)),
                            None => next,
                        }
                    }
                    Some(Err(error)) => {
                        return Some((Err(error), Step::Read(reader, core, progress, process)));
                    }
                    None => {
                        // The record ended: the outcome is there, or comes with it.
                        let outcome = ended(progress).await;
                        let progress = Progress { outcome: outcome.ok(), ..Progress::default() };
                        return Some((finish(progress), Step::Done));
                    }
                }
            }
            Step::Done => return None,
        };
    }
}

fn finish(progress: Progress) -> Result<TurnEvent> {
    progress.outcome.ok_or_else(Error::closed)?.result.map(TurnEvent::Finished)
}

fn show(core: &SessionCore, event: Arc<SessionEvent>) -> TurnEvent {
    match event.view() {
        EventView::Gap(gap) => TurnEvent::Gap(gap),
        EventView::PermissionRequest(_) => {
            let open =
                core.permissions.list().into_iter().find(|request| request.event_index == event.event_index);
            open.map_or(TurnEvent::Event(event), |request| TurnEvent::Permission(Box::new(request)))
        }
        _ => TurnEvent::Event(event),
    }
}
