//! A running real server whose `mock` agent is ours.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// The name under which the server knows the scripted agent.
pub(crate) const AGENT: &str = "mock";
const AGENT_SLOT: &str = "sandbox-agent/bin/agent_processes/mock-acp";
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Killed and cleaned up on drop.
#[derive(Debug)]
pub(crate) struct Sandbox {
    server: Child,
    address: SocketAddr,
    data: TempDir,
}

impl Sandbox {
    /// Starts the server on a free port and waits until it is healthy.
    pub(crate) fn start(server: &Path, agent: &Path) -> Result<Self> {
        let data = tempfile::tempdir().context("can't create a folder for the server's data")?;
        install(agent, data.path())?;
        let address = free_address()?;
        let log = File::create(log_of(&data))?;
        let server = Command::new(server)
            .args(["server", "--no-token", "--no-telemetry", "--host"])
            .arg(address.ip().to_string())
            .args(["--port", &address.port().to_string()])
            .env("XDG_DATA_HOME", data.path())
            .env("XDG_STATE_HOME", data.path())
            .current_dir(data.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("can't start {}", server.display()))?;
        let mut sandbox = Self { server, address, data };
        sandbox.wait_until_healthy()?;
        Ok(sandbox)
    }

    /// Gives its agent to another server, that will have this folder for its data.
    pub(crate) fn lend_agent(&self, data: &Path) -> Result<()> {
        install(&self.data.path().join(AGENT_SLOT), data)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait_until_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !answers_health(self.address) {
            if let Some(status) = self.server.try_wait()? {
                bail!("the server ended at once ({status}): {}", self.log());
            }
            if Instant::now() > deadline {
                bail!("the server wasn't healthy within {START_LIMIT:?}: {}", self.log());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(log_of(&self.data)).unwrap_or_default()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing left to do.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn install(agent: &Path, data: &Path) -> Result<()> {
    let slot = data.join(AGENT_SLOT);
    fs::create_dir_all(slot.parent().unwrap_or(data))?;
    fs::copy(agent, &slot).with_context(|| format!("can't copy {}", agent.display()))?;
    Ok(())
}

fn log_of(data: &TempDir) -> PathBuf {
    data.path().join("server.log")
}

/// The server prints the port it was asked for, so port 0 can't be used.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

fn answers_health(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET /v1/health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
