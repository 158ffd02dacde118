//! What stands in the record for events that could not be had.

use sandbox_agent_persist::{RawValue, envelope};
use serde::{Deserialize, Serialize};

/// Events of the agent that were lost: an event of its own in store and stream.
///
/// All of `from..=to` are missing; the events beside them are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Gap {
    /// The agent process whose events they were.
    pub server_id: String,
    /// The SSE id of the first one.
    pub from: u64,
    /// The SSE id of the last one.
    pub to: u64,
    /// Why they could not be had.
    pub cause: GapCause,
}

/// Why events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GapCause {
    /// The agent wrote faster than the server passed on, and the server keeps only its newest events.
    ServerDropped,
    /// The store was slower than the agent, so that the socket could not be read in time.
    StoreTooSlow,
    /// The event was larger than [`Limits::event_bytes`](crate::Limits::event_bytes).
    TooLarge,
    /// The event was no JSON-RPC message.
    Unreadable,
}

impl Gap {
    /// How many events are missing.
    pub fn missing(&self) -> u64 {
        self.to.saturating_sub(self.from).saturating_add(1)
    }

    /// The gap that an envelope stands for.
    pub(crate) fn read(payload: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Notification {
            params: Gap,
        }
        // Looked for before parsing: nearly every event is something else.
        if !payload.get().contains(envelope::GAP) {
            return None;
        }
        match envelope::kind(payload) {
            envelope::Kind::Notification { method } if method == envelope::GAP => {
                serde_json::from_str::<Notification>(payload.get()).ok().map(|gap| gap.params)
            }
            _ => None,
        }
    }
}
