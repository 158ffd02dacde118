//! The little of a JSON-RPC envelope that storing needs to know.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The notification that stands for events that were lost: what, and why.
pub const GAP: &str = "_sandbox_agent/gap";
/// The notification that a turn ended without a response of the agent.
pub const TURN_ENDED: &str = "_sandbox_agent/turn_ended";
/// The notification that the agent's process is gone.
pub const PROCESS_ENDED: &str = "_sandbox_agent/process_ended";
/// The notification that stands for updates by which an agent told again what is stored already.
pub const REPLAYED: &str = "_sandbox_agent/replayed";
/// The notification that stands for events that the store which they were copied from had evicted.
pub const EVICTED: &str = "_sandbox_agent/evicted";
/// The server's own notification that the agent's process exited.
pub const AGENT_EXITED: &str = "_adapter/agent_exited";
/// The member of a payload or of a record's `extra` that holds what a layer encrypted.
pub const ENCRYPTED: &str = "_sandboxAgentEncrypted";
/// The request that begins a turn.
pub const PROMPT: &str = "session/prompt";

/// The head of an envelope, borrowed from its text.
#[derive(Debug, Deserialize)]
pub struct Head<'a> {
    /// The id as it stands in the text; a request and its response have the same.
    #[serde(default, borrow)]
    pub id: Option<&'a RawValue>,
    /// The method of a request or notification.
    #[serde(default, borrow)]
    pub method: Option<Cow<'a, str>>,
}

/// What an envelope is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Has a method and an id: wants an answer.
    Request {
        /// The id's JSON text.
        id: &'a str,
        /// The method.
        method: Cow<'a, str>,
    },
    /// Has an id and no method: is an answer.
    Response {
        /// The id's JSON text.
        id: &'a str,
    },
    /// Has a method and no id.
    Notification {
        /// The method.
        method: Cow<'a, str>,
    },
    /// No JSON-RPC message.
    Other,
}

/// Reads the head of an envelope; anything unreadable is [`Kind::Other`].
pub fn kind(payload: &RawValue) -> Kind<'_> {
    // An array of two would be read as the two members.
    if !payload.get().trim_start().starts_with('{') {
        return Kind::Other;
    }
    let Ok(head) = serde_json::from_str::<Head<'_>>(payload.get()) else {
        return Kind::Other;
    };
    match (head.id, head.method) {
        (Some(id), Some(method)) => Kind::Request { id: id.get(), method },
        (Some(id), None) => Kind::Response { id: id.get() },
        (None, Some(method)) => Kind::Notification { method },
        (None, None) => Kind::Other,
    }
}
