//! A sandbox for an SDK: a new one, or one that is named, with its server running.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::endpoint::SandboxEndpoint;
use super::error::SandboxError;
use super::provider::SandboxProvider;
use crate::error::{Error, ErrorKind, Limit, Result};

/// The sandbox that an SDK is connected to, and who provides it.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    provider: Arc<dyn SandboxProvider>,
    /// The provider's own id, without its name.
    own_id: String,
    /// What others know it by.
    pub(crate) id: Arc<str>,
    limit: Duration,
}

/// A sandbox that an SDK is being connected to. One that was made for it is destroyed unless it is kept, also when
/// the call that wanted it is dropped.
#[derive(Debug)]
pub(crate) struct Start {
    sandbox: Sandbox,
    /// Who clears up, where the sandbox was made for this call.
    made_on: Option<Handle>,
}

impl Start {
    /// Makes a sandbox, or finds the one with this id, and has its server run.
    pub(crate) async fn new(
        provider: Arc<dyn SandboxProvider>,
        id: Option<&str>,
        limit: Duration,
    ) -> Result<(Self, SandboxEndpoint)> {
        let start = match id {
            Some(id) => {
                let own_id = own_id(&*provider, id)?;
                Self { sandbox: Sandbox::new(provider, own_id, limit), made_on: None }
            }
            // Apart, so that what is made after the call was dropped is known, and cleared up.
            None => tokio::spawn(Self::make(provider, limit)).await.unwrap_or_else(|_| {
                let message = "the provider panicked while it made a sandbox";
                Err(Error::new(ErrorKind::Sandbox(super::SandboxErrorKind::Other), message))
            })?,
        };
        match start.endpoint().await {
            Ok(endpoint) => Ok((start, endpoint)),
            Err(error) => {
                start.undo().await;
                Err(error)
            }
        }
    }

    async fn make(provider: Arc<dyn SandboxProvider>, limit: Duration) -> Result<Self> {
        let own_id = within(limit, "make a sandbox", provider.create()).await?;
        let sandbox = Sandbox::new(provider, own_id, limit);
        Ok(Self { sandbox, made_on: Some(Handle::current()) })
    }

    async fn endpoint(&self) -> Result<SandboxEndpoint> {
        let Sandbox { provider, own_id, limit, .. } = &self.sandbox;
        within(*limit, "start the server", provider.ensure_server(own_id)).await?;
        within(*limit, "tell where the server is", provider.endpoint(own_id)).await
    }

    /// Destroys the sandbox when it was made for this call.
    pub(crate) async fn undo(mut self) {
        if self.made_on.take().is_some() {
            self.sandbox.clear_up().await;
        }
    }

    pub(crate) fn keep(mut self) -> Sandbox {
        self.made_on = None;
        self.sandbox.clone()
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if let Some(runtime) = self.made_on.take() {
            let sandbox = self.sandbox.clone();
            runtime.spawn(async move { sandbox.clear_up().await });
        }
    }
}

impl Sandbox {
    fn new(provider: Arc<dyn SandboxProvider>, own_id: String, limit: Duration) -> Self {
        let id = format!("{}/{own_id}", provider.name()).into();
        Self { provider, own_id, id, limit }
    }

    pub(crate) fn default_cwd(&self) -> Option<String> {
        self.provider.default_cwd()
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        within(self.limit, "destroy the sandbox", self.provider.destroy(&self.own_id)).await
    }

    pub(super) async fn kill(&self) -> Result<()> {
        within(self.limit, "kill the sandbox", self.provider.kill(&self.own_id)).await
    }

    pub(super) async fn pause(&self) -> Result<()> {
        within(self.limit, "pause the sandbox", self.provider.pause(&self.own_id)).await
    }

    async fn clear_up(&self) {
        if let Err(error) = self.destroy().await {
            tracing::warn!(sandbox = %self.id, %error, "a sandbox that nobody uses could not be destroyed");
        }
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, SandboxError>>,
) -> Result<T> {
    match timeout(limit, call).await {
        Ok(done) => Ok(done?),
        Err(_) => {
            let message = format!("the provider did not {what} within {limit:?} (`Limits::sandbox`)");
            Err(Error::new(ErrorKind::TimedOut(Limit::Sandbox), message))
        }
    }
}

/// The provider's own part of an id.
fn own_id(provider: &dyn SandboxProvider, id: &str) -> Result<String> {
    let name = provider.name();
    match id.split_once('/') {
        Some((prefix, own)) if prefix == name && !own.is_empty() => Ok(own.to_owned()),
        _ => Err(Error::invalid(format!(
            "{id:?} is no sandbox of the provider {name:?}, whose ids begin with \"{name}/\""
        ))),
    }
}
