//! One local sandbox.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use uuid::Uuid;

use super::binary;
use super::builder::{LocalSandboxBuilder, absolute};
use super::find::Places;
use super::guard::{End, Guard, Guarded};
use super::home::Home;
use crate::builder::{SandboxAgentBuilder, wait_for_health};
use crate::client::SandboxAgent;
use crate::error::{Error, Result};
use crate::http::{self, Http};
use crate::sandbox::{SandboxEndpoint, SandboxError, SandboxErrorKind};

/// A port that was free a moment ago may be somebody else's when the server asks for it.
const TRIES: usize = 3;

/// A sandbox-agent server of this machine, in processes of its own, that ends with its owner.
///
/// It has a free port of `127.0.0.1`, a random token, and data of its own, so that any number of them don't meet. When
/// this is dropped, or the process that has it ends, in whatever way (a panic, `exit`, `kill -9`), the server ends, with
/// its agents and all that they started: they get `SIGTERM`, 2 s later `SIGKILL`, and its folder is removed. On Linux
/// that includes what left the server's process group, such as terminals; elsewhere the group alone. Only what cleared
/// its environment *and* left the group goes on.
///
/// It is no wall: agents can do whatever this user can. And the server takes its token as an argument, which other users
/// of the machine may read in the list of processes. Needs a Unix with `/bin/sh`.
///
/// ```no_run
/// # async fn example() -> Result<(), sandbox_agent_sdk::Error> {
/// use sandbox_agent_sdk::{LocalSandbox, SessionRequest};
///
/// let sandbox = LocalSandbox::start().await?;
/// let sdk = sandbox.sdk().connect().await?;
/// let session = sdk.create_session(SessionRequest::new("default", "claude").cwd("/repo")).await?;
/// session.prompt("Summarize this repository").await?;
/// sdk.close().await?;
/// sandbox.destroy().await?;
/// # Ok(()) }
/// ```
pub struct LocalSandbox {
    settings: LocalSandboxBuilder,
    id: String,
    token: String,
    address: SocketAddr,
    // Before the folder, so that a folder that nobody guards is removed last.
    guard: Option<Guard>,
    home: Home,
}

impl fmt::Debug for LocalSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSandbox")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("data_dir", &self.home.data())
            .finish_non_exhaustive()
    }
}

impl LocalSandbox {
    /// Starts a server, and waits until it is healthy. [`builder`](Self::builder) says where it is looked for, what
    /// bounds this, and how it fails.
    pub async fn start() -> Result<Self, SandboxError> {
        Self::builder().start().await
    }

    /// Sets binary, folders and environment before [starting](LocalSandboxBuilder::start).
    pub fn builder() -> LocalSandboxBuilder {
        LocalSandboxBuilder::default()
    }

    pub(super) async fn start_with(settings: LocalSandboxBuilder) -> Result<Self, SandboxError> {
        let id = Uuid::new_v4().simple().to_string();
        let data = settings.data_dir.as_deref().map(absolute);
        let home = Home::new(&id, data.as_deref()).map_err(|error| {
            let message = format!(
                "no folder for the server's data could be made in {}: set another one, by TMPDIR or \
                 `LocalSandboxBuilder::data_dir`",
                data.unwrap_or_else(std::env::temp_dir).display()
            );
            SandboxError::new(SandboxErrorKind::Other, message).with_source(error)
        })?;
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut sandbox = Self { settings, id, token, address: free_address()?, guard: None, home };
        sandbox.wake().await?;
        Ok(sandbox)
    }

    /// The address of the server, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token that the server asks for. It is in no error, log or `Debug` output.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The folder with the server's data: its `XDG_DATA_HOME` and `XDG_STATE_HOME`.
    pub fn data_dir(&self) -> &Path {
        self.home.data()
    }

    /// The last 20 lines of the server's log, without the token.
    pub fn log_tail(&self) -> String {
        self.home.log_tail(&self.token)
    }

