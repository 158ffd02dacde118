//! The SDK's handle: one server, one store, many sessions.

mod catalogue;
mod fork;
mod inspector;
mod part;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::{ListEventsRequest, SessionRecord};
use serde_json::json;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::inspector::SecretUrl;

use self::fork::Manner;
use crate::api::Api;
use crate::builder::SandboxAgentBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Area;
use crate::metrics::Metrics;
use crate::sandbox::Sandbox;
use crate::session::{
    Claim, Conduct, Opened, Parts, PermissionPolicy, Session, SessionCore, SessionRequest, Setup, Wish,
    adopt, now_ms, readable,
};

/// A sandbox-agent server, and the sessions that this process has on it.
///
/// A cheap clone of the same SDK. There are three ways to part, from all sessions or from one:
///
/// | call | agent processes | sessions in the store | waits for |
/// | --- | --- | --- | --- |
/// | [`close`](Self::close) | ended, but for those that another SDK took over | stay, to be resumed | what was received is stored; processes 2 s |
/// | [`detach`](Self::detach), or dropping the last handle | go on | stay, to be resumed | what was received is stored |
/// | [`close_session`](Self::close_session), [`detach_session`](Self::detach_session) | the same, for one session | stay, to be resumed | the same |
/// | [`destroy_session`](Self::destroy_session) | that one is ended | that one is marked destroyed | the same |
/// | [`delete_session`](Self::delete_session) | that one is ended | that one is gone, with its events | the same |
///
/// A running turn ends with [`Closed`](ErrorKind::Closed) in all of them. Each does all that it can, also where the store
/// fails, and then returns an error that says what was not stored, or which process goes on: see [`close`](Self::close).
#[derive(Clone)]
pub struct SandboxAgent {
    shared: Arc<Shared>,
    guard: Arc<Guard>,
}

/// Ends the SDK's tasks when the last handle of a user's is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    _stop: DropGuard,
    /// Also keeps the provider, which may end its sandboxes when it is dropped.
    sandbox: Option<Sandbox>,
}

struct Shared {
    parts: Parts,
    sessions: Mutex<HashMap<String, Slot>>,
}

/// A session that is open or being opened; the lock is held meanwhile, so that it is opened once.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<SessionCore>>>>;

impl fmt::Debug for SandboxAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxAgent").field("http", &self.shared.parts.http).finish_non_exhaustive()
    }
}

impl SandboxAgent {
    /// Connects to the server at `url`, such as `http://127.0.0.1:2468`, with a store in memory.
    ///
    /// Waits until the server is healthy, 30 s at most. Everything else is set by
    /// [`builder`](Self::builder). Must be called in a tokio runtime; the SDK's tasks run on it.
    pub async fn connect(url: impl Into<String>) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// Sets token, store, headers, HTTP client and limits before connecting.
    pub fn builder(url: impl Into<String>) -> SandboxAgentBuilder {
        SandboxAgentBuilder::new(url)
    }

    pub(crate) fn api(&self, area: Area) -> Api {
        let Parts { http, limits, runtime, stop, .. } = self.shared.parts.clone();
        Api { http, limits: limits.of(area), runtime, stop, _guard: self.guard.clone() }
    }

