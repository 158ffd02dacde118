//! A process that nobody else knows of: it is not left behind.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ProcessCreateRequest, ProcessInfo, Processes};
use crate::api::retry::passes;
use crate::error::{Error, Result};
use crate::sse::Reconnect;

/// A process gets SIGKILL: it is gone within milliseconds.
pub(super) const KILL: Duration = Duration::from_secs(5);

/// A process of the SDK's own. When this is dropped, it is killed and its record deleted.
#[derive(Debug)]
pub(in crate::api) struct Owned {
    processes: Processes,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    id: String,
    /// Tells it from one that a restarted server gave the same id.
    created_at_ms: i64,
}

impl Owned {
    /// Starts one. It is not left behind either when the call is dropped before the server has answered.
    pub(in crate::api) async fn start(
        processes: &Processes,
        request: ProcessCreateRequest,
    ) -> Result<(ProcessInfo, Self)> {
        let starting = processes.clone();
        // Apart, since only the answer says what would have to be killed. What nobody takes of it is dropped.
        let task = processes.api.runtime.spawn(async move {
            let info = starting.create(&request).await?;
            let owned = Self::new(&starting, &info);
            Ok((info, owned))
        });
        task.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    fn new(processes: &Processes, info: &ProcessInfo) -> Self {
        let process = Process { id: info.id.clone(), created_at_ms: info.created_at_ms };
        Self { processes: processes.clone(), process: Some(process) }
    }

    pub(in crate::api) fn id(&self) -> &str {
        self.process.as_ref().map_or("", |process| &process.id)
    }

    /// Whether the server still has it: a restarted one gives its id to another.
    pub(in crate::api) async fn is_there(&self) -> Result<bool> {
        match &self.process {
            Some(process) => Ok(process.look(&self.processes).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Does now what a drop does later. That it can't be done is no error of what the process was for.
    pub(in crate::api) async fn clear_up(mut self) {
        if let Some(process) = &self.process {
            process.clear_up(&self.processes).await;
        }
        self.process = None;
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        let processes = self.processes.clone();
        self.processes.api.runtime.spawn(async move { process.clear_up(&processes).await });
    }
}

impl Process {
    /// Tries again while the server is away: nobody else will.
    async fn clear_up(&self, processes: &Processes) {
        let mut reconnect = Reconnect::new(processes.api.limits.reconnect);
        while let Err(error) = self.end(processes).await {
            let is_busy = error.problem().is_some_and(|problem| problem.code() == "conflict");
            let passing = passes(&error) || error.is_timeout() || is_busy;
            match reconnect.failed(Instant::now()).filter(|_| passing) {
                Some(delay) => sleep(delay).await,
                None => {
                    tracing::warn!(process = self.id, %error, "a process of the SDK's, or its record, stays behind");
                    return;
                }
            }
        }
    }

    /// Looks first, each time: what has its id by now may be another process, which is not to be killed.
    async fn end(&self, processes: &Processes) -> Result<()> {
        let Some(info) = self.look(processes).await? else { return Ok(()) };
        if !info.is_exited() {
            processes.kill(&self.id, Some(KILL)).await?;
        }
        match processes.delete(&self.id).await {
            Err(error) if is_gone(&error) => Ok(()),
            deleted => deleted,
        }
    }

    /// What the server has of it.
    async fn look(&self, processes: &Processes) -> Result<Option<ProcessInfo>> {
        match processes.get(&self.id).await {
            Err(error) if is_gone(&error) => Ok(None),
            info => info.map(|info| Some(info).filter(|info| info.created_at_ms == self.created_at_ms)),
        }
    }
}

fn is_gone(error: &Error) -> bool {
    error.problem().is_some_and(|problem| problem.status == 404)
}
