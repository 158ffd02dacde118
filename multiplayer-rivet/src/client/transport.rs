//! The way to one workspace.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use rivetkit_client::handle::ActorHandle;
use sandbox_agent_multiplayer::{Connection, Error, ErrorKind, Result, Resume, Transport};
use serde_json::Value;
use tokio::time::timeout;

use super::connection::Opening;
use super::engine::Engine;
use super::{Credentials, error};

/// How long the host may take to say why a connection was not opened.
const WHY: Duration = Duration::from_secs(5);

/// Which workspace.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Key(Vec<String>),
    KeyOrNew(Vec<String>, Option<Value>),
    Id(String),
}

/// The way to a workspace in an actor, for a [`WorkspaceClient`](sandbox_agent_multiplayer::WorkspaceClient).
pub struct RivetTransport {
    engine: Arc<Engine>,
    place: Place,
    who: Credentials,
    /// The actor that it was connected to. One that comes after it under the same key has another line of
    /// frames, and one that is destroyed is not made again behind its clients' backs.
    id: OnceLock<String>,
}

impl RivetTransport {
    pub(super) fn new(engine: Arc<Engine>, place: Place, who: Credentials) -> Self {
        Self { engine, place, who, id: OnceLock::new() }
    }

    async fn find(&self) -> Result<String> {
        match (self.id.get(), &self.place) {
            (Some(id), _) | (None, Place::Id(id)) => Ok(id.clone()),
            (None, Place::Key(key)) => self.engine.find(key).await?.ok_or_else(error::not_there),
            (None, Place::KeyOrNew(key, input)) => self.engine.find_or_make(key, input.as_ref()).await,
        }
    }
}

#[async_trait]
impl Transport for RivetTransport {
    async fn connect(&self, _: Resume) -> Result<Connection> {
        let id = self.find().await?;
        let handle = self.engine.handle(&id, &self.who).map_err(|error| error::of(&error))?;
        match Opening::begin(handle.connect()).await.opened().await {
            Ok((calls, pushes)) => {
                self.id.get_or_init(|| id);
                Ok(Connection::new(calls, pushes))
            }
            Err(why) => Err(refusal(&handle, &why).await),
        }
    }
}

/// Why a connection was not opened. A socket says it without its kind; a call over HTTP says it whole.
async fn refusal(handle: &ActorHandle, why: &str) -> Error {
    let ask = async {
        if matches!(handle.resolve_optional().await, Ok(None)) {
            return Some(error::not_there());
        }
        handle.action("getSessionInfo", Vec::new()).await.err().map(|error| error::of(&error))
    };
    match timeout(WHY, ask).await {
        Ok(Some(error)) => error,
        Ok(None) | Err(_) => {
            Error::new(ErrorKind::Disconnected, format!("no connection to the workspace's actor: {why}"))
        }
    }
}

impl fmt::Debug for RivetTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RivetTransport").field("place", &self.place).finish_non_exhaustive()
    }
}
