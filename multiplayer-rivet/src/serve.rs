//! Serving workspaces to an engine: all that a host program does.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use rivet_error::RivetError;
use rivetkit_core::{CoreRegistry, EngineSpawnMode, ServeConfig};
use sandbox_agent_multiplayer::{Error, ErrorKind, Result};
use tokio::pin;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::actor::WorkspaceActor;

/// How long actors have to part and save: what the engine gives one, and as much again for their number.
const DRAIN: Duration = Duration::from_secs(30);

/// A process that runs workspaces for an engine. There is one at a time in a process.
///
/// ```no_run
/// use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Person, Rights};
/// use sandbox_agent_multiplayer_rivet::{WorkspaceActor, WorkspaceHost, WorkspaceKey, asked_to_end};
/// use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
///
/// #[tokio::main]
/// async fn main() -> Result<(), Error> {
///     let workspaces = WorkspaceActor::new(|_: WorkspaceKey| async {
///         Ok(SandboxAgent::builder("http://127.0.0.1:2468"))
///     })
///     .session(SessionRequest::new("default", "codex").cwd("/repo"))
///     .authorize_with(|request: ConnectionRequest| async move {
///         match request.token.as_deref() {
///             Some("ada's token") => Ok(Participant::new(Person::new("ada"), Rights::OWNER)),
///             _ => Err(Error::refused("log in first")),
///         }
///     });
///     WorkspaceHost::new("http://127.0.0.1:6420").actor("workspace", workspaces).serve(asked_to_end()).await
/// }
/// ```
#[derive(Clone)]
#[must_use = "it runs nothing before `serve`"]
pub struct WorkspaceHost {
    endpoint: String,
    token: Option<String>,
    namespace: String,
    pool: String,
    version: u32,
    actors: Vec<(String, WorkspaceActor)>,
}

impl WorkspaceHost {
    /// A host for the engine at this address.
    pub fn new(endpoint: impl Into<String>) -> Self {
        let default = || "default".to_owned();
        Self {
            endpoint: endpoint.into(),
            token: None,
            namespace: default(),
            pool: default(),
            version: 1,
            actors: Vec::new(),
        }
    }

    /// Workspaces, under this name; clients look for `workspace` unless told.
    ///
    /// All hosts of a [pool](Self::pool) have to serve the same: the engine places each actor on any of them.
    pub fn actor(mut self, name: impl Into<String>, workspaces: WorkspaceActor) -> Self {
        self.actors.push((name.into(), workspaces));
        self
    }

    /// The token that the engine asks for; none unless told.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The engine's namespace; `default` unless told.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The pool of hosts that this is one of; `default` unless told.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = pool.into();
        self
    }

    /// The version of this program, 1 unless told: the engine moves workspaces to hosts of the highest.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Runs workspaces until this is done, then lets them part and save, which takes 30 s at most.
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected): the engine can't be reached, or ended it.
    /// [`TimedOut`](ErrorKind::TimedOut): not all could part in time; what is stored is whole all the same.
    pub async fn serve(self, until: impl Future<Output = ()>) -> Result<()> {
        let mut registry = CoreRegistry::new();
        for (name, workspaces) in self.actors {
            registry.register(&name, workspaces.factory());
        }
        let config = ServeConfig {
            version: self.version,
            endpoint: self.endpoint,
            token: self.token,
            namespace: self.namespace,
            pool_name: self.pool,
            engine_spawn: EngineSpawnMode::Never,
            ..ServeConfig::default()
        };
        let stop = CancellationToken::new();
        let served = registry.serve_with_config(config, stop.clone());
        pin!(served);
        tokio::select! {
            ended = &mut served => return ended.map_err(|error| unserved(&error)),
            () = until => stop.cancel(),
        }
        match timeout(DRAIN, served).await {
            Ok(ended) => ended.map_err(|error| unserved(&error)),
            Err(_) => {
                let message = format!("not all workspaces parted within {DRAIN:?}; is the engine there?");
                Err(Error::new(ErrorKind::TimedOut, message))
            }
        }
    }
}

fn unserved(error: &anyhow::Error) -> Error {
    Error::new(ErrorKind::Disconnected, format!("workspaces can't be served to the engine: {error:#}"))
        .with_source(RivetError::extract(error))
}

/// Done when the process is asked to end, by SIGTERM or Ctrl-C; never, where it can't be told.
pub async fn asked_to_end() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupted => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

/// Without the token.
impl fmt::Debug for WorkspaceHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.actors.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("WorkspaceHost")
            .field("namespace", &self.namespace)
            .field("pool", &self.pool)
            .field("version", &self.version)
            .field("actors", &names)
            .finish_non_exhaustive()
    }
}
