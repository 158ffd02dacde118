//! Processes in the sandbox: long-lived ones, one-off commands, and their output.

mod exec;
mod follow;
mod follower;
mod owned;
mod requests;
mod sequence;
#[cfg(feature = "websocket")]
mod terminal;
mod types;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub use exec::{ExecOutput, ExecRequest};
pub use follow::{FollowLogs, LogEvent, LogOutput, ProcessLogs};
pub(in crate::api) use owned::Owned;
pub use requests::{ProcessCreateRequest, ProcessLogsQuery, ProcessRunRequest};
pub use sequence::LogGap;
#[cfg(feature = "websocket")]
pub use terminal::{Terminal, TerminalInput, TerminalIo};
pub use types::{
    ProcessConfig, ProcessInfo, ProcessLogEntry, ProcessLogsResponse, ProcessLogsStream, ProcessOwner,
    ProcessRunResponse, ProcessState, TerminalSize,
};

use requests::{ProcessInputRequest, ProcessListQuery, ProcessSignalQuery};

use super::call::Api;
use super::operation::Operation;
use crate::error::Result;

pub(crate) mod operations {
    //! Where they are.

    use super::super::operation::{Channel, Operation};
    use super::requests::*;
    use super::types::*;

    pub(crate) const CONFIG: Operation<(), (), ProcessConfig> = Operation::get("/v1/processes/config");
    pub(crate) const SET_CONFIG: Operation<(), ProcessConfig, ProcessConfig> =
        Operation::post_idempotent("/v1/processes/config");
    pub(crate) const CREATE: Operation<(), ProcessCreateRequest, ProcessInfo> =
        Operation::post("/v1/processes");
    pub(crate) const RUN: Operation<(), ProcessRunRequest, ProcessRunResponse> =
        Operation::post("/v1/processes/run");
    pub(crate) const LIST: Operation<ProcessListQuery, (), ProcessListResponse> =
        Operation::get("/v1/processes");
    pub(crate) const GET: Operation<(), (), ProcessInfo> = Operation::get("/v1/processes/{id}");
    // Ids begin anew with the server: a signal that is sent again may reach another process.
    pub(crate) const STOP: Operation<ProcessSignalQuery, (), ProcessInfo> =
        Operation::post("/v1/processes/{id}/stop");
    pub(crate) const KILL: Operation<ProcessSignalQuery, (), ProcessInfo> =
        Operation::post("/v1/processes/{id}/kill");
    pub(crate) const DELETE: Operation<(), (), ()> = Operation::delete_once("/v1/processes/{id}");
    pub(crate) const LOGS: Operation<ProcessLogsQuery, (), ProcessLogsResponse> =
        Operation::get("/v1/processes/{id}/logs");
    pub(crate) const INPUT: Operation<(), ProcessInputRequest, ProcessInputResponse> =
        Operation::post("/v1/processes/{id}/input");
    pub(crate) const RESIZE: Operation<(), TerminalSize, TerminalSize> =
        Operation::post_idempotent("/v1/processes/{id}/terminal/resize");
    // The token goes into a header, never into an address.
    #[cfg_attr(not(any(test, feature = "websocket")), expect(dead_code))]
    pub(crate) const TERMINAL: Operation<(), (), Channel> = Operation::get("/v1/processes/{id}/terminal/ws");
}

/// The processes of the sandbox. A cheap clone.
///
/// Each call is bounded by [`Limits::call`](crate::Limits::call) a try, unless it says otherwise; a process that
/// the server doesn't know is [`Refused`](crate::ErrorKind::Refused) with the code `not_found`.
#[derive(Clone, Debug)]
pub struct Processes {
    pub(in crate::api) api: Api,
}

