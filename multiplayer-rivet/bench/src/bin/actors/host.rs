//! The host of the workspaces: this program again, as a process whose memory is its own.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{WorkspaceActor, WorkspaceHost, WorkspaceKey};
use sandbox_agent_multiplayer_rivet_bench::report::Options;
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::HOST;

const ENGINE: &str = "BENCH_ENGINE_URL";
const SANDBOX: &str = "BENCH_SANDBOX_URL";
const AGENT: &str = "BENCH_AGENT";
/// How long one that was asked to end may take.
const END: Duration = Duration::from_secs(40);
const MIB_OF_KIB: f64 = 1024.0;

/// Serves workspaces until its standard input ends, so that it never outlives the bench.
pub(crate) async fn run() -> Result<ExitCode> {
    let (engine, sandbox, agent) = (var(ENGINE)?, var(SANDBOX)?, var(AGENT)?);
    let workspaces = WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("bench", agent).cwd("/"))
    .authorize_with(|request: ConnectionRequest| async move {
        let name = request.param("name").ok_or_else(|| Error::refused("say a name"))?;
        Ok(Participant::new(Person::new(name), Rights::OWNER))
    });
    let ended = async {
        let mut rest = Vec::new();
        let _end = tokio::io::stdin().read_to_end(&mut rest).await;
    };
    WorkspaceHost::new(engine).actor("workspace", workspaces).serve(ended).await?;
    Ok(ExitCode::SUCCESS)
}

fn var(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

pub(crate) struct Host {
    child: Child,
    id: u32,
}

impl Host {
    pub(crate) fn start(engine: &str, options: &Options) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg(HOST)
            .envs([(ENGINE, engine), (SANDBOX, &options.url), (AGENT, &options.agent)])
            .stdin(Stdio::piped())
            // What is printed there is the bench's answer.
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("the host does not start")?;
        let id = child.id().context("the host has ended at once")?;
        Ok(Self { child, id })
    }

    /// What its memory is now, in MiB; the peak counts from here.
    pub(crate) fn memory_from_here(&self) -> Result<f64> {
        // Linux resets the peak by this.
        std::fs::write(format!("/proc/{}/clear_refs", self.id), "5")?;
        self.memory("VmRSS:")
    }

    /// The most that its memory was, in MiB.
    pub(crate) fn peak_memory(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: f64 =
            line.and_then(|line| line.trim().strip_suffix(" kB")).context("no such field")?.parse()?;
        Ok(kib / MIB_OF_KIB)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let ended = timeout(END, self.child.wait()).await.context("the host does not end")??;
        if !ended.success() {
            bail!("the host failed: {ended}");
        }
        Ok(())
    }
}
