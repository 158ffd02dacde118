//! Frames: everything that happens in a workspace, as one numbered line.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sandbox_agent_sdk::acp_schema::{PermissionOption, ToolCallUpdate};
use sandbox_agent_sdk::persist::RawValue;
use sandbox_agent_sdk::{SessionEvent, SessionState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::Control;
use crate::error::Error;
use crate::participant::Person;
use crate::prompt::PromptState;

/// One thing that happened, and its place in the workspace's line.
///
/// Shared, never copied: each subscriber gets the same one. As JSON it is
/// `{"sequence": 17, "at": 1730000000000, "type": "chat.user", "data": {…}}`, made
/// [once](Self::json) however many clients it goes to.
pub struct Frame {
    /// The place in the line: 1, 2, 3, … A frame that stands for a run of places has the last one.
    pub sequence: u64,
    /// The first place that it stands for; the same as `sequence` but for events that were folded, and
    /// for what was evicted.
    pub from: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: i64,
    /// What happened.
    pub body: FrameBody,
    json: OnceLock<Bytes>,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FrameBody {
    /// `session.event`: an envelope of a session was stored.
    SessionEvent(Arc<SessionEvent>),
    /// `chat.user`: somebody said something to an agent.
    ChatUser(ChatUser),
    /// `permission.requested`: an agent asks for a permission.
    PermissionRequested(Box<PermissionRequested>),
    /// `permission.resolved`: it was answered, or its turn ended.
    PermissionResolved(PermissionResolved),
    /// `process.output`: a process in the sandbox wrote something.
    ProcessOutput(Output),
    /// `shell.data`: a terminal in the sandbox wrote something.
    ShellData(Output),
    /// `process.state`: a process was started, or has ended.
    ProcessState(ProcessState),
    /// `presence`: somebody came or went.
    Presence(Presence),
    /// `control`: who drives, and who asks to.
    Control(Control),
    /// `state`: what a session does.
    State(Box<State>),
    /// `evicted`: the places from `from` to `sequence` are no longer stored.
    Evicted,
    /// A kind that this version does not know, as it came.
    Other {
        /// The kind.
        kind: String,
        /// What it says.
        data: Value,
    },
}

/// Somebody said something to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatUser {
    /// The session that it was said in.
    pub session_id: String,
    /// The id that the client made for it.
    pub prompt_id: String,
    /// Who said it.
    pub user_id: String,
    /// Their name, where they gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What they said.
    pub text: String,
    /// Whether it waits for somebody who drives to accept it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proposed: bool,
    /// When, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

/// An agent asks for a permission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PermissionRequested {
    /// The session.
    pub session_id: String,
    /// What to answer it by.
    pub permission_id: String,
    /// The index of the session's event that asked.
    pub event_index: u64,
    /// What the agent wants to do.
    pub tool_call: ToolCallUpdate,
    /// The answers that the agent takes.
    pub options: Vec<PermissionOption>,
}

/// A permission was answered, or its turn ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PermissionResolved {
    /// The session.
    pub session_id: String,
    /// Which request.
    pub permission_id: String,
    /// The option that was chosen; `None` where nobody of this workspace chose one: the turn ended, or
    /// somebody answered elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option_id: Option<String>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What a process or a terminal wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Output {
    /// The server's id of the process.
    pub process_id: String,
    /// The operating system's, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// `stdout`, `stderr` or `pty`; none where output is lost, for nobody knows whose it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The bytes, as base64.
    #[serde(default)]
    pub data: String,
    /// The server's numbers of the first and the last piece of output that this is made of.
    pub sequences: (u64, u64),
    /// Whether this stands for output that the server dropped before it could be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// A process that was started in the workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessState {
    /// The server's id of it.
    pub process_id: String,
    /// The operating system's, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether it has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether it runs.
    pub running: bool,
    /// Its exit code; none while it runs, and where a signal or the server's end ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The server's number of its newest piece of output that is in the line.
    #[serde(default)]
    pub last_output: u64,
}

/// Somebody came or went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Presence {
    /// Everybody who is here now.
    pub here: Vec<Person>,
}

/// What a session does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct State {
    /// The session.
    pub session_id: String,
    /// Its agent.
    pub agent: String,
    /// What it does.
    pub state: Activity,
    /// A prompt that got further, where that is what this frame tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptState>,
}

/// What a session does, as [`SessionState`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activity {
    /// No agent process; the next prompt starts one.
    Dormant,
    /// An agent process is being started or resumed.
    Connecting,
    /// Ready for a prompt.
    Idle,
    /// A turn is running.
    Running,
    /// A turn waits for a permission.
    WaitingForPermission,
    /// The connection to the sandbox is broken and being made again.
    Lost,
    /// The session was closed, or its store failed.
    Closed,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

impl From<SessionState> for Activity {
    fn from(state: SessionState) -> Self {
        match state {
            SessionState::Dormant => Self::Dormant,
            SessionState::Connecting => Self::Connecting,
            SessionState::Idle => Self::Idle,
            SessionState::Running => Self::Running,
            SessionState::WaitingForPermission => Self::WaitingForPermission,
            SessionState::Lost => Self::Lost,
            SessionState::Closed => Self::Closed,
            _ => Self::Unknown,
        }
    }
}

impl FrameBody {
    /// The kind's name in JSON.
    pub fn kind(&self) -> &str {
        match self {
            Self::SessionEvent(_) => "session.event",
            Self::ChatUser(_) => "chat.user",
            Self::PermissionRequested(_) => "permission.requested",
            Self::PermissionResolved(_) => "permission.resolved",
            Self::ProcessOutput(_) => "process.output",
            Self::ShellData(_) => "shell.data",
            Self::ProcessState(_) => "process.state",
            Self::Presence(_) => "presence",
            Self::Control(_) => "control",
            Self::State(_) => "state",
            Self::Evicted => "evicted",
            Self::Other { kind, .. } => kind,
        }
    }

