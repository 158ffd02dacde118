//! From a process in the sandbox to the line: what it writes, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::{FutureExt, StreamExt};
use sandbox_agent_sdk::ErrorKind as SdkErrorKind;
use sandbox_agent_sdk::api::processes::{
    FollowLogs, LogEvent, LogOutput, ProcessInfo, ProcessLogs, ProcessLogsStream,
};
use tokio::time::sleep;

use super::Inner;
use crate::error::Result;
use crate::frame::{FrameBody, Output, ProcessState};
use crate::snapshot::Snapshot;

/// How many bytes of output one frame has.
const BYTES: usize = 64 * 1024;

impl Inner {
    /// Shows a process that was started, and from then on all that it writes.
    pub(crate) async fn watch_process(self: &Arc<Self>, info: ProcessInfo) -> Result<()> {
        let state = ProcessState {
            process_id: info.id,
            pid: info.pid,
            command: [vec![info.command], info.args].concat(),
            tty: info.tty,
            running: true,
            exit_code: None,
            last_output: 0,
        };
        self.line.append(FrameBody::ProcessState(state.clone())).await?;
        self.tasks.spawn(follow(self.clone(), state));
        Ok(())
    }

    /// Goes on with the processes that ran when the workspace was last open.
    pub(super) fn take_up_processes(self: &Arc<Self>, before: &Snapshot) {
        for state in before.processes.values().filter(|state| state.running) {
            self.tasks.spawn(follow(self.clone(), state.clone()));
        }
    }
}

async fn follow(inner: Arc<Inner>, state: ProcessState) {
    let stop = inner.stop.clone();
    let id = state.process_id.clone();
    let told = tokio::select! {
        told = tell(&inner, state) => told,
        () = stop.cancelled() => return,
    };
    if let Err(error) = told {
        tracing::debug!(process = %id, %error, "a process's output goes no further");
    }
}

async fn tell(inner: &Inner, mut state: ProcessState) -> Result<()> {
    let mut pauses = pauses();
    loop {
        let last = inner.line.tail.look(|now| now.processes.get(&state.process_id).map(|it| it.last_output));
        state.last_output = last.unwrap_or(state.last_output);
        let from = FollowLogs::new().since(state.last_output);
        let ended = match inner.sdk.processes().follow_logs(&state.process_id, from).await {
            Ok(logs) => tell_output(inner, &state, logs).await?,
            Err(error) => Err(error),
        };
        match ended {
            Ok(info) => state.exit_code = info.exit_code,
            // The SDK was closed: whoever opens the workspace next looks again.
            Err(error) if *error.kind() == SdkErrorKind::Closed => return Ok(()),
            Err(error) if is_gone(&error) => {}
            // The sandbox is away; that says nothing of the process.
            Err(error) => {
                tracing::debug!(process = %state.process_id, %error, "its output is away; trying again");
                sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
                continue;
            }
        }
        state.running = false;
        return inner.line.append(FrameBody::ProcessState(state)).await.map(drop);
    }
}

/// Whether the server says that there is no such process.
fn is_gone(error: &sandbox_agent_sdk::Error) -> bool {
    match error.kind() {
        SdkErrorKind::ProcessGone => true,
        SdkErrorKind::Refused(problem) => problem.status == 404,
        _ => false,
    }
}

/// Between tries at a sandbox that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Puts all output into the line, and gives the process as it ended.
async fn tell_output(
    inner: &Inner,
    process: &ProcessState,
    mut logs: ProcessLogs,
) -> Result<sandbox_agent_sdk::Result<ProcessInfo>> {
    let mut next = None;
    loop {
        let event = match next.take() {
            Some(event) => event,
            None => logs.next().await,
        };
        let output = match event {
            Some(Ok(LogEvent::Output(first))) => {
                let mut output = Collected::new(first);
                while output.bytes.len() < BYTES {
                    match logs.next().now_or_never() {
                        Some(Some(Ok(LogEvent::Output(more)))) if output.goes_on_with(&more) => {
                            output.add(&more);
                        }
                        other => {
                            next = other;
                            break;
                        }
                    }
                }
                output.frame(process)
            }
            Some(Ok(LogEvent::Gap(gap))) => Output {
                process_id: process.process_id.clone(),
                pid: process.pid,
                stream: None,
                data: String::new(),
                sequences: (gap.after + 1, gap.before.saturating_sub(1)),
                lost: true,
            },
            Some(Ok(LogEvent::Exited(info))) => return Ok(Ok(info)),
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Ok(Err(error)),
            // The stream ends behind the process's end, which was given.
            None => return Ok(inner.sdk.processes().get(&process.process_id).await),
        };
        let body = if process.tty { FrameBody::ShellData(output) } else { FrameBody::ProcessOutput(output) };
        inner.line.append(body).await?;
    }
}

/// Output that came at once, of one stream.
struct Collected {
    first: u64,
    last: u64,
    stream: ProcessLogsStream,
    bytes: Vec<u8>,
}

impl Collected {
    fn new(output: LogOutput) -> Self {
        let LogOutput { sequence, stream, bytes, .. } = output;
        Self { first: sequence, last: sequence, stream, bytes: bytes.to_vec() }
    }

    fn goes_on_with(&self, more: &LogOutput) -> bool {
        more.stream == self.stream && more.sequence == self.last + 1
    }

    fn add(&mut self, more: &LogOutput) {
        self.bytes.extend_from_slice(&more.bytes);
        self.last = more.sequence;
    }

    fn frame(self, process: &ProcessState) -> Output {
        Output {
            process_id: process.process_id.clone(),
            pid: process.pid,
            stream: Some(self.stream.as_str().to_owned()),
            data: BASE64_STANDARD.encode(self.bytes),
            sequences: (self.first, self.last),
            lost: false,
        }
    }
}
