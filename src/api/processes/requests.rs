//! What the server is asked of processes.

use serde::{Deserialize, Serialize};

use super::types::{ProcessLogsStream, ProcessOwner};
use crate::api::values::{Secrets, options};

/// A long-lived process to start.
///
/// ```
/// use sandbox_agent_sdk::api::processes::ProcessCreateRequest;
///
/// let server = ProcessCreateRequest::new("npm").args(["run", "dev"]).cwd("/repo").env("PORT", "3000");
/// let shell = ProcessCreateRequest::new("bash").tty(true);
/// # let _ = (server, shell);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessCreateRequest {
    /// The program: a path, or a name to look for in the server's `PATH`.
    pub command: String,
    /// Its arguments; no shell reads them.
    #[serde(default)]
    pub args: Vec<String>,
    /// The folder to start it in; the server's own unless set.
    pub cwd: Option<String>,
    /// Its environment beside what the server has.
    #[serde(default)]
    pub env: Secrets,
    /// Whether it gets a terminal.
    pub tty: Option<bool>,
    /// Whether it takes input; one with a terminal does.
    pub interactive: Option<bool>,
}

impl ProcessCreateRequest {
    /// This program, without arguments.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            cwd: None,
            env: Secrets::default(),
            tty: None,
            interactive: None,
        }
    }

    options! {
        /// The folder to start it in; the server's own unless set.
        cwd: String,
        /// Whether it gets a terminal; not unless set.
        tty: bool,
        /// Whether it takes input; one with a terminal does.
        interactive: bool,
    }
}

/// A one-off command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessRunRequest {
    /// The program: a path, or a name to look for in the server's `PATH`.
    pub command: String,
    /// Its arguments; no shell reads them.
    #[serde(default)]
    pub args: Vec<String>,
    /// The folder to run it in; the server's own unless set.
    pub cwd: Option<String>,
    /// Its environment beside what the server has.
    #[serde(default)]
    pub env: Secrets,
    /// How long it may run, in milliseconds; the server has a default and a maximum.
    pub timeout_ms: Option<u64>,
    /// How much of each output is kept, in bytes; the server has a default.
    pub max_output_bytes: Option<u64>,
}

impl ProcessRunRequest {
    /// This program, without arguments.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            cwd: None,
            env: Secrets::default(),
            timeout_ms: None,
            max_output_bytes: None,
        }
    }

    options! {
        /// The folder to run it in; the server's own unless set.
        cwd: String,
        /// How long it may run, in milliseconds; 30 s unless set, 300 s at most by default.
        timeout_ms: u64,
        /// How much of each output is kept, in bytes; 1 MiB unless set.
        max_output_bytes: u64,
    }
}

macro_rules! command_line {
    ($($name:ident)*) => {
        $(
            impl $name {
                /// An argument; call it again for more.
                #[must_use]
                pub fn arg(mut self, arg: impl Into<String>) -> Self {
                    self.args.push(arg.into());
                    self
                }

                /// Arguments, after those that are set.
                #[must_use]
                pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
                    self.args.extend(args.into_iter().map(Into::into));
                    self
                }

                /// A variable of its environment; call it again for more. The value is in no `Debug` output.
                #[must_use]
                pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                    self.env.0.insert(name.into(), value.into());
                    self
                }
            }
        )*
    };
}

command_line! { ProcessCreateRequest ProcessRunRequest }

/// Which output of a process to get, of what the server has kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessLogsQuery {
    /// Where it came from; all unless set.
    pub stream: Option<ProcessLogsStream>,
    /// The newest entries alone, so many.
    pub tail: Option<u64>,
    /// Only what came after this sequence.
    pub since: Option<u64>,
    /// Whether the answer goes on as events; [`follow_logs`](super::Processes::follow_logs) sets it.
    pub(crate) follow: Option<bool>,
}

impl ProcessLogsQuery {
    /// All of it.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// Where it came from; all unless set.
        stream: ProcessLogsStream,
        /// The newest entries alone, so many.
        tail: u64,
        /// Only what came after this sequence.
        since: u64,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessListQuery {
    pub(crate) owner: Option<ProcessOwner>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessSignalQuery {
    pub(crate) wait_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessInputRequest {
    pub(crate) data: String,
    pub(crate) encoding: Option<String>,
}
