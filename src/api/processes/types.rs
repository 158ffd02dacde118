//! What the server says of processes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::api::values::open_enum;
use crate::error::{Error, Result};

open_enum! {
    /// Whether a process runs.
    ProcessState {
        /// It runs.
        Running = "running",
        /// It has ended; its record and its log stay until they are deleted.
        Exited = "exited",
    }
}

open_enum! {
    /// On whose behalf a process runs.
    ProcessOwner {
        /// A client's.
        User = "user",
        /// The desktop's.
        Desktop = "desktop",
        /// The server's own.
        System = "system",
    }
}

open_enum! {
    /// Where output came from.
    ProcessLogsStream {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
        /// All of it, as a question; no entry has this value.
        Combined = "combined",
        /// The terminal of a process that has one.
        Pty = "pty",
    }
}

/// A process that the server manages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its id, until the server restarts: then ids begin anew.
    pub id: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The folder that it was started in, where one was given.
    pub cwd: Option<String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether it takes input.
    pub interactive: bool,
    /// On whose behalf it runs.
    pub owner: ProcessOwner,
    /// Whether it runs.
    pub status: ProcessState,
    /// Its number in the sandbox's system, while it runs.
    pub pid: Option<u32>,
    /// Its exit code; none while it runs, and where a signal ended it.
    pub exit_code: Option<i32>,
    /// When it was started, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub exited_at_ms: Option<i64>,
}

impl ProcessInfo {
    /// Whether it has ended.
    pub fn is_exited(&self) -> bool {
        self.status == ProcessState::Exited
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessListResponse {
    pub(crate) processes: Vec<ProcessInfo>,
}

/// The server's bounds for processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessConfig {
    /// How many may run at once; 64 unless set.
    pub max_concurrent_processes: u64,
    /// How long a one-off command may run that sets no limit, in milliseconds; 30 s unless set.
    pub default_run_timeout_ms: u64,
    /// The longest limit that a one-off command may set, in milliseconds; 300 s unless set.
    pub max_run_timeout_ms: u64,
    /// How much output of a one-off command is kept, in bytes; 1 MiB unless set.
    pub max_output_bytes: u64,
    /// How much output of a long-lived process is kept, in bytes; 10 MiB unless set. The oldest goes first.
    pub max_log_bytes_per_process: u64,
    /// How much input one call may carry, in bytes; 64 KiB unless set.
    pub max_input_bytes_per_request: u64,
}

/// What became of a one-off command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessRunResponse {
    /// Its exit code; none where a signal or the time limit ended it.
    pub exit_code: Option<i32>,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// Its standard output; what is no UTF-8 the server has replaced.
    pub stdout: String,
    /// Its standard error; what is no UTF-8 the server has replaced.
    pub stderr: String,
    /// Whether there was more standard output than is kept.
    pub stdout_truncated: bool,
    /// Whether there was more standard error than is kept.
    pub stderr_truncated: bool,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
}

/// The output of a process that the server has kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessLogsResponse {
    /// The process.
    pub process_id: String,
    /// What was asked for.
    pub stream: ProcessLogsStream,
    /// The output, in order.
    pub entries: Vec<ProcessLogEntry>,
}

/// Some output of a process, as the server carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessLogEntry {
    /// Its place in the process's output, over all streams, from 1 on without a hole.
    pub sequence: u64,
    /// Where it came from.
    pub stream: ProcessLogsStream,
    /// When it came, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The output in its encoding; [`bytes`](Self::bytes) has it decoded.
    pub data: String,
    /// `base64`.
    pub encoding: String,
}

impl ProcessLogEntry {
    /// The output itself. Fails with [`Protocol`](crate::ErrorKind::Protocol) where it can't be decoded.
    pub fn bytes(&self) -> Result<Bytes> {
        match self.encoding.as_str() {
            "base64" => BASE64_STANDARD.decode(&self.data).map(Bytes::from).map_err(|error| {
                Error::protocol(format!("output {} is no base64", self.sequence)).with_source(error)
            }),
            "utf8" | "text" => Ok(Bytes::copy_from_slice(self.data.as_bytes())),
            other => Err(Error::protocol(format!(
                "output {} has the encoding {other:?}, which this version doesn't know",
                self.sequence
            ))),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessInputResponse {
    pub(crate) bytes_written: u64,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)]
pub struct TerminalSize {
    /// Characters in a line.
    pub cols: u16,
    /// Lines.
    pub rows: u16,
}
