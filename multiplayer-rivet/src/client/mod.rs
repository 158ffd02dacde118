//! The way of clients to workspaces in actors.
//!
//! What is known of the engine's client is in this folder.

mod connection;
mod credentials;
mod engine;
mod error;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_multiplayer::{Error, ErrorKind, Result, WorkspaceClient, WorkspaceClientBuilder};
use serde_json::Value;
use tokio::time::timeout;

pub use credentials::Credentials;
pub use transport::RivetTransport;

use engine::Engine;
use transport::Place;

/// How long making a workspace's actor may take, which is some 100 ms where the engine is well.
const CREATE: Duration = Duration::from_secs(30);

/// Workspaces in the actors of an engine. A cheap clone.
///
/// ```no_run
/// use sandbox_agent_multiplayer::NewPrompt;
/// use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let workspaces = RivetWorkspaces::new("http://127.0.0.1:6420");
/// let ada = Credentials::new().token("ada's token");
/// let workspace = workspaces.get_or_create(["team", "workspace-42"], ada, None).await?;
/// let prompt = workspace.prompt(NewPrompt::new("Summarize this repository")).await?;
/// workspace.wait_for_prompt(&prompt.prompt.prompt_id).await?;
/// # Ok(()) }
/// ```
///
/// What a client of one does and holds, is said at [`WorkspaceClient`]. It comes back by itself, whatever of
/// the engine, the actor's process and the network was away meanwhile. It stays with the workspace that it
/// found: one that is destroyed and made again under the same key is another one.
#[derive(Clone)]
pub struct RivetWorkspaces {
    engine: Arc<Engine>,
}

/// How to reach the engine.
#[derive(Clone)]
#[must_use = "it reaches nothing before `build`"]
pub struct RivetWorkspacesBuilder {
    endpoint: String,
    token: Option<String>,
    namespace: String,
    pool: String,
    actor: String,
}

impl RivetWorkspaces {
    /// Those of the engine at this address, in the namespace `default`, where the actors are named `workspace`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self::builder(endpoint).build()
    }

    /// The same with other names.
    pub fn builder(endpoint: impl Into<String>) -> RivetWorkspacesBuilder {
        let default = || "default".to_owned();
        RivetWorkspacesBuilder {
            endpoint: endpoint.into(),
            token: None,
            namespace: default(),
            pool: default(),
            actor: "workspace".to_owned(),
        }
    }

    /// A client of the workspace with this key, which must be there; else the error is
    /// [`NotFound`](ErrorKind::NotFound).
    ///
    /// Bounded, as the other ways are, by [`ClientLimits::call`](sandbox_agent_multiplayer::ClientLimits::call).
    /// Who is not let in gets [`Refused`](ErrorKind::Refused).
    pub async fn get(&self, key: impl IntoKey, who: Credentials) -> Result<WorkspaceClient> {
        self.client(self.transport(Place::Key(key.into_key()), who)).connect().await
    }

    /// A client of the workspace with this key, which is made with this input where there is none.
    pub async fn get_or_create(
        &self,
        key: impl IntoKey,
        who: Credentials,
        input: impl Into<Option<Value>>,
    ) -> Result<WorkspaceClient> {
        let place = Place::KeyOrNew(key.into_key(), input.into());
        self.client(self.transport(place, who)).connect().await
    }

    /// Makes the workspace with this key, and gives a client of it. One that is there already is
    /// [`InvalidInput`](ErrorKind::InvalidInput).
    ///
    /// Bounded by 30 s beside the connection. It is made also for somebody who is then refused.
    pub async fn create(
        &self,
        key: impl IntoKey,
        who: Credentials,
        input: impl Into<Option<Value>>,
    ) -> Result<WorkspaceClient> {
        let key = key.into_key();
        let id =
            timeout(CREATE, self.engine.make(&key, input.into().as_ref())).await.unwrap_or_else(|_| {
                let message =
                    format!("the workspace {key:?} was not made within {CREATE:?}; it may be there later");
                Err(Error::new(ErrorKind::TimedOut, message))
            })?;
        self.get_with_id(&id, who).await
    }

    /// A client of the workspace whose actor has this id in the engine.
    pub async fn get_with_id(&self, id: &str, who: Credentials) -> Result<WorkspaceClient> {
        self.client(self.transport(Place::Id(id.to_owned()), who)).connect().await
    }

    /// The way to the workspace with this key, for a client with limits of its own: by
    /// [`WorkspaceClient::builder`]. It is made where there is none if an input is given, which may be `null`.
    pub fn way_to(
        &self,
        key: impl IntoKey,
        who: Credentials,
        input: impl Into<Option<Value>>,
    ) -> RivetTransport {
        let key = key.into_key();
        let place = match input.into() {
            Some(Value::Null) => Place::KeyOrNew(key, None),
            Some(input) => Place::KeyOrNew(key, Some(input)),
            None => Place::Key(key),
        };
        self.transport(place, who)
    }

    fn transport(&self, place: Place, who: Credentials) -> RivetTransport {
        RivetTransport::new(self.engine.clone(), place, who)
    }

    fn client(&self, transport: RivetTransport) -> WorkspaceClientBuilder {
        WorkspaceClient::builder(transport)
    }
}

impl fmt::Debug for RivetWorkspaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RivetWorkspaces").field("engine", &self.engine.names).finish()
    }
}

impl RivetWorkspacesBuilder {
    /// The token that the engine itself asks for; none unless told.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The engine's namespace; `default` unless told.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The pool of runners that new workspaces go to; `default` unless told.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = pool.into();
        self
    }

    /// The name that the host registered its actors under; `workspace` unless told.
    pub fn actor(mut self, name: impl Into<String>) -> Self {
        self.actor = name.into();
        self
    }

    /// Makes them. Nothing is sent yet.
    pub fn build(self) -> RivetWorkspaces {
        RivetWorkspaces { engine: Arc::new(Engine::new(self)) }
    }
}

/// Without the token.
impl fmt::Debug for RivetWorkspacesBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RivetWorkspacesBuilder")
            .field("namespace", &self.namespace)
            .field("pool", &self.pool)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

/// The key of a workspace: one text, or several.
pub trait IntoKey {
    /// The key's segments.
    fn into_key(self) -> Vec<String>;
}

impl IntoKey for &str {
    fn into_key(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl IntoKey for Vec<String> {
    fn into_key(self) -> Vec<String> {
        self
    }
}

impl<const N: usize> IntoKey for [&str; N] {
    fn into_key(self) -> Vec<String> {
        self.map(str::to_owned).into()
    }
}
