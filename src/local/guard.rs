//! A server that can't outlive its owner.
//!
//! A shell runs the server and reads from a pipe, whose other end only this process has. However this process ends,
//! the system closes that end; the shell then ends the server, with all that came of it. It finds that by its process
//! group, and on Linux by a marker in the environment, which also those have that left the group.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::sandbox::{SandboxError, SandboxErrorKind};

const SCRIPT: &str = include_str!("guard.sh");
/// What all that came of a server has in its environment.
const MARKER: &str = "SANDBOX_AGENT_LOCAL";
/// The shell gives processes 2 s to end by themselves, and kills them within some more. Agents that the server
/// installed take time to remove.
const END: Duration = Duration::from_secs(20);

/// How a server is to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Without time to end by itself.
    pub(super) at_once: bool,
    /// With its folder left as it is.
    pub(super) keep: bool,
}

/// What is guarded.
pub(super) struct Guarded<'a> {
    pub(super) id: &'a str,
    pub(super) command: Vec<&'a OsStr>,
    pub(super) env: Vec<(&'a OsStr, &'a OsStr)>,
    pub(super) cwd: &'a Path,
    pub(super) log: &'a Path,
    /// Removed with the server.
    pub(super) folder: &'a Path,
}

/// Ends the server, and whatever it started, when it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Child,
    lifeline: Option<ChildStdin>,
    ended: watch::Receiver<Option<String>>,
}

impl Guard {
    pub(super) fn start(what: &Guarded<'_>) -> Result<Self, SandboxError> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "sandbox-agent-guard"])
            .arg(format!("{MARKER}={}", what.id))
            .args([what.log, what.folder])
            .args(&what.command)
            .envs(what.env.iter().copied())
            // Of a server around this one, which would take the shell for its own and end it too early.
            .env_remove(MARKER)
            .current_dir(what.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A terminal's interrupt is for the owner.
            .process_group(0);
        let mut shell = command.spawn().map_err(|error| not_started(what.cwd, error))?;
        let (tell, ended) = watch::channel(None);
        if let Some(stdout) = shell.stdout.take() {
            tokio::spawn(async move { tell.send_replace(Some(status(stdout).await)) });
        }
        Ok(Self { lifeline: shell.stdin.take(), shell, ended })
    }

    /// How the server ended, when it has.
    pub(super) fn has_ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Waits until the server ended by itself.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let told = ended.wait_for(Option::is_some).await.map(|told| told.clone());
        told.ok().flatten().unwrap_or_else(|| "its guard was gone".to_owned())
    }

    /// Ends the server and what it started, and waits until nothing of it is there. Within 20 s; dropped, it goes on.
    pub(super) async fn end(mut self, how: End) -> Result<(), SandboxError> {
        let word = match (how.at_once, how.keep) {
            (false, false) => "",
            (true, false) => "kill\n",
            (false, true) => "keep\n",
            (true, true) => "keep\nkill\n",
        };
        if let Some(mut lifeline) = self.lifeline.take() {
            // A shell that is gone reads nothing, and has ended what it guarded.
            let _ = lifeline.write_all(word.as_bytes()).await;
        }
        match timeout(END, self.shell.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                Err(SandboxError::new(SandboxErrorKind::Other, "it can't be known whether the server ended")
                    .with_source(error))
            }
            Err(_) => {
                let message = format!("the server was not gone within {END:?}; its end goes on");
                Err(SandboxError::new(SandboxErrorKind::Other, message))
            }
        }
    }
}

/// The exit code, which the shell prints when there is one.
async fn status(stdout: ChildStdout) -> String {
    match BufReader::new(stdout).lines().next_line().await {
        Ok(Some(code)) => format!("it exited with {code}"),
        _ => "its guard was killed".to_owned(),
    }
}

fn not_started(cwd: &Path, error: io::Error) -> SandboxError {
    let message = format!(
        "the server can't be started: /bin/sh must be there, and the folder {} that it starts in",
        cwd.display()
    );
    SandboxError::new(SandboxErrorKind::Other, message).with_source(error)
}
