//! What the parts of one session share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::{
    ListEventsRequest, PersistError, PersistErrorKind, Sender, SessionEvent, SessionRecord,
};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::follow::Following;
use super::hold::Hold;
use super::info::News;
use super::journal::Journal;
use super::permission::{PermissionPolicy, Permissions};
use super::queue::Queue;
use super::recorder::{Recorder, Writer};
use super::replay::Replay;
use super::runner;
use super::settings::Settings;
use super::state::State;
use super::store::Store;
use super::tail::{End, Tail};
use super::view;
use crate::acp::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::http::Http;
use crate::limits::Limits;
use crate::metrics::Counters;

/// One session of one SDK. Its tasks hold it; its users hold it together with the SDK's guard.
pub(crate) struct SessionCore {
    pub(crate) id: String,
    pub(crate) http: Http,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) runtime: Handle,
    pub(crate) tail: Arc<Tail>,
    pub(crate) recorder: Recorder,
    pub(crate) permissions: Arc<Permissions>,
    pub(crate) state: State,
    pub(crate) queue: Queue,
    pub(super) replay: Replay,
    /// Under which name this SDK holds its sessions; it holds none without.
    pub(super) holder: Option<Arc<str>>,
    pub(super) hold: Hold,
    pub(super) following: Following,
    /// Whether what a turn brought is folded when it ended.
    pub(super) compacts: bool,
    pub(crate) counters: Arc<Counters>,
    /// The agent process in use. The lock is held while one is opened.
    pub(crate) live: tokio::sync::Mutex<Option<Live>>,
    /// Held while the record is stored, so that the last change is the one that stays.
    storing: tokio::sync::Mutex<()>,
    /// Ends the tasks; what was received is stored first.
    pub(crate) stop: CancellationToken,
    /// After that, nothing more comes to be stored.
    drained: CancellationToken,
    /// The SDK's own.
    sdk_stop: CancellationToken,
    shared: Mutex<Shared>,
    /// What the record does not have yet.
    pub(super) news: Mutex<News>,
}

#[derive(Debug)]
struct Shared {
    record: SessionRecord,
    policy: PermissionPolicy,
    /// Whether the store has the record as it is here.
    stored: bool,
    /// Whether the store has, or had, a record of the session at all.
    known: bool,
    unopened: Option<Arc<Link>>,
    link: Option<Arc<Link>>,
    /// The last process that was started, be the session open on it or not.
    opened_on: Option<String>,
    /// When the agent last gave a sign of itself.
    activity: Instant,
}

/// An agent process with its session open.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) link: Arc<Link>,
    pub(crate) agent_session_id: String,
}

impl fmt::Debug for SessionCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("state", &*self.state.watch().borrow())
            .finish_non_exhaustive()
    }
}

/// What every session of an SDK is made from.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) http: Http,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) holder: Option<Arc<str>>,
    pub(crate) compacts: bool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
}

impl SessionCore {
    /// Starts the session's tasks; no agent process yet. `known`: the record is the store's.
    pub(crate) async fn start(
        parts: Parts,
        record: SessionRecord,
        policy: PermissionPolicy,
        known: bool,
    ) -> Result<Arc<Self>> {
        let Parts { http, store, limits, holder, compacts, counters, runtime, stop } = parts;
        let store = store.for_session();
        let last = last_index(&store, &record.id).await?;
        let (recorder, entries) = Recorder::new();
        let (sdk_stop, stop) = (stop.clone(), stop.child_token());
        let core = Arc::new(Self {
            id: record.id.clone(),
            tail: Arc::new(Tail::new(last, limits.tail_bytes)),
            recorder,
            permissions: Arc::default(),
            state: State::new(),
            queue: Queue::new(limits.queued_prompts),
            replay: Replay::default(),
            holder,
            hold: Hold::default(),
            following: Following::default(),
            compacts,
            counters,
            live: tokio::sync::Mutex::new(None),
            shared: Mutex::new(Shared {
                record,
                policy,
                stored: false,
                known,
                unopened: None,
                link: None,
                opened_on: None,
                activity: Instant::now(),
            }),
            news: Mutex::default(),
            http,
            store,
            limits,
            runtime,
            storing: tokio::sync::Mutex::default(),
            stop,
            drained: CancellationToken::new(),
            sdk_stop,
        });
        let journal = Journal::new(core.id.clone(), core.store.clone(), core.tail.clone());
        let writer = Writer { journal, entries, stop: core.drained.clone(), listener: core.clone() };
        let (ended, writing) = (core.clone(), core.runtime.spawn(writer.run()));
        core.runtime.spawn(async move {
            if writing.await.is_err() {
                let error = PersistError::new(PersistErrorKind::Other, "the session store panicked");
                ended.tail.end(End::Failed(error.into()));
            }
            ended.end();
        });
        let (ended, running) = (core.clone(), core.runtime.spawn(runner::run(core.clone())));
        core.runtime.spawn(async move {
            if running.await.is_err() {
                ended.tail.end(End::Failed(Error::protocol("the session's runner panicked")));
                ended.end();
                ended.queue.close(&ended.end_error());
            }
            ended.drained.cancel();
        });
        Ok(core)
    }

    pub(crate) fn record(&self) -> SessionRecord {
        self.shared().record.clone()
    }

    /// Changes the record, in memory and in the store; what another SDK has changed since stays.
    pub(crate) async fn change_record(&self, change: impl FnOnce(&mut SessionRecord)) -> Result<()> {
        let _storing = self.storing.lock().await;
        self.refresh().await?;
        self.amend(change);
        self.write().await
    }

