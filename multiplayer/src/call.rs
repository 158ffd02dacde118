//! The calls of a workspace as they travel: a name, arguments, a JSON answer.

use std::sync::Arc;

use sandbox_agent_sdk::{PermissionReply, SessionRequest};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use sandbox_agent_sdk::persist::RawValue;

use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::member::Member;
use crate::prompt::NewPrompt;

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
    /// Frames that are stored: a page `{"frames": […], "last": 17}`, as many as fit. One that does not fit
    /// alone is there [by its number](Frame::json_within).
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
}

/// Some of the frames that are stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The frames, in order.
    pub frames: Vec<Arc<Frame>>,
    /// The last frame of the line.
    pub last: u64,
}

impl Page {
    /// The page as it travels.
    pub fn json(&self) -> Box<RawValue> {
        self.json_within(usize::MAX)
    }

    /// The page as it travels where no frame may have more bytes than that.
    fn json_within(&self, max_bytes: usize) -> Box<RawValue> {
        let mut text = format!(r#"{{"last":{},"frames":["#, self.last);
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

impl Member {
    /// Makes a call as it travelled, and gives its answer as JSON of at most about `max_bytes`.
    ///
    /// The workspace's [hook](crate::Authorize::allow) is asked first.
    pub async fn call(&self, call: Call, max_bytes: usize) -> Result<Box<RawValue>> {
        self.workspace().allow(self.participant(), &call).await?;
        let answer = match call {
            Call::GetSessionInfo {} => to_raw_value(&self.snapshot()?),
            Call::Prompt(prompt) => to_raw_value(&self.prompt(prompt).await?),
            Call::Cancel { session_id } => to_raw_value(&self.cancel(session_id.as_deref()).await?),
            Call::WithdrawPrompt { prompt_id } => to_raw_value(&self.withdraw(&prompt_id).await?),
            Call::AcceptPrompt { prompt_id } => to_raw_value(&self.accept_proposal(&prompt_id).await?),
            Call::RespondPermission { session_id, permission_id, reply } => {
                let reply = match &*reply {
                    "once" => PermissionReply::Once,
                    "always" => PermissionReply::Always,
                    "reject" => PermissionReply::Reject,
                    _ => PermissionReply::Option(reply),
                };
                to_raw_value(&self.respond_permission(&session_id, &permission_id, reply).await?)
            }
            Call::GetSequencedEvents { since, limit } => {
                let page = self.page(since, limit.unwrap_or(usize::MAX), max_bytes).await?;
                Ok(page.json_within(max_bytes))
            }
            Call::GetFramePart { sequence, offset } => {
                to_raw_value(&self.frame_part(sequence, offset, max_bytes).await?)
            }
            Call::RequestControl {} => to_raw_value(&self.request_control().await?),
            Call::GiveControl { to } => to_raw_value(&self.give_control(&to).await?),
            Call::TakeControl {} => to_raw_value(&self.take_control().await?),
            Call::ReleaseControl { term } => to_raw_value(&self.release_control(term).await?),
            Call::CreateSession { session_id, agent, cwd } => {
                let request = SessionRequest::new(session_id, agent);
                let request = match cwd {
                    Some(cwd) => request.cwd(cwd),
                    None => request,
                };
                to_raw_value(&self.open_session(request).await?)
            }
        };
        answer.map_err(|error| Error::invalid("the answer could not be written as JSON").with_source(error))
    }

    /// A part of a frame's JSON, from this byte on.
    async fn frame_part(&self, sequence: u64, offset: usize, max_bytes: usize) -> Result<Value> {
        let mut frames = self.page(sequence.saturating_sub(1), 1, usize::MAX).await?.frames;
        let frame = frames.pop().filter(|frame| frame.sequence == sequence);
        let frame = frame.ok_or_else(|| Error::not_found(format!("there is no frame {sequence}")))?;
        let json = frame.json();
        let text = std::str::from_utf8(&json).unwrap_or_default();
        // As JSON in JSON, a character may take six.
        let end = floor_char_boundary(text, offset.saturating_add((max_bytes / 6).max(4)));
        let part = text
            .get(offset..end)
            .ok_or_else(|| Error::invalid(format!("frame {sequence} has no character at byte {offset}")))?;
        Ok(json!({ "sequence": sequence, "offset": offset, "total": text.len(), "text": part }))
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
