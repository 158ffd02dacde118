//! The calls of a workspace as they travel: a name, arguments, a JSON answer.

use std::sync::Arc;

use sandbox_agent_sdk::persist::RawValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::prompt::NewPrompt;
use crate::sandbox::{Command, Content};

/// A call of a member, as JSON `{"action": "prompt", "args": {…}}`.
///
/// Every host takes the same ones; the answer is JSON as each says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", content = "args", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Call {
    /// What the workspace is like: a [`Snapshot`](crate::Snapshot).
    GetSessionInfo {},
    /// Says something to an agent; gives an [`Accepted`](crate::Accepted) at once.
    Prompt(NewPrompt),
    /// Cancels the turn that runs.
    Cancel {
        /// The session; the first one unless told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    },
    /// Takes a prompt back, or cancels its turn.
    WithdrawPrompt {
        /// Which.
        prompt_id: String,
    },
    /// Lets a proposal go to the agent.
    AcceptPrompt {
        /// Which.
        prompt_id: String,
    },
    /// Answers a permission.
    RespondPermission {
        /// The session that asks.
        session_id: String,
        /// Which request.
        permission_id: String,
        /// `once`, `always`, `reject`, or the id of one of its options.
        reply: String,
    },
    /// Frames that are stored: a page `{"line": "…", "last": 17, "frames": […]}`, as many as fit.
    GetSequencedEvents {
        /// After this frame; 0 is before the first.
        since: u64,
        /// At most so many; 1,000 unless told, and at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    /// A part of a frame that is too large for one message:
    /// `{"sequence": 17, "offset": 0, "total": 3000000, "text": "…"}`, cut between characters.
    GetFramePart {
        /// The frame.
        sequence: u64,
        /// The first place that it stands for, as it was announced; the same as `sequence` unless told.
        /// A frame that is no longer so is [`NotFound`](crate::ErrorKind::NotFound): a page has what is there now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
        /// The first byte of its JSON.
        #[serde(default)]
        offset: usize,
    },
    /// Asks for control; gives the [`Control`](crate::Control) that comes of it, as the next three do.
    RequestControl {},
    /// Hands control over.
    GiveControl {
        /// To whom.
        to: String,
    },
    /// Takes control.
    TakeControl {},
    /// Lets control go.
    ReleaseControl {
        /// Only if this term is still in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term: Option<u64>,
    },
    /// Opens another session.
    CreateSession {
        /// Its id.
        session_id: String,
        /// Its agent.
        agent: String,
        /// Where the agent works.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
    },
    /// What is in a folder of the sandbox: a list of its entries.
    ListFiles {
        /// The folder.
        path: String,
    },
    /// The content of a file: `{"text": "…"}` or `{"base64": "…"}`.
    ReadFile {
        /// The file.
        path: String,
    },
    /// Writes a file.
    WriteFile {
        /// The file.
        path: String,
        /// What is to be in it.
        content: Content,
    },
    /// Deletes a file, or a folder with all that is in it.
    DeleteFile {
        /// Which.
        path: String,
    },
    /// Runs a command to its end; gives a [`CommandOutput`](crate::CommandOutput).
    Exec(Command),
    /// Starts a process that everybody sees; gives its id.
    StartProcess(Command),
    /// Writes to a process, or types into its terminal.
    WriteProcess {
        /// The process.
        process_id: String,
        /// What to write.
        content: Content,
    },
    /// Sets the size of a terminal.
    ResizeProcess {
        /// The process.
        process_id: String,
        /// Its columns.
        columns: u16,
        /// Its rows.
        rows: u16,
    },
    /// Ends a process.
    EndProcess {
        /// The process.
        process_id: String,
        /// At once, rather than by asking it to.
        #[serde(default)]
        kill: bool,
    },
}

/// Some of the frames that are stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The frames, in order.
    pub frames: Vec<Arc<Frame>>,
    /// The last frame of the line.
    pub last: u64,
    /// [Which line](crate::Snapshot::line) it is.
    pub line: String,
}

impl Page {
    /// The page as it travels, where no frame may have more bytes than that.
    pub fn json(&self, max_bytes: usize) -> Box<RawValue> {
        let line = serde_json::Value::from(&*self.line);
        let mut text = format!(r#"{{"line":{line},"last":{},"frames":["#, self.last);
        for (at, frame) in self.frames.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(&String::from_utf8_lossy(&frame.json_within(max_bytes)));
        }
        text.push_str("]}");
        RawValue::from_string(text).unwrap_or_default()
    }
}

impl Call {
    /// The call with this name and these arguments. A name or arguments that are not known are
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput).
    pub fn read(action: &str, args: Value) -> Result<Self> {
        let args = if args.is_null() { json!({}) } else { args };
        serde_json::from_value(json!({ "action": action, "args": args }))
            .map_err(|error| Error::invalid(format!("the call {action:?} can't be understood: {error}")))
    }

    /// Its name.
    pub fn action(&self) -> &'static str {
        match self {
            Self::GetSessionInfo {} => "getSessionInfo",
            Self::Prompt(_) => "prompt",
            Self::Cancel { .. } => "cancel",
            Self::WithdrawPrompt { .. } => "withdrawPrompt",
            Self::AcceptPrompt { .. } => "acceptPrompt",
            Self::RespondPermission { .. } => "respondPermission",
            Self::GetSequencedEvents { .. } => "getSequencedEvents",
            Self::GetFramePart { .. } => "getFramePart",
            Self::RequestControl {} => "requestControl",
            Self::GiveControl { .. } => "giveControl",
            Self::TakeControl {} => "takeControl",
            Self::ReleaseControl { .. } => "releaseControl",
            Self::CreateSession { .. } => "createSession",
            Self::ListFiles { .. } => "listFiles",
            Self::ReadFile { .. } => "readFile",
            Self::WriteFile { .. } => "writeFile",
            Self::DeleteFile { .. } => "deleteFile",
            Self::Exec(_) => "exec",
            Self::StartProcess(_) => "startProcess",
            Self::WriteProcess { .. } => "writeProcess",
            Self::ResizeProcess { .. } => "resizeProcess",
            Self::EndProcess { .. } => "endProcess",
        }
    }

    /// Its arguments.
    pub fn args(&self) -> Value {
        serde_json::to_value(self)
            .ok()
            .and_then(|mut call| Some(call.get_mut("args")?.take()))
            .unwrap_or_default()
    }
}
