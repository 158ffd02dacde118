//! The one writer of a session: numbers, stores in batches, then publishes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, PersistError, PersistErrorKind, RawValue, Sender, SessionEvent,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::store::Store;
use super::tail::{End, Tail};
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
    /// The process is of no more use.
    Bury(Arc<Link>, Error),
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
}

impl Then {
    fn refuse(self, error: &Error) {
        match self {
            Self::Tell(tell) => {
                let _ = tell.send(Err(error.clone()));
            }
            Self::Dispatch(link) | Self::Bury(link, _) => link.bury(error),
        }
    }
}

/// The recorder's task.
pub(crate) struct Writer<D> {
    pub(crate) session_id: String,
    pub(crate) store: Store,
    pub(crate) tail: Arc<Tail>,
    pub(crate) entries: mpsc::UnboundedReceiver<Entry>,
    pub(crate) stop: CancellationToken,
    /// Told of each event of a process once it is stored and shown.
    pub(crate) dispatch: D,
}

impl<D: Fn(&Arc<Link>, &Arc<SessionEvent>) + Send + 'static> Writer<D> {
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.next_batch().await {
            if let Err(error) = self.write(batch).await {
                self.fail(error);
                return;
            }
        }
        self.tail.end(End::Closed);
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
        let mut events = Vec::with_capacity(batch.len());
        let mut follow = Vec::with_capacity(batch.len());
        // Held until the events are stored: they bound what waits.
        let mut permits = Vec::new();
        for Entry { draft, then } in batch {
            let place = draft.map(|draft| {
                let Draft { id, connection_id, sender, payload, permit } = draft;
                permits.extend(permit);
                events.push(SessionEvent::new(id, 0, &*self.session_id, now, connection_id, sender, payload));
                events.len() - 1
            });
            follow.push((place, then));
        }
        let stored = match self.store_all(events).await {
            Ok(stored) => stored,
            Err(error) => {
                let error = Error::from(error);
                follow.into_iter().for_each(|(_, then)| then.refuse(&error));
                return Err(error);
            }
        };
        drop(permits);
        for (place, then) in follow {
            let event = place.and_then(|place| stored[place].clone());
            match then {
                Then::Tell(tell) => {
                    let _ = tell.send(Ok(event));
                }
                Then::Dispatch(link) => {
                    if let Some(event) = event {
                        (self.dispatch)(&link, &event);
                    }
                }
                Then::Bury(link, error) => link.bury(&error),
            }
        }
        Ok(())
    }

    /// Stores and publishes. Each place of the result holds the event as stored, or `None` where
    /// its id belongs to another event.
    async fn store_all(
        &self,
        mut events: Vec<SessionEvent>,
    ) -> Result<Vec<Option<Arc<SessionEvent>>>, PersistError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut next = self.tail.last() + 1;
        loop {
            number(&mut events, next);
            match self.insert(&events).await? {
                Inserted::Stored if next == self.tail.last() + 1 => {
                    let events: Vec<_> = events.into_iter().map(Arc::new).collect();
                    self.tail.publish(events.clone());
                    return Ok(events.into_iter().map(Some).collect());
                }
                Inserted::Stored => return self.read_back(&events).await,
                Inserted::Conflict { next_index } => next = self.renumber(next, next_index)?,
                Inserted::Duplicate => break,
            }
        }
        for event in &mut events {
            loop {
                event.event_index = next;
                match self.insert(std::slice::from_ref(event)).await? {
                    Inserted::Stored => next += 1,
                    Inserted::Duplicate => {}
                    Inserted::Conflict { next_index } => {
                        next = self.renumber(next, next_index)?;
                        continue;
                    }
                }
                break;
            }
        }
        self.read_back(&events).await
    }

    async fn insert(&self, events: &[SessionEvent]) -> Result<Inserted, PersistError> {
        let driver = &self.store.driver;
        match events {
            [event] => self.store.call(|| driver.insert_event(&self.session_id, event.clone())).await,
            events => self.store.call(|| driver.insert_events(&self.session_id, events.to_vec())).await,
        }
    }

    fn renumber(&self, tried: u64, next: u64) -> Result<u64, PersistError> {
        if tried == next {
            let message =
                format!("the store refused index {tried} of session {:?} and asked for it", self.session_id);
            return Err(PersistError::new(PersistErrorKind::Corrupt, message));
        }
        Ok(next)
    }

    /// Another writer was here too: publishes what the store holds now, its events among ours.
    async fn read_back(&self, ours: &[SessionEvent]) -> Result<Vec<Option<Arc<SessionEvent>>>, PersistError> {
        let mut stored = vec![None; ours.len()];
        loop {
            let request =
                ListEventsRequest::new(&self.session_id).after_index(self.tail.last()).limit(BATCH_EVENTS);
            let page = self.store.call(|| self.store.driver.list_events(request.clone())).await?;
            let more = page.next_cursor.is_some();
            let events: Vec<_> = page.items.into_iter().map(Arc::new).collect();
            let by_id: HashMap<_, _> = events.iter().map(|event| (event.id.as_str(), event)).collect();
            for (event, place) in ours.iter().zip(&mut stored) {
                let found = by_id.get(event.id.as_str());
                if let Some(found) = found.filter(|found| found.payload.get() == event.payload.get()) {
                    *place = Some(Arc::clone(found));
                }
            }
            self.tail.publish(events);
            if !more {
                return Ok(stored);
            }
        }
    }

    /// The store does not take any more: nothing is skipped, so nothing goes on.
    fn fail(mut self, error: Error) {
        tracing::error!(session = %self.session_id, %error, "the session store failed; the session ends here");
        self.tail.end(End::Failed(error.clone()));
        self.entries.close();
        while let Ok(entry) = self.entries.try_recv() {
            entry.then.refuse(&error);
        }
    }
}

fn number(events: &mut [SessionEvent], first: u64) {
    for (event, index) in events.iter_mut().zip(first..) {
        event.event_index = index;
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
