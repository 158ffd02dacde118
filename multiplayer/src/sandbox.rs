//! What members ask of the sandbox itself: files, commands, processes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sandbox_agent_sdk::api::fs::FsEntry;
use sandbox_agent_sdk::api::processes::{ExecRequest, ProcessCreateRequest, ProcessInfo, TerminalSize};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::member::Member;
use crate::participant::Rights;

/// Bytes as they travel: as text where they are some, else as base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// UTF-8.
    Text(String),
    /// Anything.
    Base64(String),
}

impl Content {
    /// These bytes.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        match String::from_utf8(bytes.into()) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64(BASE64_STANDARD.encode(error.as_bytes())),
        }
    }

    /// The bytes that it stands for.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::Base64(base64) => BASE64_STANDARD
                .decode(base64)
                .map_err(|error| Error::invalid("the content is no base64").with_source(error)),
        }
    }
}

/// A command for the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Command {
    /// The program; no shell reads it.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// The folder to run it in; the server's own unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Whether it gets a terminal.
    #[serde(default)]
    pub tty: bool,
}

impl Command {
    /// This program, without arguments.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), args: Vec::new(), cwd: None, tty: false }
    }

    /// Its arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// The folder to run it in.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// With a terminal.
    #[must_use]
    pub fn tty(mut self) -> Self {
        self.tty = true;
        self
    }

    fn request(self) -> ProcessCreateRequest {
        let request = ProcessCreateRequest::new(self.command).args(self.args);
        let request = if self.tty { request.tty(true) } else { request.interactive(true) };
        match self.cwd {
            Some(cwd) => request.cwd(cwd),
            None => request,
        }
    }
}

/// What became of a command that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CommandOutput {
    /// Its exit code; none where a signal ended it.
    pub exit_code: Option<i32>,
    /// Its standard output.
    pub stdout: Content,
    /// Its standard error.
    pub stderr: Content,
}

/// The sandbox's files and processes. Each call needs [`Rights::SANDBOX`], and is bounded as the SDK's own is.
impl Member {
    /// What is in a folder.
    pub async fn list_files(&self, path: &str) -> Result<Vec<FsEntry>> {
        self.may_use_sandbox()?;
        Ok(self.workspace().sdk().fs().entries(path).await?)
    }

    /// The content of a file.
    pub async fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        self.may_use_sandbox()?;
        Ok(self.workspace().sdk().fs().read(path).await?.to_vec())
    }

    /// Writes a file, whole, with its folders where they are missing.
    pub async fn write_file(&self, path: &str, content: Vec<u8>) -> Result<()> {
        self.may_use_sandbox()?;
        self.workspace().sdk().fs().write(path, content).await?;
        Ok(())
    }

    /// Deletes a file, or a folder with all that is in it.
    pub async fn delete_file(&self, path: &str) -> Result<()> {
        self.may_use_sandbox()?;
        Ok(self.workspace().sdk().fs().delete(path, true).await?)
    }

    /// Runs a command to its end, which nobody else sees; its output has at most 256 KiB.
    pub async fn exec(&self, command: Command) -> Result<CommandOutput> {
        self.may_use_sandbox()?;
        let request = ExecRequest::from(command.request()).output_bytes(256 * 1024);
        let output = self.workspace().sdk().processes().exec(request).await?;
        if output.timed_out {
            return Err(Error::new(ErrorKind::TimedOut, "the command ran too long; start it as a process"));
        }
        let (stdout, stderr) = (Content::of(output.stdout), Content::of(output.stderr));
        Ok(CommandOutput { exit_code: output.exit_code, stdout, stderr })
    }

    /// Starts a process, whose output everybody sees: [`ProcessOutput`](crate::FrameBody::ProcessOutput) frames, or
    /// [`ShellData`](crate::FrameBody::ShellData) with a terminal. Gives the server's id of it.
    pub async fn start_process(&self, command: Command) -> Result<String> {
        self.may_use_sandbox()?;
        let workspace = self.workspace().clone();
        // Apart, so that a process that was started is watched also when the call is dropped.
        let starting = tokio::spawn(async move {
            let info: ProcessInfo = workspace.sdk().processes().create(&command.request()).await?;
            let id = info.id.clone();
            workspace.inner.watch_process(info).await?;
            Ok(id)
        });
        starting.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    /// Writes to a process, or types into its terminal.
    pub async fn write_process(&self, process_id: &str, input: &[u8]) -> Result<()> {
        self.may_use_sandbox()?;
        self.workspace().sdk().processes().input(process_id, input).await?;
        Ok(())
    }

    /// Sets the size of a process's terminal.
    pub async fn resize_process(&self, process_id: &str, columns: u16, rows: u16) -> Result<()> {
        self.may_use_sandbox()?;
        let size = TerminalSize { cols: columns, rows };
        self.workspace().sdk().processes().resize(process_id, size).await?;
        Ok(())
    }

    /// Ends a process: asks it to, or kills it.
    pub async fn end_process(&self, process_id: &str, kill: bool) -> Result<()> {
        self.may_use_sandbox()?;
        let processes = self.workspace().sdk().processes();
        if kill {
            processes.kill(process_id, None).await?;
        } else {
            processes.stop(process_id, None).await?;
        }
        Ok(())
    }

    fn may_use_sandbox(&self) -> Result<()> {
        self.need(Rights::can_use_sandbox, "use the sandbox's files and processes")
    }
}
