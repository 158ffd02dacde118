//! Sessions full of things that nobody else is to read.
#![allow(dead_code, clippy::unwrap_used)]

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
    SessionRecord,
};
use sandbox_agent_persist_memory::MemorySessionPersistDriver;
use serde_json::json;

pub(crate) type Memory = MemorySessionPersistDriver;

/// It is in each value that is to be hidden, and nowhere else.
pub(crate) const SECRET: &str = "xyzzy";

pub(crate) fn raw(text: impl Into<String>) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

pub(crate) fn event(session_id: &str, index: u64) -> SessionEvent {
    let payload =
        format!(r#"{{ "jsonrpc":"2.0","method":"m/{SECRET}","params":{{"text":"{SECRET} {index}"}}}}"#);
    let sender = if index.is_multiple_of(2) { Sender::Agent } else { Sender::Client };
    SessionEvent::new(format!("{session_id}/{index}"), index, session_id, 7, "server", sender, raw(payload))
}

pub(crate) fn record(id: &str) -> SessionRecord {
    let mut record = SessionRecord::new(id, "codex", 5);
    record.agent_session_id = "agent's".to_owned();
    record.last_connection_id = "server".to_owned();
    record.sandbox_id = Some("sandbox".to_owned());
    record.last_activity_at = Some(9);
    record.session_init =
        Some(json!({"cwd": SECRET, "mcpServers": [{"env": [{"name": "A", "value": SECRET}]}]}));
    record.config_options = Some(json!(null));
    record.modes = Some(json!([SECRET, 1.5]));
    record.title = Some(format!("About {SECRET}"));
    record.tags = [format!("{SECRET}-tag"), "other".to_owned()].into();
    record.extra.insert(format!("{SECRET} member"), json!({"b": 1, "a": [SECRET]}));
    record
}

pub(crate) async fn insert(store: &impl SessionPersistDriver, event: SessionEvent) {
    let id = event.session_id.clone();
    assert_eq!(store.insert_event(&id, event).await.unwrap(), Inserted::Stored);
}

/// A session with its record.
pub(crate) async fn fill(store: &impl SessionPersistDriver, session_id: &str, events: u64) {
    store.update_session(record(session_id)).await.unwrap();
    for index in 1..=events {
        insert(store, event(session_id, index)).await;
    }
}

pub(crate) async fn held(store: &impl SessionPersistDriver, session_id: &str) -> Vec<SessionEvent> {
    store.list_events(ListEventsRequest::new(session_id).limit(usize::MAX)).await.unwrap().items
}

/// All that the store gives, as text.
pub(crate) async fn everything(store: &impl SessionPersistDriver) -> String {
    let sessions = store.list_sessions(ListSessionsRequest::new().limit(usize::MAX)).await.unwrap().items;
    let mut text = String::new();
    for session in sessions {
        text += &format!("{session:?}\n{}\n", serde_json::to_string(&session).unwrap());
        for event in held(store, &session.id).await {
            text += &format!("{event:?}\n{}\n", serde_json::to_string(&event).unwrap());
        }
    }
    text
}
