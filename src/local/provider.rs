//! Local sandboxes, as a provider has them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::async_trait;

use super::builder::LocalSandboxBuilder;
use super::guard::End;
use super::server::LocalSandbox;
use crate::sandbox::{SandboxEndpoint, SandboxError, SandboxErrorKind, SandboxProvider};

/// Provides [`LocalSandbox`]es: servers of this machine that end with this process.
///
/// A cheap clone of the same provider. It ends its sandboxes when the last clone is dropped, those included that SDKs
/// and sessions hold. Another process can't come back to a sandbox of this one: with the process, the sandbox is gone.
/// A paused one has no processes, and keeps its data, its token and, if that is free, its port.
///
/// ```no_run
/// # async fn example() -> Result<(), sandbox_agent_sdk::Error> {
/// use sandbox_agent_sdk::{LocalSandbox, SandboxAgent};
///
/// let provider = LocalSandbox::builder().cwd("/repo").provider();
/// let sdk = SandboxAgent::builder_in(provider).connect().await?;
/// # sdk.destroy_sandbox().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LocalProvider {
    settings: LocalSandboxBuilder,
    sandboxes: Arc<Mutex<HashMap<String, Slot>>>,
}

/// The lock is held while the sandbox starts or ends; `None` is one that has ended.
type Slot = Arc<tokio::sync::Mutex<Option<LocalSandbox>>>;

impl fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalProvider").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Default for LocalProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalProvider {
    /// A provider whose sandboxes are as [`LocalSandbox::start`] starts them.
    pub fn new() -> Self {
        Self::with(LocalSandboxBuilder::default())
    }

    pub(super) fn with(settings: LocalSandboxBuilder) -> Self {
        Self { settings, sandboxes: Arc::default() }
    }

    /// The last 20 lines of the log of a sandbox's server; `None` for a sandbox that there is not.
    ///
    /// Waits for a call that starts or ends the sandbox.
    pub async fn log_tail(&self, id: &str) -> Option<String> {
        let own = id.strip_prefix("local/").unwrap_or(id);
        let slot = self.slot(own).ok()?;
        let sandbox = slot.lock().await;
        sandbox.as_ref().map(LocalSandbox::log_tail)
    }

    fn slot(&self, id: &str) -> Result<Slot, SandboxError> {
        self.all().get(id).cloned().ok_or_else(|| {
            let message =
                format!("there is no local sandbox {id:?}: it ended, or the process that started it did");
            SandboxError::new(SandboxErrorKind::NotFound, message)
        })
    }

    async fn end(&self, id: &str, at_once: bool) -> Result<(), SandboxError> {
        let Some(slot) = self.all().remove(id) else { return Ok(()) };
        let Some(mut sandbox) = slot.lock().await.take() else { return Ok(()) };
        apart(async move { sandbox.halt(End { at_once, keep: false }).await }).await
    }

    /// Nothing panics while it holds the lock, and the map is whole at every step.
    fn all(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs to its end, also when the call that began it is dropped: the next one finds the sandbox whole.
async fn apart(
    work: impl Future<Output = Result<(), SandboxError>> + Send + 'static,
) -> Result<(), SandboxError> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        Err(SandboxError::new(SandboxErrorKind::Other, "the runtime ended meanwhile").with_source(error))
    })
}

#[async_trait]
impl SandboxProvider for LocalProvider {
    fn name(&self) -> &str {
        "local"
    }

    async fn create(&self) -> Result<String, SandboxError> {
        let sandbox = self.settings.clone().start().await?;
        let id = sandbox.id().to_owned();
        self.all().insert(id.clone(), Arc::new(tokio::sync::Mutex::new(Some(sandbox))));
        Ok(id)
    }

    async fn ensure_server(&self, id: &str) -> Result<(), SandboxError> {
        let slot = self.slot(id)?;
        let (mut sandbox, id) = (slot.lock_owned().await, id.to_owned());
        apart(async move {
            let sandbox = sandbox.as_mut().ok_or_else(|| SandboxError::not_found(&id))?;
            if sandbox.is_running() {
                return Ok(());
            }
            // What a server left that ended by itself.
            sandbox.halt(End { at_once: true, keep: true }).await?;
            sandbox.wake().await
        })
        .await
    }

    async fn endpoint(&self, id: &str) -> Result<SandboxEndpoint, SandboxError> {
        let slot = self.slot(id)?;
        let sandbox = slot.lock().await;
        sandbox.as_ref().ok_or_else(|| SandboxError::not_found(id))?.endpoint()
    }

    async fn destroy(&self, id: &str) -> Result<(), SandboxError> {
        self.end(id, false).await
    }

    async fn pause(&self, id: &str) -> Result<(), SandboxError> {
        let slot = self.slot(id)?;
        let (mut sandbox, id) = (slot.lock_owned().await, id.to_owned());
        apart(async move {
            let sandbox = sandbox.as_mut().ok_or_else(|| SandboxError::not_found(&id))?;
            sandbox.halt(End { at_once: false, keep: true }).await
        })
        .await
    }

    async fn kill(&self, id: &str) -> Result<(), SandboxError> {
        self.end(id, true).await
    }

    fn default_cwd(&self) -> Option<String> {
        Some(self.settings.cwd_or_own().to_string_lossy().into_owned())
    }
}
