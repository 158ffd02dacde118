//! Typed views of a stored envelope, made when asked for.

use sandbox_agent_persist::{RawValue, Sender, SessionEvent, envelope};
use serde::Deserialize;
use serde_json::Value;

use crate::acp::Gap;
use crate::acp_types::{
    ContentBlock, PermissionOption, PromptRequest, RequestPermissionRequest, SessionNotification,
    SessionUpdate,
};

/// What a stored envelope says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventView {
    /// The prompt that began a turn.
    Prompt(PromptRequest),
    /// An update of the agent: message text, a tool call, a plan, …
    Update(SessionNotification),
    /// The agent asks for a permission.
    PermissionRequest(RequestPermissionRequest),
    /// The agent asks its client for something else: a file, a terminal, an answer, an extension.
    Request {
        /// What it asks for.
        method: String,
        /// With which parameters, if any.
        params: Option<Box<RawValue>>,
    },
    /// A notification that is not known here, of either side: mostly an extension's.
    Notification {
        /// What it tells.
        method: String,
        /// With which parameters, if any.
        params: Option<Box<RawValue>>,
    },
    /// Events that were lost.
    Gap(Gap),
    /// Anything else, or what this version can't read; the payload has it whole.
    Other,
}

/// What can be read from a [`SessionEvent`].
pub trait SessionEventExt {
    /// Parses the payload. It never fails: what is unknown is [`EventView::Other`].
    fn view(&self) -> EventView;

    /// The text of an agent's message chunk.
    fn agent_text(&self) -> Option<String>;
}

impl SessionEventExt for SessionEvent {
    fn view(&self) -> EventView {
        match envelope::kind(&self.payload) {
            envelope::Kind::Request { method, .. } if method == envelope::PROMPT => {
                params(&self.payload).map_or(EventView::Other, EventView::Prompt)
            }
            envelope::Kind::Request { method, .. } if method == "session/request_permission" => {
                permission(&self.payload).map_or(EventView::Other, EventView::PermissionRequest)
            }
            envelope::Kind::Notification { method } if method == "session/update" => {
                params(&self.payload).map_or(EventView::Other, EventView::Update)
            }
            envelope::Kind::Request { method, .. } if self.sender == Sender::Agent => {
                EventView::Request { method: method.into_owned(), params: params(&self.payload) }
            }
            envelope::Kind::Notification { method } if is_note(self.sender, &method) => {
                gap(self).map_or(EventView::Other, EventView::Gap)
            }
            envelope::Kind::Notification { method } => {
                EventView::Notification { method: method.into_owned(), params: params(&self.payload) }
            }
            _ => EventView::Other,
        }
    }

    fn agent_text(&self) -> Option<String> {
        if self.sender != Sender::Agent {
            return None;
        }
        match self.view() {
            EventView::Update(SessionNotification {
                update: SessionUpdate::AgentMessageChunk(chunk),
                ..
            }) => match chunk.content {
                ContentBlock::Text(text) => Some(text.text),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether the SDK, or the server, says this, and not the agent or the caller.
fn is_note(sender: Sender, method: &str) -> bool {
    method.starts_with(if sender == Sender::Client { "_sandbox_agent/" } else { "_adapter/" })
}

/// The gap that an event stands for. An agent may write what looks like a note of ours.
pub(crate) fn gap(event: &SessionEvent) -> Option<Gap> {
    (event.sender == Sender::Client).then(|| Gap::read(&event.payload)).flatten()
}

/// Whether this is something that an agent does for a prompt, and not by itself.
pub(crate) fn is_work(view: &EventView) -> bool {
    use SessionUpdate::{AgentMessageChunk, AgentThoughtChunk, Plan, ToolCall, ToolCallUpdate};
    match view {
        EventView::PermissionRequest(_) => true,
        EventView::Update(notification) => matches!(
            notification.update,
            AgentMessageChunk(_) | AgentThoughtChunk(_) | Plan(_) | ToolCall(_) | ToolCallUpdate(_)
        ),
        _ => false,
    }
}

/// A request for a permission. Options of a kind that is not known here are left out: with the others it can be
/// answered all the same.
pub(crate) fn permission(payload: &RawValue) -> Option<RequestPermissionRequest> {
    if let Some(asked) = params(payload) {
        return Some(asked);
    }
    let mut asked: Value = params(payload)?;
    let options = asked.get_mut("options")?.as_array_mut()?;
    options.retain(|option| PermissionOption::deserialize(option).is_ok());
    RequestPermissionRequest::deserialize(asked).ok().filter(|asked| !asked.options.is_empty())
}

pub(crate) fn params<'a, T: Deserialize<'a>>(payload: &'a RawValue) -> Option<T> {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        params: &'a RawValue,
    }
    let call: Call<'_> = serde_json::from_str(payload.get()).ok()?;
    serde_json::from_str(call.params.get()).ok()
}