impl Processes {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }

    /// The server's bounds for processes.
    pub async fn config(&self) -> Result<ProcessConfig> {
        self.api.call(&operations::CONFIG, &[], &(), &()).await
    }

    /// Sets the server's bounds for processes, all of them, and returns them. They hold until it restarts.
    pub async fn set_config(&self, config: &ProcessConfig) -> Result<ProcessConfig> {
        self.api.call(&operations::SET_CONFIG, &[], &(), config).await
    }

    /// Starts a long-lived process. It goes on when the SDK is closed.
    ///
    /// Never tried again: an error with [`Delivery::Unknown`](crate::Delivery::Unknown) may have started one,
    /// which [`list`](Self::list) shows.
    pub async fn create(&self, request: &ProcessCreateRequest) -> Result<ProcessInfo> {
        self.api.call(&operations::CREATE, &[], &(), request).await
    }

    /// Runs a command to its end, with the server's bounds for its time and output, and its output as text.
    /// [`exec`](Self::exec) has neither.
    ///
    /// Bounded by the request's time, or the server's longest where it sets none, and
    /// [`Limits::call`](crate::Limits::call). Never tried again.
    pub async fn run(&self, request: &ProcessRunRequest) -> Result<ProcessRunResponse> {
        let time = request.timeout_ms.map_or(LONGEST_RUN, Duration::from_millis);
        let limit = self.api.limits.call.saturating_add(time);
        self.api.call_within(limit, &operations::RUN, &[], &(), request).await
    }

    /// All processes, also those that have ended, or those of one owner.
    pub async fn list(&self, owner: Option<ProcessOwner>) -> Result<Vec<ProcessInfo>> {
        let query = ProcessListQuery { owner };
        Ok(self.api.call(&operations::LIST, &[], &query, &()).await?.processes)
    }

    /// One process.
    pub async fn get(&self, id: &str) -> Result<ProcessInfo> {
        self.api.call(&operations::GET, &[id], &(), &()).await
    }

    /// Asks a process to end (SIGTERM) and waits for its end, at most `wait`; without, it returns at once.
    ///
    /// The answer says whether it has ended. Bounded by `wait` and [`Limits::call`](crate::Limits::call). Never
    /// tried again.
    pub async fn stop(&self, id: &str, wait: Option<Duration>) -> Result<ProcessInfo> {
        self.signal(&operations::STOP, id, wait).await
    }

    /// Ends a process (SIGKILL), otherwise as [`stop`](Self::stop).
    pub async fn kill(&self, id: &str, wait: Option<Duration>) -> Result<ProcessInfo> {
        self.signal(&operations::KILL, id, wait).await
    }

    /// Deletes the record and the log of a process that has ended; one that runs is refused (`conflict`).
    /// Never tried again.
    pub async fn delete(&self, id: &str) -> Result<()> {
        self.api.call(&operations::DELETE, &[id], &(), &()).await
    }

    /// The output that the server has kept, as it is now. [`follow_logs`](Self::follow_logs) goes on with it.
    pub async fn logs(&self, id: &str, query: &ProcessLogsQuery) -> Result<ProcessLogsResponse> {
        self.api.call(&operations::LOGS, &[id], query, &()).await
    }

    /// Writes to the input of a process that takes some; returns how many bytes were taken.
    ///
    /// One call takes 64 KiB, unless [configured](ProcessConfig::max_input_bytes_per_request). Never tried again.
    pub async fn input(&self, id: &str, data: impl AsRef<[u8]>) -> Result<u64> {
        let data = BASE64_STANDARD.encode(data);
        let request = ProcessInputRequest { data, encoding: Some("base64".into()) };
        Ok(self.api.call(&operations::INPUT, &[id], &(), &request).await?.bytes_written)
    }

    /// Sets the size of a process's terminal, and returns it.
    pub async fn resize(&self, id: &str, size: TerminalSize) -> Result<TerminalSize> {
        self.api.call(&operations::RESIZE, &[id], &(), &size).await
    }

    async fn signal(
        &self,
        operation: &Operation<ProcessSignalQuery, (), ProcessInfo>,
        id: &str,
        wait: Option<Duration>,
    ) -> Result<ProcessInfo> {
        let wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let limit = self.api.limits.call.saturating_add(wait.unwrap_or_default());
        self.api.call_within(limit, operation, &[id], &ProcessSignalQuery { wait_ms }, &()).await
    }
}

/// The server's own maximum, unless it was configured.
const LONGEST_RUN: Duration = Duration::from_secs(300);
