//! Who is let in: one hook, which refuses unless it is told otherwise.

use std::fmt;
use std::future::Future;

use async_trait::async_trait;
use serde_json::Value;

use crate::call::Call;
use crate::error::Error;
use crate::participant::Participant;

/// What is known of somebody who wants to come in.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ConnectionRequest {
    /// The workspace that they want to.
    pub workspace: String,
    /// The bearer token that they brought.
    pub token: Option<String>,
    /// What else they say of themselves: the connection's parameters, a JSON object. Nothing of it is proven.
    pub params: Value,
}

/// Without the token, and without parameters, which may have secrets.
impl fmt::Debug for ConnectionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionRequest").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}

impl ConnectionRequest {
    /// Somebody who brought nothing.
    pub fn new(workspace: impl Into<String>) -> Self {
        Self { workspace: workspace.into(), token: None, params: Value::Null }
    }

    /// The bearer token that they brought.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// What else they say of themselves.
    #[must_use]
    pub fn params(mut self, params: Value) -> Self {
        self.params = params;
        self
    }

    /// A parameter that is text.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)?.as_str()
    }
}

/// Decides who comes in, and what they may do.
///
/// ```
/// use sandbox_agent_multiplayer::{Authorize, ConnectionRequest, Error, Participant, Person, Rights};
///
/// #[derive(Debug)]
/// struct Team;
///
/// #[async_trait::async_trait]
/// impl Authorize for Team {
///     async fn connect(&self, request: &ConnectionRequest) -> Result<Participant, Error> {
///         // Look the token up where your users are; compare secrets in constant time.
///         match request.token.as_deref() {
///             Some("ada's token") => Ok(Participant::new(Person::new("ada").named("Ada"), Rights::OWNER)),
///             _ => Err(Error::refused("this token is nobody's; log in again")),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Authorize: Send + Sync + 'static {
    /// Who this is, or why they may not come in. Called once for each connection.
    ///
    /// Hosts give it [`Limits::authorize`](crate::Limits::authorize) (10 s); then nobody comes in.
    async fn connect(&self, request: &ConnectionRequest) -> Result<Participant, Error>;

    /// Whether somebody who is in may make this call now, beyond what their rights say; everything, unless told.
    async fn allow(&self, participant: &Participant, call: &Call) -> Result<(), Error> {
        let _ = (participant, call);
        Ok(())
    }
}

/// Lets nobody in: what a workspace has until it is told who may come.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefuseAll;

#[async_trait]
impl Authorize for RefuseAll {
    async fn connect(&self, _: &ConnectionRequest) -> Result<Participant, Error> {
        Err(Error::refused("this workspace lets nobody in; its host has to say who may come"))
    }
}

/// A function as the hook.
pub(crate) struct ByFunction<F>(pub(crate) F);

#[async_trait]
impl<F, R> Authorize for ByFunction<F>
where
    F: Fn(ConnectionRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Participant, Error>> + Send,
{
    async fn connect(&self, request: &ConnectionRequest) -> Result<Participant, Error> {
        (self.0)(request.clone()).await
    }
}