    /// As long as this lives, no record is stored: for whoever removes it.
    pub(crate) async fn store_no_record(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.storing.lock().await
    }

    /// Changes the record in memory; it is stored with the next change at the latest.
    pub(crate) fn amend(&self, change: impl FnOnce(&mut SessionRecord)) {
        let mut shared = self.shared();
        let before = shared.record.clone();
        change(&mut shared.record);
        shared.stored &= shared.record == before;
    }

    /// Stores what was changed in memory.
    pub(super) async fn store_record(&self) -> Result<()> {
        let _storing = self.storing.lock().await;
        self.refresh().await?;
        self.write().await
    }

    /// Takes over what another SDK may have written since: on which process the session is, how, and
    /// whether at all.
    pub(crate) async fn refresh_record(&self) -> Result<()> {
        let _storing = self.storing.lock().await;
        self.refresh().await
    }

    async fn refresh(&self) -> Result<()> {
        let driver = self.store.driver();
        let stored = self.store.call(|| driver.get_session(&self.id)).await?;
        let mut shared = self.shared();
        let Some(stored) = stored else {
            if shared.known {
                // It is not brought back by whoever still has it.
                return Err(deleted(&self.id));
            }
            shared.stored = false;
            return Ok(());
        };
        let unsaved = (!shared.stored).then(|| Settings::recorded(&shared.record));
        let init = shared.record.session_init.take();
        shared.record = stored;
        if !shared.stored {
            // What was changed here and could not be stored yet is newer.
            shared.record.session_init = init;
        }
        if let Some(settings) = unsaved.filter(|settings| *settings != Settings::default()) {
            settings.record(&mut shared.record);
        }
        Ok(())
    }

    async fn write(&self) -> Result<()> {
        let (record, stored) = {
            let shared = self.shared();
            (shared.record.clone(), shared.stored)
        };
        if stored {
            return Ok(());
        }
        let driver = self.store.driver();
        self.store.call(|| driver.update_session(record.clone())).await?;
        let mut shared = self.shared();
        shared.known = true;
        shared.stored = shared.record == record;
        Ok(())
    }

    /// A process on which the session was being opened by somebody else.
    pub(super) fn set_unopened(&self, link: Arc<Link>) {
        self.shared().unopened = Some(link);
    }

    /// Ends that process: the session is open elsewhere.
    pub(super) fn end_unopened(self: &Arc<Self>) {
        if let Some(link) = self.shared().unopened.take() {
            let core = self.clone();
            self.runtime.spawn(async move { core.end_process(&link, &Error::closed(), "abandoned").await });
        }
    }

    pub(crate) fn policy(&self) -> PermissionPolicy {
        self.shared().policy
    }

    pub(crate) fn set_policy(&self, policy: PermissionPolicy) {
        self.shared().policy = policy;
    }

    pub(crate) fn set_link(&self, link: Option<Arc<Link>>) {
        self.shared().link = link;
    }

    /// The process that runs or last ran it.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.shared().link.clone()
    }

    /// The server id of the process that was started first or last.
    pub(crate) fn opened_on(&self) -> Option<String> {
        self.shared().opened_on.clone()
    }

    pub(crate) fn set_opened_on(&self, server_id: &str) {
        self.shared().opened_on = Some(server_id.to_owned());
    }

    /// Counts an event of a process that is stored now.
    pub(super) fn meter(&self, event: &SessionEvent) {
        self.counters.events_stored.increment();
        self.counters.bytes_stored.add(event.payload.get().len() as u64);
        let Some(ticket) = self.queue.current() else { return };
        match view::gap(event) {
            Some(gap) => ticket.saw_gap(gap.missing()),
            None if event.sender == Sender::Agent => ticket.saw_event(),
            None => {}
        }
    }

    pub(crate) fn touch(&self) {
        self.shared().activity = Instant::now();
    }

    pub(crate) fn activity(&self) -> Instant {
        self.shared().activity
    }

    /// Nothing is recorded any more: ends what still waits, and the tasks.
    fn end(&self) {
        self.state.change(|facts| facts.closed = true);
        if let Some(link) = self.link() {
            link.bury(&self.end_error());
        }
        self.stop.cancel();
    }

    /// Why nothing is recorded any more.
    pub(crate) fn end_error(&self) -> Error {
        match self.tail.watch().borrow().end.clone() {
            Some(End::Failed(error)) => error,
            _ if self.sdk_stop.is_cancelled() => Error::closed(),
            _ => Error::new(
                ErrorKind::Closed,
                format!("session {:?} was closed, detached or destroyed; resume it to go on", self.id),
            ),
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(crate) fn permissions_changed(&self) {
        self.state.change(|facts| facts.permissions = self.permissions.len());
    }

    /// Nothing panics while it holds the lock, and each field is whole at every step.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a session that somebody else deleted.
pub(super) fn deleted(id: &str) -> Error {
    Error::new(
        ErrorKind::SessionNotFound,
        format!("session {id:?} was deleted by somebody else; create it, if it is to be there"),
    )
}

async fn last_index(store: &Store, session_id: &str) -> Result<u64> {
    let request = ListEventsRequest::new(session_id).descending().limit(1);
    let page = store.list_events(&request).await?;
    if let Some(newest) = page.items.first() {
        return Ok(newest.event_index);
    }
    // All that there was may have been evicted.
    let oldest = store.list_events(&ListEventsRequest::new(session_id).after_index(0).limit(1)).await;
    match oldest {
        Ok(page) => Ok(page.items.first().map_or(0, |event| event.event_index)),
        Err(error) => match error.kind() {
            PersistErrorKind::Evicted { to, .. } => Ok(to),
            _ => Err(error.into()),
        },
    }
}
