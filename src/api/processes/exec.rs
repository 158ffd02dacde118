//! A command to its end, with all of its output.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::follow::{FollowLogs, LogEvent, LogOutput, ProcessLogs};
use super::owned::{KILL, Owned};
use super::sequence::LogGap;
use super::types::ProcessLogsStream;
use super::{ProcessCreateRequest, Processes};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// A command to run to its end.
///
/// ```
/// use std::time::Duration;
/// use sandbox_agent_sdk::api::processes::ExecRequest;
///
/// let tests = ExecRequest::new("cargo").args(["test"]).cwd("/repo").timeout(Duration::from_secs(600));
/// # let _ = tests;
/// ```
#[derive(Clone, Debug)]
pub struct ExecRequest {
    process: ProcessCreateRequest,
    timeout: Duration,
    output_bytes: usize,
}

/// Longer than nearly any command; also the longest that the server's own `run` takes.
const TIMEOUT: Duration = Duration::from_secs(300);
/// More than a person reads, and little beside what a program has.
const OUTPUT_BYTES: usize = 16 * 1024 * 1024;

impl ExecRequest {
    /// This program, without arguments; no shell reads them.
    pub fn new(command: impl Into<String>) -> Self {
        ProcessCreateRequest::new(command).into()
    }

    /// An argument; call it again for more.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.process = self.process.arg(arg);
        self
    }

    /// Arguments, after those that are set.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.process = self.process.args(args);
        self
    }

    /// The folder to run it in; the server's own unless set.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.process = self.process.cwd(cwd);
        self
    }

    /// A variable of its environment; call it again for more. The value is in no `Debug` output.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.process = self.process.env(name, value);
        self
    }

    /// How long it may run before it is killed; 300 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How much output it may write, in bytes, both kinds together; 16 MiB unless set. More of it kills it.
    #[must_use]
    pub fn output_bytes(mut self, output_bytes: usize) -> Self {
        self.output_bytes = output_bytes;
        self
    }
}

impl From<ProcessCreateRequest> for ExecRequest {
    fn from(process: ProcessCreateRequest) -> Self {
        Self { process, timeout: TIMEOUT, output_bytes: OUTPUT_BYTES }
    }
}

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecOutput {
    /// Its exit code; none where a signal or the time limit ended it.
    pub exit_code: Option<i32>,
    /// Whether the time limit ended it. The output is what it wrote until then.
    pub timed_out: bool,
    /// Its standard output, or what its terminal showed.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Output that the server dropped before it could be read: none, unless the command wrote faster than the
    /// network carries, for longer than the server's log is.
    pub gaps: Vec<LogGap>,
}

impl ExecOutput {
    /// Whether it ended by itself, with exit code 0.
    pub fn success(&self) -> bool {
        self.exit_code == Some(0) && !self.timed_out
    }
}

impl Processes {
    /// Runs a command to its end and returns all of its output, byte for byte.
    ///
    /// Other than by [`run`](Self::run), output is neither cut nor replaced, and may take as long as
    /// [`timeout`](ExecRequest::timeout) says. Fails with [`TooLarge`](ErrorKind::TooLarge) when there is more
    /// output than [`output_bytes`](ExecRequest::output_bytes). However it ends, and also when the call is
    /// dropped, the process is killed and its record deleted. Bounded by its time,
    /// [`Limits::call`](crate::Limits::call) for starting and ending it, and
    /// [`Limits::reconnect`](crate::Limits::reconnect) while the server is away. Never started twice: on an error,
    /// [`delivery`](Error::delivery) says whether it was started.
    pub async fn exec(&self, request: impl Into<ExecRequest>) -> Result<ExecOutput> {
        let ExecRequest { process, timeout, output_bytes } = request.into();
        let deadline = limits::after(Instant::now(), timeout);
        let (info, owned) = Owned::start(self, process).await?;
        let id = info.id.clone();
        let mut logs = self.follow(info, FollowLogs::new(), Arc::default()).await?;
        let mut output = ExecOutput::default();
        let exited = match timeout_at(deadline, collect(&mut logs, &mut output, output_bytes)).await {
            Ok(exited) => exited,
            Err(_) => {
                output.timed_out = true;
                self.kill(&id, Some(KILL)).await?;
                match timeout_at(Instant::now() + KILL, collect(&mut logs, &mut output, output_bytes)).await {
                    Ok(exited) => exited,
                    Err(_) => Err(Error::protocol(format!("process {id:?} goes on after SIGKILL"))),
                }
            }
        };
        output.exit_code = exited?;
        owned.clear_up().await;
        Ok(output)
    }
}

/// Adds to the output until the process has ended; its exit code.
async fn collect(logs: &mut ProcessLogs, output: &mut ExecOutput, most: usize) -> Result<Option<i32>> {
    while let Some(event) = logs.next().await {
        match event? {
            LogEvent::Output(LogOutput { stream, bytes, .. }) => {
                if output.stdout.len() + output.stderr.len() + bytes.len() > most {
                    let message =
                        format!("the command wrote more than {most} bytes; allow more, or send it to a file");
                    return Err(Error::new(ErrorKind::TooLarge { limit: most }, message));
                }
                let to =
                    if stream == ProcessLogsStream::Stderr { &mut output.stderr } else { &mut output.stdout };
                to.extend_from_slice(&bytes);
            }
            LogEvent::Gap(gap) => output.gaps.push(gap),
            LogEvent::Exited(info) => return Ok(info.exit_code),
        }
    }
    Err(Error::protocol("the output ended before its process"))
}
