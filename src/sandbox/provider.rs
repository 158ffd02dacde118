//! The contract of who provides sandboxes.

use std::fmt::Debug;
use std::sync::Arc;

use sandbox_agent_persist::async_trait;

use super::endpoint::SandboxEndpoint;
use super::error::SandboxError;

/// Who makes sandboxes with a server in them: containers, virtual machines, processes of this machine.
///
/// Given to [`SandboxAgent::start`](crate::SandboxAgent::start), which asks for a sandbox and connects to it. Five methods
/// have to be written; those with a default may be left out.
///
/// # The contract
///
/// - An id is the provider's own name for a sandbox, and never used twice. With [`name`](Self::name) before it, it is kept
///   in the records of sessions, so that another process can [come back](crate::SandboxAgent::reconnect) to the sandbox.
/// - What concerns a sandbox that does not exist, or no longer, fails with
///   [`NotFound`](crate::SandboxErrorKind::NotFound); but ending one that has ended is no error.
/// - Each call may be dropped, and each but [`create`](Self::create) made again. What a `create` that fails or is
///   dropped has made, it removes; of what it returned, the SDK takes care.
/// - A call may take its time: the SDK gives it up at [`Limits::sandbox`](crate::Limits::sandbox), 5 minutes.
/// - The SDK keeps the provider for as long as a handle of it or of a session lives.
///
/// ```
/// use sandbox_agent_sdk::persist::async_trait;
/// use sandbox_agent_sdk::{SandboxEndpoint, SandboxError, SandboxProvider};
///
/// /// Machines that are always there: the id is the host's name.
/// #[derive(Debug)]
/// struct Hosts(Vec<String>);
///
/// #[async_trait]
/// impl SandboxProvider for Hosts {
///     fn name(&self) -> &str {
///         "hosts"
///     }
///
///     async fn create(&self) -> Result<String, SandboxError> {
///         self.0.first().cloned().ok_or_else(|| SandboxError::not_found("any"))
///     }
///
///     async fn ensure_server(&self, id: &str) -> Result<(), SandboxError> {
///         if self.0.iter().any(|host| host == id) { Ok(()) } else { Err(SandboxError::not_found(id)) }
///     }
///
///     async fn endpoint(&self, id: &str) -> Result<SandboxEndpoint, SandboxError> {
///         Ok(SandboxEndpoint::new(format!("http://{id}:2468")).token("secret"))
///     }
///
///     async fn destroy(&self, _id: &str) -> Result<(), SandboxError> {
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait SandboxProvider: Debug + Send + Sync + 'static {
    /// The word that ids of this provider begin with, such as `local` or `docker`. It has no `/`, and stays the same
    /// for as long as records of it are kept.
    fn name(&self) -> &str;

    /// Makes a sandbox, and gives its id. Its server need not run yet.
    async fn create(&self) -> Result<String, SandboxError>;

    /// Has the sandbox's server run: wakes the sandbox where it was paused, and starts the server where it does not
    /// run. The server need not be healthy yet: the SDK waits for that.
    async fn ensure_server(&self, id: &str) -> Result<(), SandboxError>;

    /// How the server is reached: its address, with the token, headers and client that it takes.
    ///
    /// Asked for after [`ensure_server`](Self::ensure_server), because an address may change with a start.
    async fn endpoint(&self, id: &str) -> Result<SandboxEndpoint, SandboxError>;

    /// Ends a sandbox, its processes first, and removes what it holds.
    async fn destroy(&self, id: &str) -> Result<(), SandboxError>;

    /// Ends what runs in a sandbox, or freezes it, and keeps what it holds until
    /// [`ensure_server`](Self::ensure_server) wakes it. Unless written, it fails with
    /// [`Unsupported`](crate::SandboxErrorKind::Unsupported): what was to be kept is not destroyed instead.
    async fn pause(&self, _id: &str) -> Result<(), SandboxError> {
        Err(SandboxError::unsupported(self.name(), "pause"))
    }

    /// [Destroys](Self::destroy) a sandbox at once, without giving its processes time to end by themselves.
    /// Unless written, it does what `destroy` does.
    async fn kill(&self, id: &str) -> Result<(), SandboxError> {
        self.destroy(id).await
    }

    /// The absolute path in its sandboxes that sessions work in which name none.
    fn default_cwd(&self) -> Option<String> {
        None
    }
}

#[async_trait]
impl<P: SandboxProvider + ?Sized> SandboxProvider for Arc<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn create(&self) -> Result<String, SandboxError> {
        (**self).create().await
    }

    async fn ensure_server(&self, id: &str) -> Result<(), SandboxError> {
        (**self).ensure_server(id).await
    }

    async fn endpoint(&self, id: &str) -> Result<SandboxEndpoint, SandboxError> {
        (**self).endpoint(id).await
    }

    async fn destroy(&self, id: &str) -> Result<(), SandboxError> {
        (**self).destroy(id).await
    }

    async fn pause(&self, id: &str) -> Result<(), SandboxError> {
        (**self).pause(id).await
    }

    async fn kill(&self, id: &str) -> Result<(), SandboxError> {
        (**self).kill(id).await
    }

    fn default_cwd(&self) -> Option<String> {
        (**self).default_cwd()
    }
}
