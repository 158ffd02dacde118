//! The one writer of a session: numbers, stores in batches, then publishes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox_agent_persist::{RawValue, Sender, SessionEvent};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::journal::{Appended, Batch, Journal, Witness};
use super::tail::End;
use crate::acp::Link;
use crate::error::{Delivery, Error, Result};
use crate::sse::Permit;

/// One transaction holds so many events at most: it lasts some milliseconds, and what has
/// arrived meanwhile goes into the next.
const BATCH_EVENTS: usize = 1024;
const BATCH_BYTES: usize = 1024 * 1024;

/// Something to be recorded, and what follows once it is.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) draft: Option<Draft>,
    pub(crate) then: Then,
}

/// An event without its index.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) connection_id: String,
    pub(crate) sender: Sender,
    pub(crate) payload: Box<RawValue>,
    pub(crate) permit: Option<Permit>,
}

#[derive(Debug)]
pub(crate) enum Then {
    /// Tells whoever waits to send it. `Ok(None)`: the store had its id already.
    Tell(oneshot::Sender<Result<Option<Arc<SessionEvent>>>>),
    /// Acts on what the process said.
    Dispatch(Arc<Link>),
    /// These answers of the process came only by POST.
    Settle(Arc<Link>, Vec<String>),
    /// The process is of no more use.
    Bury(Arc<Link>, Error),
    /// Others have stored events, up to this index at the least.
    CatchUp(u64),
    /// Nothing may be stored any more.
    Fail(Error),
}

/// Hands entries to the recorder, in order.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(mpsc::UnboundedSender<Entry>);

impl Recorder {
    /// Bounded all the same: what comes from the socket holds a permit, and who sends waits for each entry.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Entry>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    pub(crate) fn record(&self, entry: Entry) {
        if let Err(refused) = self.0.send(entry) {
            refused.0.then.refuse(&Error::closed());
        }
    }

    /// Records something of ours; returns when it is stored, `None` when its id was known.
    /// An error means that it must not be sent.
    pub(crate) async fn store(&self, draft: Draft) -> Result<Option<Arc<SessionEvent>>> {
        let (tell, told) = oneshot::channel();
        self.record(Entry { draft: Some(draft), then: Then::Tell(tell) });
        told.await
            .unwrap_or_else(|_| Err(Error::closed()))
            .map_err(|error| error.with_delivery(Delivery::NotSent))
    }

    /// Returns when all that was handed over before is stored and acted on.
    pub(crate) async fn barrier(&self) -> Result<()> {
        let (tell, told) = oneshot::channel();
        self.record(Entry { draft: None, then: Then::Tell(tell) });
        told.await.unwrap_or_else(|_| Err(Error::closed())).map(drop)
    }
}

impl Then {
    fn link(&self) -> Option<&Arc<Link>> {
        match self {
            Self::Dispatch(link) => Some(link),
            _ => None,
        }
    }

    fn refuse(self, error: &Error) {
        match self {
            Self::Tell(tell) => {
                let _ = tell.send(Err(error.clone()));
            }
            Self::Dispatch(link) | Self::Settle(link, _) | Self::Bury(link, _) => link.bury(error),
            Self::CatchUp(_) | Self::Fail(_) => {}
        }
    }
}

/// Who acts on what a process said.
pub(crate) trait Listener: Send + Sync + 'static {
    /// An event is stored and not shown yet: what it offers must be there when it is.
    fn stored(&self, link: &Arc<Link>, event: &SessionEvent);
    /// Another writer stored this event; it is not shown yet.
    fn theirs(&self, event: &SessionEvent);
    /// And now it is.
    fn theirs_shown(&self, event: &Arc<SessionEvent>);
    /// An event is stored and shown.
    fn shown(&self, link: &Arc<Link>, event: &Arc<SessionEvent>);
    /// The stream does not bring these answers any more: what is to be recorded in their place.
    fn settle(&self, link: &Arc<Link>, answers: Vec<String>) -> Vec<Entry>;
}

/// The recorder's task.
pub(crate) struct Writer<L> {
    pub(crate) journal: Journal,
    pub(crate) entries: mpsc::UnboundedReceiver<Entry>,
    pub(crate) stop: CancellationToken,
    pub(crate) listener: L,
}

