//! The engine, as far as clients need it: finding workspaces' actors, and making them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rivetkit_client::handle::ActorHandle;
use rivetkit_client::{Client, ClientConfig, EncodingKind, GetOptions};
use rivetkit_core::{ActorKeySegment, format_actor_key};
use sandbox_agent_multiplayer::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Credentials, RivetWorkspacesBuilder, error};

/// The engine's client, one for good: dropping a clone of it ends what others connect.
pub(super) struct Engine {
    client: Client,
    http: reqwest::Client,
    pub(super) names: RivetWorkspacesBuilder,
}

#[derive(Deserialize)]
struct Made {
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    actor_id: String,
}

impl Engine {
    pub(super) fn new(names: RivetWorkspacesBuilder) -> Self {
        let config = ClientConfig::new(names.endpoint.clone())
            .token_opt(names.token.clone())
            .namespace(names.namespace.clone())
            .pool_name(names.pool.clone())
            .encoding(EncodingKind::Bare)
            .disable_metadata_lookup(true);
        Self { client: Client::new(config), http: reqwest::Client::new(), names }
    }

    pub(super) fn handle(&self, id: &str, who: &Credentials) -> anyhow::Result<ActorHandle> {
        self.client.get_for_id(&self.names.actor, id, GetOptions { params: Some(who.params()) })
    }

    /// The id of the workspace's actor, if it is there.
    pub(super) async fn find(&self, key: &[String]) -> Result<Option<String>> {
        let found = async {
            let handle = self.client.get(&self.names.actor, key.to_vec(), GetOptions::default())?;
            handle.resolve_optional().await
        };
        let found = found.await.map_err(|error| error::of(&error))?;
        Ok(found.map(|found| found.actor_id().to_owned()))
    }

    /// The id of the workspace's actor, which is made if it isn't there.
    pub(super) async fn find_or_make(&self, key: &[String], input: Option<&Value>) -> Result<String> {
        self.ask(reqwest::Method::PUT, key, input).await
    }

    /// Makes the workspace's actor, which must not be there.
    pub(super) async fn make(&self, key: &[String], input: Option<&Value>) -> Result<String> {
        match self.ask(reqwest::Method::POST, key, input).await {
            Ok(id) => Ok(id),
            // The engine has several words for a key that is taken.
            Err(_) if matches!(self.find(key).await, Ok(Some(_))) => {
                let message = format!("the workspace {key:?} is there already; get that one");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
            Err(error) => Err(error),
        }
    }

    /// By the engine's API, not its client: what that makes is destroyed, with all that it keeps, when its host
    /// crashes.
    async fn ask(&self, method: reqwest::Method, key: &[String], input: Option<&Value>) -> Result<String> {
        let RivetWorkspacesBuilder { endpoint, token, namespace, pool, actor } = &self.names;
        let input =
            input.map(|input| crate::cbor::write(input).map(|cbor| BASE64.encode(cbor))).transpose()?;
        let key: Vec<_> = key.iter().cloned().map(ActorKeySegment::String).collect();
        let wanted = json!({ "name": actor, "key": format_actor_key(&key), "input": input,
            "runner_name_selector": pool, "crash_policy": "sleep" });
        let url = format!("{}/actors", endpoint.trim_end_matches('/'));
        let mut request = self.http.request(method, url).query(&[("namespace", namespace)]).json(&wanted);
        if let Some(token) = token {
            request = request.bearer_auth(token).header("x-rivet-token", token);
        }
        let unreached = |error: reqwest::Error| {
            let error = error.without_url();
            Error::new(ErrorKind::Disconnected, format!("the engine could not be reached: {error}"))
                .with_source(error)
        };
        let answer = request.send().await.map_err(unreached)?;
        let (status, body) = (answer.status(), answer.text().await.map_err(unreached)?);
        if !status.is_success() {
            return Err(error::of_engine(status.as_u16(), &body));
        }
        let made: Made = serde_json::from_str(&body).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the engine's answer can't be understood").with_source(error)
        })?;
        Ok(made.actor.actor_id)
    }
}
