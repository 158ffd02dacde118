//! What every workspace of a host has in common.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use sandbox_agent_multiplayer::{Authorize, ControlPolicy, Hook, Limits, Result};
use sandbox_agent_sdk::{SandboxAgent, SandboxAgentBuilder, SessionRequest};
use serde_json::Value;

use super::limits::ActorLimits;

/// Which workspace an actor is, for whoever says where its agents run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkspaceKey {
    /// The actor's key, as clients ask for it.
    pub segments: Vec<String>,
    /// The key in one piece: the segments between `/`, in which `/` and `\` are escaped. It is the workspace's id.
    pub id: String,
    /// What the client that made the actor gave; `null` where that was nothing. It comes again each time that
    /// the actor wakes. Whoever made it was not let in yet: nothing of it is proven.
    pub input: Value,
}

/// Where the agents of a workspace run.
#[derive(Debug)]
pub struct WorkspaceSandbox {
    pub(super) sdk: Sdk,
    pub(super) session: Option<SessionRequest>,
}

#[derive(Debug)]
pub(super) enum Sdk {
    /// Boxed for its size.
    Builder(Box<SandboxAgentBuilder>),
    Connected(SandboxAgent),
}

impl WorkspaceSandbox {
    /// The session that prompts go to unless they name one, in place of
    /// [`WorkspaceActor::session`](super::WorkspaceActor::session).
    #[must_use]
    pub fn session(mut self, request: SessionRequest) -> Self {
        self.session = Some(request);
        self
    }
}

/// The sessions are kept in the actor's database; a store that the builder has is replaced.
impl From<SandboxAgentBuilder> for WorkspaceSandbox {
    fn from(builder: SandboxAgentBuilder) -> Self {
        Self { sdk: Sdk::Builder(Box::new(builder)), session: None }
    }
}

/// The sessions stay in the SDK's own store, which has to be as durable as the actor is; the actor's database
/// has the line of frames. The SDK is the workspace's from then on, which detaches it when the actor sleeps: give
/// a new one each time.
impl From<SandboxAgent> for WorkspaceSandbox {
    fn from(sdk: SandboxAgent) -> Self {
        Self { sdk: Sdk::Connected(sdk), session: None }
    }
}

type Find = dyn Fn(WorkspaceKey) -> BoxFuture<'static, Result<WorkspaceSandbox>> + Send + Sync;

#[derive(Clone)]
pub(super) struct Settings {
    find: Arc<Find>,
    pub(super) session: Option<SessionRequest>,
    pub(super) authorize: Arc<dyn Authorize>,
    pub(super) control: ControlPolicy,
    pub(super) hooks: Vec<Arc<dyn Hook>>,
    pub(super) limits: Limits,
    pub(super) actor_limits: ActorLimits,
}

impl Settings {
    pub(super) fn new<F, R, S>(find: F, authorize: Arc<dyn Authorize>) -> Self
    where
        F: Fn(WorkspaceKey) -> R + Send + Sync + 'static,
        R: Future<Output = Result<S>> + Send + 'static,
        S: Into<WorkspaceSandbox>,
    {
        let find = move |key| -> BoxFuture<'static, Result<WorkspaceSandbox>> {
            let found = find(key);
            Box::pin(async move { Ok(found.await?.into()) })
        };
        Self {
            find: Arc::new(find),
            session: None,
            authorize,
            control: ControlPolicy::default(),
            hooks: Vec::new(),
            limits: Limits::default(),
            actor_limits: ActorLimits::default(),
        }
    }

    pub(super) async fn sandbox_of(&self, key: WorkspaceKey) -> Result<WorkspaceSandbox> {
        (self.find)(key).await
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("session", &self.session)
            .field("control", &self.control)
            .field("limits", &self.limits)
            .field("actor_limits", &self.actor_limits)
            .finish_non_exhaustive()
    }
}
