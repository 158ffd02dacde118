//! A long history in SQLite, made in seconds.

use std::path::Path;

use anyhow::{Result, ensure};
use sandbox_agent_persist::{Inserted, RawValue, Sender, SessionEvent, SessionPersistDriver, SessionRecord};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use serde_json::json;

pub(crate) const SESSION: &str = "long";
/// As many as one transaction takes.
const BATCH: u64 = 20_000;
/// Events of a turn: its prompt, what the agent says, its answer.
const TURN: u64 = 100;

/// Makes a file with a session of so many events, and closes it.
pub(crate) async fn make(file: &Path, agent: &str, events: u64) -> Result<()> {
    let driver = SqliteSessionPersistDriver::open(file).await?;
    let mut record = SessionRecord::new(SESSION, agent, 1);
    record.agent_session_id = "ended".to_owned();
    record.last_connection_id = "ended".to_owned();
    record.session_init = Some(json!({"cwd": "/tmp", "mcpServers": []}));
    driver.update_session(record).await?;
    let mut next = 1;
    while next <= events {
        let batch = (next..=events).take(usize::try_from(BATCH)?);
        let batch = batch.map(|index| event(SESSION, index)).collect::<Result<Vec<_>>>()?;
        next += BATCH;
        let inserted = driver.insert_events(SESSION, batch).await?;
        ensure!(inserted == Inserted::Stored, "a new file refused events: {inserted:?}");
    }
    driver.close().await?;
    Ok(())
}

/// The event at this place of a session that is one long talk.
pub(crate) fn event(session: &str, index: u64) -> Result<SessionEvent> {
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
