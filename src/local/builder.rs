//! Settings of a local sandbox.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::provider::LocalProvider;
use super::server::LocalSandbox;
use crate::sandbox::SandboxError;

/// What a [`LocalSandbox`] is started with.
///
/// ```no_run
/// # async fn example() -> Result<(), sandbox_agent_sdk::Error> {
/// use sandbox_agent_sdk::LocalSandbox;
///
/// let sandbox = LocalSandbox::builder()
///     .data_dir("/var/lib/agents") // agents that the server installs stay there
///     .env("ANTHROPIC_API_KEY", "secret")
///     .start()
///     .await?;
/// # sandbox.destroy().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens before `start`"]
pub struct LocalSandboxBuilder {
    pub(super) binary: Option<PathBuf>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) start_limit: Duration,
}

impl Default for LocalSandboxBuilder {
    fn default() -> Self {
        Self {
            binary: None,
            data_dir: None,
            cwd: None,
            env: Vec::new(),
            start_limit: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for LocalSandboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("LocalSandboxBuilder")
            .field("binary", &self.binary)
            .field("data_dir", &self.data_dir)
            .field("cwd", &self.cwd)
            .field("env", &env)
            .field("start_limit", &self.start_limit)
            .finish()
    }
}

impl LocalSandboxBuilder {
    /// The server's binary. Unless told, it is what `SANDBOX_AGENT_BIN` names, or else the first `sandbox-agent` on the
    /// `PATH`, or else what npm installed in `node_modules` of the working directory or of a folder above.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// The folder where the server keeps what it has, such as the agents that it installs, and which stays when it
    /// ends. Unless told, it is a new one, which only this user can read, and which is removed with the sandbox.
    ///
    /// The server and its agents have it as `XDG_DATA_HOME` and `XDG_STATE_HOME`, and so agents look for logins that
    /// others of this user keep below that in vain.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// The folder that the server starts in, and that sessions of [`LocalProvider`] work in which name none; this
    /// process's own unless told.
    pub fn cwd(mut self, path: impl Into<PathBuf>) -> Self {
        self.cwd = Some(path.into());
        self
    }

    /// A variable for the server, which its agents inherit, beside all that this process has. Its value is in no
    /// `Debug` output.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// How long the server may take until it is healthy. 30 s: it takes a fraction of a second, unless the machine
    /// is busy.
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// Starts the server on a free port of `127.0.0.1` with a random token, and waits until it is healthy.
    ///
    /// Bounded by three times the limit of [`start_limit`](Self::start_limit) where others take the port, and 20 s for
    /// the question which version the binary is, and 20 s more for the end of a server that failed. Fails with
    /// [`NoBinary`](crate::SandboxErrorKind::NoBinary), [`NotExecutable`](crate::SandboxErrorKind::NotExecutable),
    /// [`WrongVersion`](crate::SandboxErrorKind::WrongVersion), or
    /// [`ServerFailed`](crate::SandboxErrorKind::ServerFailed) with the end of the server's log; nothing of it stays
    /// then, nor when the call is dropped. Must be called in a tokio runtime.
    pub async fn start(self) -> Result<LocalSandbox, SandboxError> {
        LocalSandbox::start_with(self).await
    }

    /// A provider of sandboxes like this one.
    pub fn provider(self) -> LocalProvider {
        LocalProvider::with(self)
    }

    pub(super) fn cwd_or_own(&self) -> PathBuf {
        let own = || std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        self.cwd.as_deref().map_or_else(own, absolute)
    }
}

/// Independent of the folder that the server starts in.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
