//! The real server, for tests that need it.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::install::{AgentNotFound, find_agent_binary, install_agent};

/// The environment variable that names the server's binary.
const VARIABLE: &str = "SANDBOX_AGENT_BIN";
/// How long a server may take until it is healthy.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at its health.
const POLL: Duration = Duration::from_millis(20);
/// How much of its log an error shows.
const LOG_LINES: usize = 20;

/// How a [`RealServer`] starts.
#[derive(Clone, Default)]
pub struct RealServerOptions {
    token: Option<String>,
    env: Vec<(String, String)>,
}

impl RealServerOptions {
    /// No token, nothing in the environment but what the test has.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bearer token that every request must carry.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A variable for the server, which its agents inherit; for example
    /// `SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS`, or one of the scripted agent's.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl fmt::Debug for RealServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealServerOptions")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("env", &self.env)
            .finish()
    }
}

/// Why the real server could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum RealServerError {
    /// `SANDBOX_AGENT_BIN` is not set, or names no file.
    NoBinary(Option<PathBuf>),
    /// The agent that it shall launch is not built.
    NoAgent(AgentNotFound),
    /// A file could not be written, or the process not be started.
    Io(io::Error),
    /// It did not become healthy in time, or ended; with the end of its log.
    NotHealthy {
        /// The last lines that it logged.
        log: String,
    },
}

impl fmt::Display for RealServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBinary(None) => write!(
                f,
                "no server: {VARIABLE} must name its binary; `cargo xtask test` gets one and sets it"
            ),
            Self::NoBinary(Some(path)) => write!(
                f,
                "no server: {VARIABLE}={} is no file; `cargo xtask test` gets one and sets it",
                path.display()
            ),
            Self::NoAgent(_) => write!(f, "no agent for the server to launch"),
            Self::Io(_) => write!(f, "the server could not be started"),
            Self::NotHealthy { log } => {
                write!(f, "the server was not healthy within {START_LIMIT:?}; its log ends:\n{log}")
            }
        }
    }
}

impl std::error::Error for RealServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoAgent(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::NoBinary(_) | Self::NotHealthy { .. } => None,
        }
    }
}

impl From<io::Error> for RealServerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A real server in a process of its own, with a data folder of its own, whose agent `mock` is
/// the scripted one.
///
/// The processes are killed, agents included, when this is dropped. It needs real time: don't
/// use it under tokio's paused clock.
#[derive(Debug)]
pub struct RealServer {
    binary: PathBuf,
    options: RealServerOptions,
    data: TempDir,
    address: SocketAddr,
    url: String,
    process: Option<Child>,
}

impl RealServer {
    /// Starts the server that `SANDBOX_AGENT_BIN` names on a free port, and waits until it is
    /// healthy, 20 s at most.
    ///
    /// # Errors
    /// When there is no server or no agent, or it doesn't start. The error says what to do.
    pub async fn start(options: RealServerOptions) -> Result<Self, RealServerError> {
        let binary = std::env::var_os(VARIABLE).map(PathBuf::from);
        let Some(binary) = binary.clone().filter(|path| path.is_file()) else {
            return Err(RealServerError::NoBinary(binary));
        };
        let agent = find_agent_binary().map_err(RealServerError::NoAgent)?;
        let data = tempfile::tempdir()?;
        install_agent(data.path(), &agent)?;
        // Free a moment ago: the server takes no port 0.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut server =
            Self { binary, options, data, address, url: format!("http://{address}"), process: None };
        server.restart().await?;
        Ok(server)
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder that is its `XDG_DATA_HOME` and `XDG_STATE_HOME`.
    pub fn data_home(&self) -> &Path {
        self.data.path()
    }

    /// Kills the server with SIGKILL, its agents too, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
            if let Some(group) = group {
                // It fails when all of the group are gone already.
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = process.wait();
        }
    }

    /// Kills the server if it runs, and starts it anew on the same port and data.
    ///
    /// # Errors
    /// When it doesn't start or doesn't become healthy within 20 s.
    pub async fn restart(&mut self) -> Result<(), RealServerError> {
        self.kill();
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.binary);
        command.args(["server", "--host", "127.0.0.1", "--no-telemetry", "--port"]);
        command.arg(self.address.port().to_string());
        match &self.options.token {
            Some(token) => command.args(["--token", token]),
            None => command.arg("--no-token"),
        };
        command
            .env("XDG_DATA_HOME", self.data.path())
            // Its desktop is there: else all servers of this user overwrite each other's recordings.
            .env("XDG_STATE_HOME", self.data.path())
            .envs(self.options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        self.process = Some(command.spawn()?);
        match timeout(START_LIMIT, self.wait_until_healthy()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(RealServerError::NotHealthy { log: self.log_tail() }),
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.data.path().join("server.log")
    }

    /// An error when the process has ended.
    async fn wait_until_healthy(&mut self) -> io::Result<()> {
        while !self.is_healthy().await {
            if let Some(process) = &mut self.process
                && process.try_wait()?.is_some()
            {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn is_healthy(&self) -> bool {
        let token = self.options.token.as_deref();
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let request = format!(
            "GET /v1/health HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{}\r\n",
            self.address,
            token.unwrap_or_default()
        );
        let ask = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(answer.starts_with(b"HTTP/1.1 200"))
        };
        ask.await.unwrap_or(false)
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.kill();
    }
}
