//! Settings of a workspace, and opening it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use sandbox_agent_sdk::{SandboxAgent, SessionPersistDriver, SessionRecord, SessionRequest};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answers::Answering;
use super::hook::{self, ByFunction, Hook};
use super::presence::Presences;
use super::prompts::Prompts;
use super::{Inner, Workspace};
use crate::authorize::{self, Authorize, ConnectionRequest, RefuseAll};
use crate::control::ControlPolicy;
use crate::error::{Error, Result};
use crate::frame::{Frame, FrameBody, Presence};
use crate::limits::Limits;
use crate::line::{Line, LineStore, line_id, now_ms, restore};
use crate::participant::Participant;

/// The agent of the line's record among the sessions of the store.
const AGENT: &str = "_sandbox_agent/workspace";

/// What a [`Workspace`] is opened with.
///
/// ```no_run
/// use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Person, Rights, Workspace};
/// use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let sdk = SandboxAgent::connect("http://127.0.0.1:2468").await?;
/// let workspace = Workspace::builder("workspace-42", sdk)
///     .session(SessionRequest::new("default", "claude").cwd("/repo"))
///     .authorize_with(|request: ConnectionRequest| async move {
///         match request.token.as_deref() {
///             Some("ada's token") => Ok(Participant::new(Person::new("ada"), Rights::OWNER)),
///             _ => Err(Error::refused("log in first")),
///         }
///     })
///     .open()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing happens before `open`"]
pub struct WorkspaceBuilder {
    id: String,
    sdk: SandboxAgent,
    store: Option<Arc<dyn SessionPersistDriver>>,
    session: Option<SessionRequest>,
    authorize: Arc<dyn Authorize>,
    policy: ControlPolicy,
    hooks: Vec<Arc<dyn Hook>>,
    limits: Limits,
}

impl fmt::Debug for WorkspaceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceBuilder")
            .field("id", &self.id)
            .field("policy", &self.policy)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl WorkspaceBuilder {
    pub(super) fn new(id: String, sdk: SandboxAgent) -> Self {
        Self {
            id,
            sdk,
            store: None,
            session: None,
            authorize: Arc::new(RefuseAll),
            policy: ControlPolicy::default(),
            hooks: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Where the line is kept; in the SDK's store unless told.
    pub fn persist(mut self, driver: impl SessionPersistDriver) -> Self {
        self.store = Some(Arc::new(driver));
        self
    }

    /// The session that prompts go to unless they name one. Made when the store has none.
    pub fn session(mut self, request: SessionRequest) -> Self {
        self.session = Some(request);
        self
    }

    /// Who may come in; nobody unless told.
    pub fn authorize(mut self, hook: impl Authorize) -> Self {
        self.authorize = Arc::new(hook);
        self
    }

    /// Who may come in, by a function.
    pub fn authorize_with<F, R>(self, hook: F) -> Self
    where
        F: Fn(ConnectionRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Participant>> + Send + 'static,
    {
        self.authorize(authorize::ByFunction(hook))
    }

    /// How control is handed around.
    pub fn control(mut self, policy: ControlPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Runs for every frame that is stored from now on, once each, in order, however many look on.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// The same by a function.
    pub fn on_frame<F, R>(self, function: F) -> Self
    where
        F: Fn(Workspace, Arc<Frame>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.hook(ByFunction(function))
    }

    /// The bounds in time and size.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens the workspace: as it was, where the store has it.
    ///
    /// A new session's agent is started before this returns; one that the store has is taken up beside it,
    /// and prompts that were accepted and not finished go on. Costs the same at any length of the history.
    /// Bounded by [`Limits::store`] for each call of the store, and as [`SandboxAgent::create_session`] is.
    pub async fn open(self) -> Result<Workspace> {
        if self.id.is_empty() || self.id.len() > 200 {
            return Err(Error::invalid("a workspace's id has 1 to 200 bytes"));
        }
        let driver = self.store.unwrap_or_else(|| self.sdk.store());
        let store = LineStore::new(&self.id, self.sdk.clone(), driver, self.limits.store);
        let record = match store.record().await? {
            Some(record) => record,
            None => {
                let record = SessionRecord::new(line_id(&self.id), AGENT, now_ms());
                store.keep_record(record.clone()).await?;
                // Where two hosts begin it at once, what the second stored is the line's.
                store.record().await?.unwrap_or(record)
            }
        };
        let mut snapshot = restore(&store, &record).await?;
        snapshot.workspace.clone_from(&self.id);
        // Copies of the record keep it, and a line that is begun anew gets another one.
        snapshot.line = record.created_at.to_string();
        let first = match &self.session {
            Some(request) => request.id().to_owned(),
            None => snapshot.sessions.keys().next().cloned().unwrap_or_default(),
        };
        let end_line = CancellationToken::new();
        let bounds = (self.limits.tail_bytes, self.limits.checkpoint);
        let line = Line::start(store, record, snapshot.clone(), bounds, end_line.clone());
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner {
            id: self.id,
            sdk: self.sdk,
            line,
            limits: self.limits,
            policy: self.policy,
            authorize: self.authorize,
            first,
            sessions: Mutex::new(HashMap::new()),
            adopted: AtomicU64::new(0),
            gate: tokio::sync::Mutex::new(()),
            presences: Mutex::new(Presences::default()),
            answering: Answering::default(),
            prompts: Prompts::default(),
            stop: stop.clone(),
            end_line,
            end_hooks: CancellationToken::new(),
            closing: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            hooks: TaskTracker::new(),
            runtime: Handle::current(),
        });
        let guard = Arc::new(inner.stop.clone().drop_guard());
        let workspace = Workspace { inner: inner.clone(), _guard: Some(guard) };
        for hook in self.hooks {
            let frames = workspace.frames(crate::line::Start::After(snapshot.sequence))?;
            let end = inner.end_hooks.clone();
            inner.hooks.spawn(hook::run(hook, frames, Arc::downgrade(&inner), end));
        }
        if !snapshot.here.is_empty() {
            inner.line.append(FrameBody::Presence(Presence { here: Vec::new() })).await?;
        }
        inner.take_up_sessions(&snapshot, self.session).await?;
        inner.take_up_processes(&snapshot);
        inner.watch_absent(&snapshot.control);
        Ok(workspace)
    }
}
