//! The SDK's calls that concern its sandbox.

use std::sync::Arc;

use super::provider::SandboxProvider;
use super::start::Sandbox;
use crate::builder::SandboxAgentBuilder;
use crate::client::SandboxAgent;
use crate::error::{Error, Result};

impl SandboxAgent {
    /// Has the provider make a sandbox, and connects to the server in it, with a store in memory.
    ///
    /// Everything else is set by [`builder_in`](Self::builder_in). Bounded by [`Limits::sandbox`](crate::Limits::sandbox)
    /// (5 minutes) for each of the provider's three calls, and by [`Limits::connect`](crate::Limits::connect). When it
    /// fails, or is dropped, the sandbox is destroyed. Must be called in a tokio runtime.
    ///
    /// ```no_run
    /// use sandbox_agent_sdk::{SandboxAgent, SandboxProvider};
    ///
    /// # async fn example(provider: impl SandboxProvider) -> Result<(), sandbox_agent_sdk::Error> {
    /// let sdk = SandboxAgent::start(provider).await?;
    /// println!("{}", sdk.sandbox_id().unwrap_or_default());
    /// sdk.destroy_sandbox().await?;
    /// # Ok(()) }
    /// ```
    pub async fn start(provider: impl SandboxProvider) -> Result<Self> {
        Self::builder_in(provider).connect().await
    }

    /// Connects again to a sandbox that an SDK of this or another process was [started](Self::start) in, by its
    /// [`sandbox_id`](Self::sandbox_id), which records of sessions have, too. A sandbox that was paused is woken.
    ///
    /// Fails with [`Sandbox(NotFound)`](crate::SandboxErrorKind::NotFound) where the provider has it no more, and with
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) where the id is another provider's. The sandbox stays when this
    /// fails. Bounded as [`start`](Self::start).
    pub async fn reconnect(provider: impl SandboxProvider, sandbox_id: &str) -> Result<Self> {
        Self::builder_in(provider).sandbox_id(sandbox_id).connect().await
    }

    /// Sets store, limits and all else before [starting](Self::start) in a sandbox of this provider.
    pub fn builder_in(provider: impl SandboxProvider) -> SandboxAgentBuilder {
        SandboxAgentBuilder::in_sandbox(Arc::new(provider))
    }

    /// The sandbox that this SDK was started in: the provider's name, `/`, and the provider's id. `None` where it was
    /// connected by an address.
    ///
    /// A session's record has the sandbox that its last agent process was started in.
    pub fn sandbox_id(&self) -> Option<&str> {
        self.sandbox().map(|sandbox| &*sandbox.id)
    }

    /// [Closes](Self::close) this SDK, and destroys its sandbox with all that it holds. The sessions stay in the store.
    ///
    /// The sandbox is destroyed also when closing fails, whose error this then is. Fails with
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), and does nothing, where the SDK was connected by an address.
    /// Bounded as `close`, and by [`Limits::sandbox`](crate::Limits::sandbox). Dropping the call may leave the sandbox.
    pub async fn destroy_sandbox(&self) -> Result<()> {
        let sandbox = self.own_sandbox()?;
        let closed = self.close().await;
        let destroyed = sandbox.destroy().await;
        closed.and(destroyed)
    }

    /// [Detaches](Self::detach) this SDK, and destroys its sandbox without giving its processes time to end.
    ///
    /// Fails and is bounded as [`destroy_sandbox`](Self::destroy_sandbox).
    pub async fn kill_sandbox(&self) -> Result<()> {
        let sandbox = self.own_sandbox()?;
        let detached = self.detach().await;
        let killed = sandbox.kill().await;
        detached.and(killed)
    }

    /// [Closes](Self::close) this SDK, and pauses its sandbox, which keeps what it holds until somebody
    /// [connects to it again](Self::reconnect).
    ///
    /// Fails with [`Sandbox(Unsupported)`](crate::SandboxErrorKind::Unsupported) where the provider can't, and then the
    /// SDK is closed all the same; else it fails and is bounded as [`destroy_sandbox`](Self::destroy_sandbox).
    pub async fn pause_sandbox(&self) -> Result<()> {
        let sandbox = self.own_sandbox()?;
        let closed = self.close().await;
        let paused = sandbox.pause().await;
        closed.and(paused)
    }

    fn own_sandbox(&self) -> Result<&Sandbox> {
        self.sandbox().ok_or_else(|| {
            Error::invalid("this SDK was connected by an address, and has no sandbox of its own to end")
        })
    }
}
