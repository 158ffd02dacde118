//! What is written: the same for whoever writes and whoever checks.

use anyhow::Result;
use sandbox_agent_sdk::persist::{RawValue, Sender};
use sandbox_agent_sdk::{SessionEvent, SessionRecord};

/// Some events are large: they take many pages of a file, and can be torn.
const LARGE: usize = 60_000;
const SMALL: usize = 300;

/// The event at this place of a session.
pub(crate) fn event(session: &str, index: u64) -> Result<SessionEvent> {
    let size = if index.is_multiple_of(25) { LARGE } else { SMALL };
    let text: String = format!("{session} {index} ").chars().cycle().take(size).collect();
    let payload = RawValue::from_string(serde_json::json!({"text": text}).to_string())?;
    let id = format!("{session}:{index}");
    Ok(SessionEvent::new(id, index, session, 0, "c", Sender::Agent, payload))
}

/// A record that was written so many times.
pub(crate) fn record(session: &str, times: u64) -> SessionRecord {
    let mut record = SessionRecord::new(session, "agent", 0);
    record.agent_session_id = times.to_string();
    record.session_init = Some(serde_json::json!({"cwd": format!("/{times}").repeat(100)}));
    record
}
