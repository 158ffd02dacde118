//! The way to one workspace.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rivetkit_client::handle::ActorHandle;
use rivetkit_client::{GetOptions, GetOrCreateOptions};
use sandbox_agent_multiplayer::{Connection, Error, ErrorKind, Result, Resume, Transport};
use serde_json::Value;
use tokio::time::timeout;

use super::connection::Opening;
use super::{Credentials, Engine, error};

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
}

impl RivetTransport {
    pub(super) fn new(engine: Arc<Engine>, place: Place, who: Credentials) -> Self {
        Self { engine, place, who }
    }

    fn handle(&self) -> anyhow::Result<ActorHandle> {
        let Engine { client, actor } = &*self.engine;
        let params = Some(self.who.params());
        match &self.place {
            Place::Key(key) => client.get(actor, key.clone(), GetOptions { params }),
            Place::Id(id) => client.get_for_id(actor, id, GetOptions { params }),
            Place::KeyOrNew(key, input) => {
                let create_with_input = input.clone();
                let options =
                    GetOrCreateOptions { params, create_with_input, ..GetOrCreateOptions::default() };
                client.get_or_create(actor, key.clone(), options)
            }
        }
    }
}

#[async_trait]
impl Transport for RivetTransport {
    async fn connect(&self, _: Resume) -> Result<Connection> {
        let handle = self.handle().map_err(|error| {
            let message = format!("the engine's client takes no such key: {error:#}");
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        match Opening::begin(handle.connect()).await.opened().await {
            Ok((calls, pushes)) => Ok(Connection::new(calls, pushes)),
            Err(why) => Err(refusal(&self.place, &handle, &why).await),
        }
    }
}

/// Why a connection was not opened. A socket says it without its kind; a call over HTTP says it whole.
async fn refusal(place: &Place, handle: &ActorHandle, why: &str) -> Error {
    let ask = async {
        if !matches!(place, Place::KeyOrNew(..)) && matches!(handle.resolve_optional().await, Ok(None)) {
            let message = "the workspace is not there; make it, or look at its key";
            return Some(Error::new(ErrorKind::NotFound, message));
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