impl<L: Listener> Writer<L> {
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.next_batch().await {
            if let Err(error) = self.write(batch).await {
                self.fail(error);
                return;
            }
        }
        self.journal.tail().end(End::Closed);
    }

    /// What has arrived, up to the size of a transaction; after a stop what is left of it.
    async fn next_batch(&mut self) -> Option<Vec<Entry>> {
        let first = match self.stop.run_until_cancelled(self.entries.recv()).await {
            Some(first) => first?,
            None => {
                self.entries.close();
                self.entries.recv().await?
            }
        };
        let mut bytes = first.size();
        let mut batch = vec![first];
        while batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
            let Ok(entry) = self.entries.try_recv() else { break };
            bytes += entry.size();
            batch.push(entry);
        }
        Some(batch)
    }

    async fn write(&mut self, batch: Vec<Entry>) -> Result<()> {
        let now = now_ms();
        let session_id = self.journal.session_id().to_owned();
        let mut events = Vec::with_capacity(batch.len());
        let mut links = Vec::with_capacity(batch.len());
        let mut follow = Vec::with_capacity(batch.len());
        // Held until the events are stored: they bound what waits.
        let mut permits = Vec::new();
        for Entry { draft, then } in batch {
            let place = draft.map(|draft| {
                let Draft { id, connection_id, sender, payload, permit } = draft;
                permits.extend(permit);
                events.push(SessionEvent::new(id, 0, &*session_id, now, connection_id, sender, payload));
                links.push(then.link().cloned());
                events.len() - 1
            });
            follow.push((place, then));
        }
        let told = Told { listener: &self.listener, links: &links };
        let Batch { ours, theirs } = match self.journal.append(events, &told).await {
            Ok(batch) => batch,
            Err(error) => {
                let error = Error::from(error);
                follow.into_iter().for_each(|(_, then)| then.refuse(&error));
                return Err(error);
            }
        };
        drop(permits);
        for event in &theirs {
            self.listener.theirs_shown(event);
        }
        let mut appended: Vec<_> = ours.into_iter().map(Some).collect();
        for (place, then) in follow {
            let event = place.and_then(|place| appended[place].take());
            match then {
                Then::Tell(tell) => {
                    let stored = match event {
                        Some(Appended::Stored(event)) => Some(event),
                        _ => None,
                    };
                    let _ = tell.send(Ok(stored));
                }
                Then::Dispatch(link) => match event {
                    Some(Appended::Stored(event)) => self.listener.shown(&link, &event),
                    // Whoever waits for it is told all the same.
                    Some(Appended::Known(event)) => self.listener.shown(&link, &Arc::new(event)),
                    None => {}
                },
                Then::Settle(link, answers) => {
                    let settled = self.listener.settle(&link, answers);
                    Box::pin(self.write(settled)).await?;
                }
                Then::Bury(link, error) => link.bury(&error),
                Then::CatchUp(last) => {
                    let told = Told { listener: &self.listener, links: &[] };
                    for event in self.journal.catch_up(last, &told).await? {
                        self.listener.theirs_shown(&event);
                    }
                }
                Then::Fail(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The store does not take any more: nothing is skipped, so nothing goes on.
    fn fail(mut self, error: Error) {
        tracing::error!(session = %self.journal.session_id(), %error, "the session store failed; the session ends here");
        self.journal.tail().end(End::Failed(error.clone()));
        self.entries.close();
        while let Ok(entry) = self.entries.try_recv() {
            entry.then.refuse(&error);
        }
    }
}

/// Passes on what the journal says of a batch, with the process that each event is of.
struct Told<'a, L> {
    listener: &'a L,
    links: &'a [Option<Arc<Link>>],
}

impl<L: Listener> Witness for Told<'_, L> {
    fn stored(&self, place: usize, event: &SessionEvent) {
        if let Some(link) = &self.links[place] {
            self.listener.stored(link, event);
        }
    }

    fn theirs(&self, event: &SessionEvent) {
        self.listener.theirs(event);
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.draft.as_ref().map_or(0, |draft| draft.payload.get().len())
    }
}

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