    /// Whether the server runs. One that ended by itself is not started again.
    pub fn is_running(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.has_ended().is_none())
    }

    /// Makes an SDK for this server, to be set up further and connected. The sandbox must outlive it.
    pub fn sdk(&self) -> SandboxAgentBuilder {
        let builder = SandboxAgent::builder(self.url()).token(self.token());
        match direct() {
            Ok(client) => builder.client(client),
            // The builder makes one itself, and says why it can't.
            Err(_) => builder,
        }
    }

    /// Ends the server and all that it started, and waits until none of it is there, 20 s at most.
    ///
    /// They get 2 s to end by themselves. A folder that [`data_dir`](LocalSandboxBuilder::data_dir) named stays.
    /// Dropped, it goes on.
    pub async fn destroy(mut self) -> Result<(), SandboxError> {
        self.halt(End { at_once: false, keep: false }).await
    }

    /// [Ends](Self::destroy) the server without giving it time to end by itself.
    pub async fn kill(mut self) -> Result<(), SandboxError> {
        self.halt(End { at_once: true, keep: false }).await
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn endpoint(&self) -> Result<SandboxEndpoint, SandboxError> {
        Ok(SandboxEndpoint::new(self.url()).token(self.token()).client(direct()?))
    }

    /// Ends the server; with its folder kept, it can be woken.
    pub(super) async fn halt(&mut self, how: End) -> Result<(), SandboxError> {
        let Some(guard) = self.guard.take() else { return Ok(()) };
        // Before it is over: the call may be dropped.
        self.home.set_guarded(!how.keep);
        guard.end(how).await
    }

    /// Starts the server, where it had an address before at that one if it is still free.
    pub(super) async fn wake(&mut self) -> Result<(), SandboxError> {
        let places = Places::here(self.settings.binary.clone());
        let binary = absolute(&places.find()?);
        binary::check(&binary).await?;
        for _ in 1..TRIES {
            match self.try_once(&binary).await {
                Err(_) if is_taken(self.address) => self.address = free_address()?,
                tried => return tried,
            }
        }
        self.try_once(&binary).await
    }

    async fn try_once(&mut self, binary: &Path) -> Result<(), SandboxError> {
        let guard = self.spawn(binary)?;
        // From here on the guard removes the folder, also when this call is dropped.
        self.home.set_guarded(true);
        let failed = match self.healthy(&guard).await {
            Ok(()) => {
                self.guard = Some(guard);
                return Ok(());
            }
            Err(what) => what,
        };
        let message = match self.log_tail() {
            log if log.is_empty() => format!("the server {}: {failed}; it logged nothing", binary.display()),
            log => format!("the server {}: {failed}; its log ends:\n{log}", binary.display()),
        };
        let ended = guard.end(End { at_once: true, keep: true }).await;
        self.home.set_guarded(ended.is_err());
        Err(SandboxError::new(SandboxErrorKind::ServerFailed, message))
    }

    fn spawn(&self, binary: &Path) -> Result<Guard, SandboxError> {
        let port = self.address.port().to_string();
        let args =
            ["server", "--host", "127.0.0.1", "--port", &port, "--no-telemetry", "--token", &self.token];
        let command = [binary.as_os_str()].into_iter().chain(args.map(OsStr::new)).collect();
        let mut env = vec![
            (OsStr::new("XDG_DATA_HOME"), self.home.data().as_os_str()),
            // Where its desktop keeps recordings: else all servers of this user overwrite each other's.
            (OsStr::new("XDG_STATE_HOME"), self.home.data().as_os_str()),
            (OsStr::new("SANDBOX_AGENT_LOG_STDOUT"), OsStr::new("1")),
        ];
        env.extend(self.settings.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())));
        Guard::start(&Guarded {
            id: &self.id,
            command,
            env,
            cwd: &self.settings.cwd_or_own(),
            log: &self.home.log(),
            folder: self.home.folder(),
        })
    }

    /// What went wrong, as a part of a sentence.
    async fn healthy(&self, guard: &Guard) -> Result<(), String> {
        tokio::select! {
            how = guard.ended() => Err(format!("{how} before it was healthy")),
            answered = self.answered() => answered.map_err(|error| format!("it did not become healthy: {error}")),
        }
    }

    /// Waits until the server answers, and makes sure that it is ours.
    async fn answered(&self) -> Result<()> {
        let client = http::build(http::client().no_proxy())?;
        let ours = Http::new(client.clone(), &self.url(), Some(&self.token), &[])?;
        wait_for_health(&ours, self.settings.start_limit).await?;
        // Whoever took its port a moment ago would let anybody in, or refuse our token, too.
        match Http::new(client, &self.url(), None, &[])?.health(self.settings.start_limit).await {
            Err(error) if error.is_unauthorized() => Ok(()),
            _ => Err(Error::protocol("what answers at its address lets anybody in")),
        }
    }
}

/// A client that goes through no proxy, whatever the environment says: nobody else can reach this address.
fn direct() -> Result<reqwest::Client, SandboxError> {
    http::build(http::client().no_proxy()).map_err(|error| {
        SandboxError::new(SandboxErrorKind::Other, "no HTTP client could be made").with_source(error)
    })
}

/// The server prints the port that it was asked for, so it can't be asked for any.
fn free_address() -> Result<SocketAddr, SandboxError> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    free.map_err(|error| {
        SandboxError::new(SandboxErrorKind::Unavailable, "no port of 127.0.0.1 is free").with_source(error)
    })
}

fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sandbox_agent_testkit::Sandbox;

    use super::*;

    fn at(address: SocketAddr) -> LocalSandbox {
        let id = Uuid::new_v4().simple().to_string();
        let home = Home::new(&id, None).unwrap();
        let settings = LocalSandbox::builder();
        LocalSandbox { settings, id, token: "secret".to_owned(), address, guard: None, home }
    }

    #[tokio::test]
    async fn a_stranger_at_its_address_is_not_taken_for_the_server() {
        let stranger = Sandbox::start().await;
        let error = at(stranger.address()).answered().await.unwrap_err();
        assert!(error.to_string().contains("lets anybody in"), "{error}");
        let asks = Sandbox::builder().token("another").start().await.unwrap();
        assert!(at(asks.address()).answered().await.unwrap_err().is_unauthorized());
        let own = Sandbox::builder().token("secret").start().await.unwrap();
        at(own.address()).answered().await.unwrap();
    }

    #[tokio::test]
    #[ignore = "needs the real server: cargo xtask test"]
    async fn a_port_that_is_taken_is_exchanged_for_another() {
        let taken = Sandbox::start().await;
        let mut sandbox = at(taken.address());
        sandbox.wake().await.unwrap();
        assert_ne!(sandbox.address, taken.address());
        assert!(sandbox.is_running());
        sandbox.destroy().await.unwrap();
    }
}
