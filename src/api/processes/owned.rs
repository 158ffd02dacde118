//! A process that nobody else knows of: it is not left behind.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ProcessInfo, Processes};
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
    pub(in crate::api) fn new(processes: &Processes, info: &ProcessInfo) -> Self {
        let process = Process { id: info.id.clone(), created_at_ms: info.created_at_ms };
        Self { processes: processes.clone(), process: Some(process) }
    }

    pub(in crate::api) fn id(&self) -> &str {
        self.process.as_ref().map_or("", |process| &process.id)
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

    /// Looks first, each time: a server that was restarted gives the id to another process, which is not to be
    /// killed.
    async fn end(&self, processes: &Processes) -> Result<()> {
        let is_gone = |error: &Error| error.problem().is_some_and(|problem| problem.status == 404);
        let info = match processes.get(&self.id).await {
            Err(error) if is_gone(&error) => return Ok(()),
            info => info?,
        };
        if info.created_at_ms != self.created_at_ms {
            return Ok(());
        }
        if !info.is_exited() {
            processes.kill(&self.id, Some(KILL)).await?;
        }
        match processes.delete(&self.id).await {
            Err(error) if is_gone(&error) => Ok(()),
            deleted => deleted,
        }
    }
}
