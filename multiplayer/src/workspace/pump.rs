//! From a session to the line: its events, its state, the permissions that it asks for.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use sandbox_agent_sdk::persist::PersistErrorKind;
use sandbox_agent_sdk::{ErrorKind as SdkErrorKind, Events, From, Session, SessionEvent};
use tokio::time::{sleep, timeout};

use super::Inner;
use crate::error::Result;
use crate::frame::{Activity, FrameBody, State};
use crate::line::Run;

/// How many events go into the line at once, and how many bytes of them.
const EVENTS: usize = 256;
const BYTES: usize = 1024 * 1024;
/// Before events that could not be read are asked for again: the SDK has tried for its own time before.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(inner: Arc<Inner>, session: Session, number: u64) {
    let id = session.id().to_owned();
    if let Err(error) = Pump::new(&inner, &session).run().await {
        // Where the line has ended, whoever subscribes is told so.
        tracing::debug!(session = %id, %error, "a session's events go no further");
    }
    let mut sessions = inner.sessions();
    if sessions.get(&id).is_some_and(|adopted| adopted.number == number) {
        sessions.remove(&id);
    }
}

struct Pump<'a> {
    inner: &'a Arc<Inner>,
    session: &'a Session,
    events: Events,
    /// The index that comes next.
    next: u64,
    /// Whether the events ended by an error.
    failed: bool,
}

impl<'a> Pump<'a> {
    fn new(inner: &'a Arc<Inner>, session: &'a Session) -> Self {
        let last =
            inner.line.tail.look(|now| now.sessions.get(session.id()).map_or(0, |known| known.last_index));
        Self { inner, session, events: session.events(From::Index(last + 1)), next: last + 1, failed: false }
    }

    async fn run(mut self) -> Result<()> {
        let mut states = self.session.state();
        let mut requests = self.session.permission_requests();
        let mut requests_end = false;
        // It may have changed between being taken in and being watched.
        let state = *states.borrow_and_update();
        self.show(state.into()).await?;
        loop {
            tokio::select! {
                event = self.events.next() => {
                    match event {
                        Some(event) => self.take(event).await?,
                        None if self.failed => self.begin_again().await,
                        None => return self.ended().await,
                    }
                    self.inner.reconcile(self.session).await?;
                }
                changed = states.changed(), if !requests_end => {
                    requests_end |= changed.is_err();
                    let state = *states.borrow_and_update();
                    self.show(state.into()).await?;
                    self.inner.reconcile(self.session).await?;
                }
                request = requests.next(), if !requests_end => match request {
                    Some(request) => {
                        self.catch_up(request.event_index).await?;
                        self.inner.asked(self.session, request).await?;
                    }
                    None => requests_end = true,
                },
                () = self.inner.stop.cancelled() => return self.rest().await,
            }
        }
    }

    /// A request is listed before its event can be read: what led to it comes first.
    async fn catch_up(&mut self, index: u64) -> Result<()> {
        while self.next <= index {
            let Some(event) = self.events.next().await else { break };
            self.take(event).await?;
        }
        Ok(())
    }

    /// Puts an event, and those that are there behind it, into the line.
    async fn take(&mut self, first: sandbox_agent_sdk::Result<Arc<SessionEvent>>) -> Result<()> {
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(event) = next.take() {
            match event {
                Ok(event) => {
                    bytes += event.size();
                    // A run that could not be cut begins before.
                    let (from, to) = (event.first_index().max(self.next), event.event_index);
                    if to >= from {
                        items.push((from, to, FrameBody::SessionEvent(event)));
                        self.next = to + 1;
                    }
                }
                Err(error) => match error.kind() {
                    SdkErrorKind::Persist(PersistErrorKind::Evicted { to, .. }) if *to >= self.next => {
                        items.push((self.next, *to, FrameBody::Evicted));
                        self.next = to + 1;
                    }
                    _ => {
                        tracing::warn!(session = %self.session.id(), %error, "events can't be read; trying again");
                        self.failed = true;
                        break;
                    }
                },
            }
            if items.len() < EVENTS && bytes < BYTES {
                next = self.events.next().now_or_never().flatten();
            }
        }
        self.tell(items).await
    }

    async fn tell(&mut self, items: Vec<(u64, u64, FrameBody)>) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        self.inner.line.append_run(Run { session_id: self.session.id().to_owned(), items }).await
    }

    async fn show(&mut self, state: Activity) -> Result<()> {
        self.inner.show_state(self.session, state).await
    }

    /// After a pause, reads on where it stood.
    async fn begin_again(&mut self) {
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = self.inner.stop.cancelled() => {}
        }
        self.events = self.session.events(From::Index(self.next));
        self.failed = false;
    }

    /// What the session has stored before the workspace closes.
    async fn rest(&mut self) -> Result<()> {
        while self.next <= self.session.last_index() && !self.failed {
            let Ok(Some(event)) = timeout(self.inner.limits.store, self.events.next()).await else { break };
            self.take(event).await?;
        }
        Ok(())
    }

    async fn ended(&mut self) -> Result<()> {
        self.inner.reconcile(self.session).await?;
        self.show(Activity::Closed).await
    }
}

impl Inner {
    /// Puts into the line what a session does, where it says something else.
    async fn show_state(&self, session: &Session, state: Activity) -> Result<()> {
        let same = self
            .line
            .tail
            .look(|now| now.sessions.get(session.id()).is_some_and(|known| known.state == state));
        if same {
            return Ok(());
        }
        self.line.append(FrameBody::State(Box::new(self.state_of(session, state)))).await.map(drop)
    }

    pub(super) fn state_of(&self, session: &Session, state: Activity) -> State {
        State { session_id: session.id().to_owned(), agent: session.record().agent, state, prompt: None }
    }
}
