//! A workspace in an actor.
//!
//! ```text
//! run (the actor's events) ─┬ doors   who is who, who has a seat
//!                           ├ calls   a call's name and arguments, and its answer
//!                           └ opening the workspace, opened beside and again ─┬ broadcast  frames to clients
//!                                                                             └ awake      no sleep meanwhile
//! ```
//!
//! What is known of the actor runtime is in `run`, `config`, `failure` and `engine`.

mod awake;
mod broadcast;
mod calls;
mod config;
mod doors;
mod engine;
mod failure;
mod hooks;
mod host;
mod limits;
mod opening;
mod pace;
mod run;
mod settings;

use std::future::Future;
use std::sync::Arc;

use rivetkit_core::ActorFactory;
use sandbox_agent_multiplayer::{
    Authorize, ConnectionRequest, ControlPolicy, Frame, Hook, Limits, Participant, RefuseAll, Result,
    Workspace,
};
use sandbox_agent_sdk::SessionRequest;

pub use limits::ActorLimits;
pub use settings::{WorkspaceKey, WorkspaceSandbox};

use hooks::{AuthorizeBy, HookBy};
use settings::Settings;

/// Workspaces, one in an actor: what they are opened with, whichever it is. A cheap clone.
///
/// ```no_run
/// use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Person, Rights};
/// use sandbox_agent_multiplayer_rivet::{WorkspaceActor, WorkspaceKey};
/// use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
///
/// let workspaces = WorkspaceActor::new(|_: WorkspaceKey| async {
///     // Look up, or start, the sandbox of this workspace.
///     Ok(SandboxAgent::builder("http://127.0.0.1:2468"))
/// })
/// .session(SessionRequest::new("default", "codex").cwd("/repo"))
/// .authorize_with(|request: ConnectionRequest| async move {
///     match request.token.as_deref() {
///         Some("ada's token") => Ok(Participant::new(Person::new("ada"), Rights::OWNER)),
///         _ => Err(Error::refused("log in first")),
///     }
/// });
/// ```
///
/// # Life
/// An actor opens its workspace when somebody is let in, as it was: history, prompts on their way, who drives.
/// A turn that runs goes on in the sandbox whatever becomes of the actor, and is taken up again. The actor
/// stays awake while a prompt is on its way, an agent is being started, or a permission waits; with nobody
/// connected and nothing running it sleeps after [`ActorLimits::sleep`], and its agents live on. When it is
/// destroyed while it is awake, they are ended.
///
/// Where a workspace can't be opened, calls are answered with the reason, and the next one tries again.
#[derive(Clone, Debug)]
#[must_use = "it has to be registered"]
pub struct WorkspaceActor {
    settings: Settings,
}

impl WorkspaceActor {
    /// Workspaces whose sandboxes this finds: a [builder](sandbox_agent_sdk::SandboxAgentBuilder) of an SDK, or
    /// an SDK. It is asked each time that a workspace is opened, within [`ActorLimits::open`].
    pub fn new<F, R, S>(sandbox: F) -> Self
    where
        F: Fn(WorkspaceKey) -> R + Send + Sync + 'static,
        R: Future<Output = Result<S>> + Send + 'static,
        S: Into<WorkspaceSandbox>,
    {
        Self { settings: Settings::new(sandbox, Arc::new(RefuseAll)) }
    }

    /// The session that prompts go to unless they name one. Made when the store has none.
    pub fn session(mut self, request: SessionRequest) -> Self {
        self.settings.session = Some(request);
        self
    }

    /// Who may come in, to any of them; nobody unless told.
    ///
    /// The workspace is in the request, the token is the connection parameter `token`, and the other
    /// parameters are there as they came.
    pub fn authorize(mut self, hook: impl Authorize) -> Self {
        self.settings.authorize = Arc::new(hook);
        self
    }

    /// Who may come in, by a function.
    pub fn authorize_with<F, R>(self, hook: F) -> Self
    where
        F: Fn(ConnectionRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Participant>> + Send + 'static,
    {
        self.authorize(AuthorizeBy(hook))
    }

    /// How control is handed around.
    pub fn control(mut self, policy: ControlPolicy) -> Self {
        self.settings.control = policy;
        self
    }

    /// Runs for every frame that is stored while a workspace is open, once each, in order.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.settings.hooks.push(Arc::new(hook));
        self
    }

    /// The same by a function.
    pub fn on_frame<F, R>(self, function: F) -> Self
    where
        F: Fn(Workspace, Arc<Frame>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.hook(HookBy(function))
    }

    /// The bounds of each workspace.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// The bounds of each actor.
    pub fn actor_limits(mut self, limits: ActorLimits) -> Self {
        self.settings.actor_limits = limits;
        self
    }

    /// The actor, to be registered under any name: `workspace` is the one that clients look for unless told.
    pub fn factory(self) -> ActorFactory {
        let config = config::of(&self.settings);
        let settings = Arc::new(self.settings);
        ActorFactory::new(config, move |start| Box::pin(run::run(start, settings.clone())))
    }
}