    pub(crate) fn new(parts: Parts, sandbox: Option<Sandbox>) -> Self {
        let guard = Guard { _stop: parts.stop.clone().drop_guard(), sandbox };
        let shared = Shared { parts, sessions: Mutex::default() };
        Self { shared: Arc::new(shared), guard: Arc::new(guard) }
    }

    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        self.guard.sandbox.as_ref()
    }

    /// Makes a session and opens it on an agent process of its own.
    ///
    /// Fails with [`SessionExists`](ErrorKind::SessionExists) when the store has one with this id.
    /// When the agent can't be started nothing stays behind. Bounded by
    /// [`Limits::request`](crate::Limits::request) for each message of the handshake (four at most), by
    /// [`Limits::store`](crate::Limits::store) for each of the store's calls, and before that by another call
    /// that is opening the session, 3 s where that is another SDK's. Dropping the call ends the process.
    pub async fn create_session(&self, request: SessionRequest) -> Result<Session> {
        request.check()?;
        let slot = self.enter(&request.id).await?;
        if slot.is_some() || self.stored(&request.id).await?.is_some() {
            return Err(taken(&request.id));
        }
        Ok(self.create_as(slot, request).await?.session)
    }

    /// Opens a session of the store again, also one that was destroyed, by the best
    /// [rung](crate::ResumeOutcome) that can be had, and says which.
    ///
    /// Where the agent's process still runs, what it wrote meanwhile is fetched, and a turn that runs
    /// goes on: [`Session::running_turn`] has it. Whoever is bound to the session before the call, by a
    /// handle of [`get_session`](Self::get_session), misses nothing that comes during it.
    /// Fails with [`SessionNotFound`](ErrorKind::SessionNotFound) when the store has none with this
    /// id. Bounded by [`Limits::reconnect`](crate::Limits::reconnect) while the server is away, and otherwise as
    /// [`create_session`](Self::create_session), with one message more for each setting that is put back;
    /// its cost doesn't grow with the history.
    pub async fn resume_session(&self, id: &str) -> Result<Opened> {
        let mut slot = self.enter(id).await?;
        let record = self.known(&slot, id).await?.ok_or_else(|| not_found(id))?;
        self.resume(&mut slot, record, Wish::revive(), None).await
    }

    /// [Resumes](Self::resume_session) a session that another SDK holds: takes it from there.
    ///
    /// What the other one still tries to write is refused by the store, and its session ends with an
    /// error that [`is_fenced`](Error::is_fenced). The agent's process goes on, and a turn that runs with it.
    /// Fails with [`InvalidInput`](ErrorKind::InvalidInput) where this SDK
    /// [holds](SandboxAgentBuilder::holder) no sessions. Bounded as [`resume_session`](Self::resume_session).
    pub async fn take_over_session(&self, id: &str) -> Result<Opened> {
        if self.shared.parts.holder.is_none() {
            return Err(Error::invalid(
                "an SDK without a holder's name holds no sessions; set one to take over",
            ));
        }
        let mut slot = self.enter(id).await?;
        let record = self.known(&slot, id).await?.ok_or_else(|| not_found(id))?;
        let wish = Wish { claim: Claim::TakeOver, ..Wish::revive() };
        self.resume(&mut slot, record, wish, None).await
    }

    /// Opens the session with the request's id, and makes it when the store has none.
    ///
    /// What the request sets (working directory, MCP servers, mode, model) goes over what was
    /// stored, when the session is opened on a process: one that this SDK has open stays as it is
    /// until then, but for the mode and model of a process that is taken up. Bounded as
    /// [`resume_session`](Self::resume_session).
    pub async fn resume_or_create_session(&self, request: SessionRequest) -> Result<Session> {
        Ok(self.resume_or_create(request).await?.session)
    }

    /// [`resume_or_create_session`](Self::resume_or_create_session), and says how the session came to be open.
    pub async fn resume_or_create(&self, request: SessionRequest) -> Result<Opened> {
        request.check()?;
        let mut slot = self.enter(&request.id).await?;
        match self.known(&slot, &request.id).await? {
            Some(record) if record.agent != request.agent => Err(Error::invalid(format!(
                "session {:?} belongs to agent {:?}, not {:?}; resume it with that agent, or choose another id",
                record.id, record.agent, request.agent
            ))),
            Some(record) => self.resume(&mut slot, record, request.wish(), Some(request)).await,
            None => self.create_as(slot, request).await,
        }
    }

    /// A session of the store, as it is: without an agent process until its first prompt, where
    /// this SDK doesn't have it open.
    ///
    /// Bounded by twice [`Limits::store`](crate::Limits::store), and before that by a call that is
    /// opening the session.
    pub async fn get_session(&self, id: &str) -> Result<Option<Session>> {
        let slot = self.slot(id)?;
        let mut slot = slot.lock().await;
        Ok(self.core(&mut slot, id).await?.map(|core| self.handle(core)))
    }

    /// The open session, or one of the store's without a process.
    async fn core(&self, slot: &mut Option<Arc<SessionCore>>, id: &str) -> Result<Option<Arc<SessionCore>>> {
        if let Some(core) = open(slot) {
            return Ok(Some(core));
        }
        let Some(record) = self.stored(id).await? else { return Ok(None) };
        replace(slot);
        let core = SessionCore::start(self.shared.parts.clone(), record, PermissionPolicy::Ask, true).await?;
        *slot = Some(core.clone());
        Ok(Some(core))
    }

    /// What this SDK has done so far, in numbers.
    pub fn metrics(&self) -> Metrics {
        self.shared.parts.counters.read()
    }

    async fn create_as(
        &self,
        slot: OwnedMutexGuard<Option<Arc<SessionCore>>>,
        mut request: SessionRequest,
    ) -> Result<Opened> {
        if request.setup.cwd.is_none() {
            request.setup.cwd = self.sandbox().and_then(Sandbox::default_cwd);
            request.check()?;
        }
        let mut record = SessionRecord::new(&request.id, &request.agent, now_ms());
        record.session_init = Some(json!(request.setup));
        if let Some(agent_session) = &request.agent_session {
            adopt(&mut record, agent_session);
        }
        let (policy, wish) = (request.permissions, request.wish());
        self.create(slot, record, Manner { policy, conduct: request.conduct, wish }).await
    }

    /// Runs apart, so that a dropped call is cleared up before anybody else gets the session's id.
    async fn create(
        &self,
        slot: OwnedMutexGuard<Option<Arc<SessionCore>>>,
        record: SessionRecord,
        manner: Manner,
    ) -> Result<Opened> {
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        self.apart(self.clone().create_unless(dropped, slot, record, manner)).await
    }

    async fn create_unless(
        self,
        dropped: CancellationToken,
        mut slot: OwnedMutexGuard<Option<Arc<SessionCore>>>,
        record: SessionRecord,
        Manner { policy, conduct, wish }: Manner,
    ) -> Result<Opened> {
        let core = SessionCore::start(self.parts(conduct), record, policy, false).await?;
        let opening = self.handle(core.clone()).open(wish);
        let opened = dropped.run_until_cancelled(opening).await;
        if let Some(Ok(opened)) = opened {
            *slot = Some(core);
            return Ok(opened);
        }
        log(&core, core.shut_down(true).await.process);
        if let Err(error) = self.undo(&core).await {
            tracing::warn!(session = %core.id, %error, "events of a session that was not created stay in the store");
        }
        opened.unwrap_or_else(|| Err(Error::closed()))
    }

    /// Removes what a session left that did not come about, unless somebody else made one with its
    /// id meanwhile.
    async fn undo(&self, core: &SessionCore) -> Result<()> {
        let store = &self.shared.parts.store;
        let request = ListEventsRequest::new(&core.id);
        let page = store.list_events(&request).await?;
        let opened_on = core.opened_on();
        let ours = |server_id: &str| opened_on.as_deref() == Some(server_id);
        let events_ours =
            page.next_cursor.is_none() && page.items.iter().all(|event| ours(&event.connection_id));
        let record = self.stored(&core.id).await?;
        let record_ours = record.as_ref().is_none_or(|record| ours(&record.last_connection_id));
        let is_there = record.is_some() || !page.items.is_empty();
        if is_there && events_ours && record_ours {
            let driver = store.driver();
            let _removed = core.store_no_record().await;
            store.call(|| driver.delete_session(&core.id)).await?;
        }
        Ok(())
    }

    async fn resume(
        &self,
        slot: &mut Option<Arc<SessionCore>>,
        mut record: SessionRecord,
        wish: Wish,
        request: Option<SessionRequest>,
    ) -> Result<Opened> {
        let policy = request.as_ref().map(|request| request.permissions);
        let told = request.is_some();
        let parts = self.parts(request.as_ref().map(|request| request.conduct.clone()).unwrap_or_default());
        if let Some(request) = request {
            let setup = request.setup.or(Setup::read(record.session_init.as_ref()));
            record.session_init = Some(json!(setup));
        }
        let core = match open(slot) {
            Some(core) => {
                core.hold(wish.claim).await?;
                let provisional = core.provisionally();
                core.change_record(|kept| kept.session_init = record.session_init).await?;
                if let Some(policy) = policy {
                    core.set_policy(policy);
                }
                if told {
                    core.set_conduct(parts.conduct);
                }
                let opened = self.handle(core).open(wish).await;
                provisional.settled();
                return opened;
            }
            None => {
                replace(slot);
                let core = SessionCore::start(parts, record, policy.unwrap_or_default(), true).await?;
                *slot = Some(core.clone());
                core
            }
        };
        self.handle(core).open(wish).await
    }

    /// Runs to its end, also when the call that began it is dropped.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.shared.parts.runtime.spawn(work);
        task.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    /// The record of a session: the open one's, or the store's.
    async fn known(&self, slot: &Option<Arc<SessionCore>>, id: &str) -> Result<Option<SessionRecord>> {
        match open(slot) {
            Some(core) => Ok(Some(core.record())),
            None => self.stored(id).await,
        }
    }

    async fn stored(&self, id: &str) -> Result<Option<SessionRecord>> {
        let store = &self.shared.parts.store;
        let driver = store.driver();
        let record = store.call(|| driver.get_session(id)).await?;
        record.map(readable).transpose()
    }

    /// The session's slot, for whoever opens or ends it: without one that another SDK took over or deleted.
    async fn enter(&self, id: &str) -> Result<OwnedMutexGuard<Option<Arc<SessionCore>>>> {
        let mut slot = self.slot(id)?.lock_owned().await;
        match open(&slot) {
            Some(core) if !core.was_lost().await => {}
            _ => replace(&mut slot),
        }
        Ok(slot)
    }

    /// What a session is made from; what is set for it goes over what is set for the SDK.
    fn parts(&self, conduct: Conduct) -> Parts {
        let mut parts = self.shared.parts.clone();
        parts.conduct = conduct.or(&parts.conduct);
        parts
    }

    fn slot(&self, id: &str) -> Result<Slot> {
        if self.shared.parts.stop.is_cancelled() {
            return Err(Error::closed());
        }
        let mut sessions = self.sessions();
        if sessions.len() >= sessions.capacity() {
            // Before the map grows: those that nobody uses were only asked for, or have ended.
            sessions.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|slot| slot.is_some())
            });
        }
        Ok(sessions.entry(id.to_owned()).or_default().clone())
    }

    fn handle(&self, core: Arc<SessionCore>) -> Session {
        Session::new(core, self.guard.clone())
    }

    /// Nothing panics while it holds the lock, and the map is whole at every step.
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.shared.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn taken(id: &str) -> Error {
    let message = format!("session {id:?} exists; resume it, or choose another id");
    Error::new(ErrorKind::SessionExists, message)
}

fn not_found(id: &str) -> Error {
    Error::new(ErrorKind::SessionNotFound, format!("the store has no session {id:?}; create it"))
}

/// Ends the process of a session that has ended itself, because its store failed.
fn replace(slot: &mut Option<Arc<SessionCore>>) {
    if let Some(core) = slot.take() {
        // That the store failed, whoever used the session was told.
        core.runtime.clone().spawn(async move { log(&core, core.shut_down(true).await.process) });
    }
}

/// Tells of an end that nobody waits for.
fn log(core: &SessionCore, parted: Result<()>) {
    if let Err(error) = parted {
        tracing::warn!(session = %core.id, %error, "the session could not be ended as it should be");
    }
}

/// The open session; not one whose store failed.
fn open(slot: &Option<Arc<SessionCore>>) -> Option<Arc<SessionCore>> {
    slot.clone().filter(|core| !core.is_ended())
}
