//! The engine's process.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::{PATIENCE, ports};

/// The variable that names the engine's program, such as npm brings in `@rivetkit/engine-cli`.
pub const PROGRAM: &str = "RIVET_ENGINE_BIN";

/// An engine of its own: its ports are free ones, and its data is gone with it. Dropping it kills it.
#[derive(Debug)]
pub struct Engine {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Engine {
    /// Starts one, and waits until it is healthy.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let mut engine = Self { process: spawn(port, folder.path()), port, folder };
        engine.wait_until_healthy().await;
        engine
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Kills it without notice, and starts it again at the same address with what it has on the disk.
    pub async fn crash(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = spawn(self.port, self.folder.path());
        self.wait_until_healthy().await;
    }

    async fn wait_until_healthy(&mut self) {
        let http = reqwest::Client::new();
        let since = Instant::now();
        loop {
            let health = http.get(format!("{}/health", self.url())).send().await;
            if health.is_ok_and(|health| health.status().is_success()) {
                return;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the engine ended: {status}");
            }
            assert!(since.elapsed() < PATIENCE, "the engine says nothing");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both fail only for one that is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, folder: &Path) -> Child {
    let program =
        std::env::var_os(PROGRAM).unwrap_or_else(|| panic!("set {PROGRAM} to the engine's program"));
    Command::new(&program)
        .arg("start")
        .envs(settings(port))
        .env("RIVET__FILE_SYSTEM__PATH", folder.join("db"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()))
}

fn settings(port: u16) -> Vec<(&'static str, String)> {
    let host = || Ipv4Addr::LOCALHOST.to_string();
    vec![
        ("RIVET__GUARD__HOST", host()),
        ("RIVET__GUARD__PORT", port.to_string()),
        ("RIVET__API_PEER__HOST", host()),
        ("RIVET__API_PEER__PORT", (port + ports::PEER).to_string()),
        ("RIVET__METRICS__HOST", host()),
        ("RIVET__METRICS__PORT", (port + ports::METRICS).to_string()),
        ("RIVET__TELEMETRY__ENABLED", "false".to_owned()),
        // Without it a busy machine is refused new actors.
        ("RIVET__RUNTIME__WORKER_CPU_MAX", "1000000".to_owned()),
        // A runner that is gone is noticed, and its actors are placed anew, in seconds and not in minutes.
        ("RIVET__PEGBOARD__BASE_RETRY_TIMEOUT", "500".to_owned()),
        ("RIVET__PEGBOARD__RESCHEDULE_BACKOFF_MAX_EXPONENT", "2".to_owned()),
        ("RIVET__PEGBOARD__RETRY_RESET_DURATION", "1000".to_owned()),
        ("RIVET__PEGBOARD__ENVOY_ELIGIBLE_THRESHOLD", "5000".to_owned()),
        ("RIVET__PEGBOARD__ENVOY_LOST_THRESHOLD", "7000".to_owned()),
        ("RIVET__RUNTIME__WORKER_SHUTDOWN_DURATION", "1".to_owned()),
        ("RIVET__RUNTIME__GUARD_SHUTDOWN_DURATION", "1".to_owned()),
        ("RIVET__RUNTIME__FORCE_SHUTDOWN_DURATION", "2".to_owned()),
    ]
}