    /// What it says, as JSON.
    pub(crate) fn data(&self) -> Result<Box<RawValue>, serde_json::Error> {
        fn raw<T: Serialize>(data: &T) -> Result<Box<RawValue>, serde_json::Error> {
            serde_json::value::to_raw_value(data)
        }
        match self {
            Self::SessionEvent(event) => raw(&**event),
            Self::ChatUser(data) => raw(data),
            Self::PermissionRequested(data) => raw(data),
            Self::PermissionResolved(data) => raw(data),
            Self::ProcessOutput(data) | Self::ShellData(data) => raw(data),
            Self::ProcessState(data) => raw(data),
            Self::Presence(data) => raw(data),
            Self::Control(data) => raw(data),
            Self::State(data) => raw(data),
            Self::Evicted => raw(&serde_json::json!({})),
            Self::Other { data, .. } => raw(data),
        }
    }

    /// Reads what [`kind`](Self::kind) and `data` say. A kind that is not known, or that says something
    /// else than this version expects, is [`Other`](Self::Other).
    pub(crate) fn read(kind: &str, data: &RawValue) -> Self {
        fn part<T: for<'a> Deserialize<'a>>(data: &RawValue, body: fn(T) -> FrameBody) -> Option<FrameBody> {
            serde_json::from_str(data.get()).ok().map(body)
        }
        let known = match kind {
            "session.event" => part(data, |event: SessionEvent| Self::SessionEvent(Arc::new(event))),
            "chat.user" => part(data, Self::ChatUser),
            "permission.requested" => part(data, Self::PermissionRequested),
            "permission.resolved" => part(data, Self::PermissionResolved),
            "process.output" => part(data, Self::ProcessOutput),
            "shell.data" => part(data, Self::ShellData),
            "process.state" => part(data, Self::ProcessState),
            "presence" => part(data, Self::Presence),
            "control" => part(data, Self::Control),
            "state" => part(data, Self::State),
            "evicted" => Some(Self::Evicted),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other {
            kind: kind.to_owned(),
            data: serde_json::from_str(data.get()).unwrap_or_default(),
        })
    }

    /// About how many bytes it takes in memory.
    fn size(&self) -> usize {
        match self {
            Self::SessionEvent(event) => event.size(),
            Self::ChatUser(chat) => chat.text.len(),
            Self::ProcessOutput(output) | Self::ShellData(output) => output.data.len(),
            Self::Presence(presence) => people(&presence.here),
            Self::Control(control) => people(&control.drivers) + people(&control.requests),
            // What a tool call holds is an agent's, and may be large.
            Self::PermissionRequested(asked) => serde_json::to_string(asked).map_or(1024, |text| text.len()),
            // What is left is small, or bounded by what a message may have.
            _ => 1024,
        }
    }
}

/// About how many bytes a list of people takes.
fn people(people: &[Person]) -> usize {
    let each = |person: &Person| person.id.len() + person.name.as_ref().map_or(0, String::len);
    people.iter().map(|person| size_of::<Person>() + each(person)).sum()
}

impl Frame {
    pub(crate) fn new(sequence: u64, at: i64, body: FrameBody) -> Self {
        Self::standing_from(sequence, sequence, at, body)
    }

    pub(crate) fn standing_from(from: u64, sequence: u64, at: i64, body: FrameBody) -> Self {
        Self { sequence, from, at, body, json: OnceLock::new() }
    }

    /// The frame as JSON, made at the first call and shared by all that follow.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| self.print().unwrap_or_default().into()).clone()
    }

    /// The frame as JSON where that has at most so many bytes, and else what stands for it:
    /// `{"sequence": 17, "type": "large", "data": {"bytes": 3000000}}`. The frame itself then comes
    /// [in parts](crate::Call::GetFramePart).
    pub fn json_within(&self, max_bytes: usize) -> Bytes {
        let json = self.json();
        if json.len() <= max_bytes {
            return json;
        }
        let data = serde_json::json!({ "bytes": json.len() });
        let stub = FrameBody::Other { kind: "large".to_owned(), data };
        Self::standing_from(self.from, self.sequence, self.at, stub).json()
    }

    /// Reads a frame's JSON. What is not known is kept; only what is no frame at all is
    /// [`Protocol`](crate::ErrorKind::Protocol).
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let parts: Parts<'_> = serde_json::from_str(json)
            .map_err(|error| Error::protocol("what was received is no frame").with_source(error))?;
        let from = parts.from.unwrap_or(parts.sequence).min(parts.sequence);
        Ok(Self::standing_from(from, parts.sequence, parts.at, FrameBody::read(&parts.kind, parts.data)))
    }

    /// About how many bytes it takes in memory, its JSON included.
    pub(crate) fn size(&self) -> usize {
        // Its JSON is about as long as what it says.
        size_of::<Self>() + 2 * self.body.size()
    }

    fn print(&self) -> Result<Vec<u8>, serde_json::Error> {
        let data = self.body.data()?;
        let from = (self.from != self.sequence).then_some(self.from);
        let kind = self.body.kind().into();
        serde_json::to_vec(&Parts { sequence: self.sequence, from, at: self.at, kind, data: &data })
    }
}

/// A frame's JSON. Read by parts, because an event's payload has to stay as it is written.
#[derive(Serialize, Deserialize)]
struct Parts<'a> {
    sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(default)]
    at: i64,
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("sequence", &self.sequence)
            .field("from", &self.from)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
