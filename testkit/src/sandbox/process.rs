//! One agent process of the sandbox: a task.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::{FutureExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::core::Core;
use super::outlet::{Outlet, TaskHost};
use crate::agent;

/// Alive as long as somebody holds it: the sandbox's table, a POST in flight, a DELETE that
/// hangs. That is how the real server counts.
pub(super) struct Process {
    pub(super) server: String,
    pub(super) agent: String,
    pub(super) created_at_ms: u64,
    pub(super) outlet: Arc<Outlet>,
    stdin: mpsc::UnboundedSender<String>,
    task: AbortHandle,
}

impl Process {
    pub(super) fn spawn(server: &str, agent: &str, pid: u32, core: &Arc<Core>) -> Self {
        let outlet = Arc::new(Outlet::new(server, pid, core.clone()));
        let (stdin, lines) = mpsc::unbounded_channel::<String>();
        let incoming = stream::unfold(lines, async |mut lines| {
            let line = lines.recv().await?;
            Some((Ok(line), lines))
        });
        let host = Arc::new(TaskHost(outlet.clone()));
        let serving = agent::serve(host, core.options.agent.clone(), core.archive.clone(), incoming);
        let (ends, core) = (outlet.clone(), core.clone());
        let task = tokio::spawn(async move {
            let code = tokio::select! {
                () = ends.exited() => return,
                served = AssertUnwindSafe(serving).catch_unwind() => match served {
                    Ok(Ok(())) => 0,
                    Ok(Err(_)) => 1,
                    Err(panic) => {
                        core.panicked("an agent", panic.as_ref());
                        101
                    }
                },
            };
            ends.set_exit(code);
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            server: server.to_owned(),
            agent: agent.to_owned(),
            created_at_ms: now.unwrap_or_default().as_millis() as u64,
            outlet,
            stdin,
            task: task.abort_handle(),
        }
    }

    /// Hands the agent a message; `false` when the process is gone.
    pub(super) fn deliver(&self, message: &Value) -> bool {
        self.outlet.exit_code().is_none() && self.stdin.send(message.to_string()).is_ok()
    }

    pub(super) fn listing(&self) -> Value {
        json!({
            "serverId": self.server,
            "agent": self.agent,
            "createdAtMs": self.created_at_ms,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
        self.outlet.set_exit(0);
        self.outlet.close();
    }
}
