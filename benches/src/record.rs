//! A long history, made in seconds.

use anyhow::{Result, ensure};
use sandbox_agent_persist::{Inserted, RawValue, Sender, SessionEvent, SessionPersistDriver, SessionRecord};
use serde_json::json;

/// As many as the SDK stores at once.
pub const BATCH: u64 = 1024;
/// Events of a turn: its prompt, what the agent says, its answer.
const TURN: u64 = 100;

/// Stores a session of so many events, in batches, and says after each how many there are.
///
/// # Errors
/// When the store fails, or holds events of the session already.
pub async fn make(
    driver: &dyn SessionPersistDriver,
    agent: &str,
    session: &str,
    events: u64,
    mut stored: impl FnMut(u64),
) -> Result<()> {
    let mut record = SessionRecord::new(session, agent, 1);
    record.agent_session_id = "ended".to_owned();
    record.last_connection_id = "ended".to_owned();
    record.session_init = Some(json!({"cwd": "/tmp", "mcpServers": []}));
    driver.update_session(record).await?;
    let mut last = 0;
    while last < events {
        let size = BATCH.min(events - last);
        let inserted = driver.insert_events(session, batch(session, last + 1, size)?).await?;
        ensure!(inserted == Inserted::Stored, "a new session refused events: {inserted:?}");
        last += size;
        stored(last);
    }
    Ok(())
}

/// So many events of the session, from this index on.
///
/// # Errors
/// When an index is too large for a time.
pub fn batch(session: &str, first: u64, size: u64) -> Result<Vec<SessionEvent>> {
    (first..first + size).map(|index| event(session, index)).collect()
}

/// The event at this place of a session that is one long talk.
///
/// # Errors
/// When the index is too large for a time.
pub fn event(session: &str, index: u64) -> Result<SessionEvent> {
    let turn = index / TURN;
    let (sender, envelope) = match index % TURN {
        1 => {
            let prompt = json!([{"type": "text", "text": format!("say more of {turn}")}]);
            let params = json!({"sessionId": "ended", "prompt": prompt});
            let id = format!("prompt-{turn}");
            (
                Sender::Client,
                json!({"jsonrpc": "2.0", "id": id, "method": "session/prompt", "params": params}),
            )
        }
        0 => {
            let id = format!("prompt-{}", turn - 1);
            (Sender::Agent, json!({"jsonrpc": "2.0", "id": id, "result": {"stopReason": "end_turn"}}))
        }
        _ => {
            let content = json!({"type": "text", "text": format!("this is event number {index} of many. ")});
            let update = json!({"sessionUpdate": "agent_message_chunk", "content": content});
            let params = json!({"sessionId": "ended", "update": update});
            (Sender::Agent, json!({"jsonrpc": "2.0", "method": "session/update", "params": params}))
        }
    };
    let payload = RawValue::from_string(envelope.to_string())?;
    let created_at = i64::try_from(index)?;
    Ok(SessionEvent::new(format!("{session}:{index}"), index, session, created_at, "ended", sender, payload))
}
