//! What several tests write with.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use rusqlite::Connection;
use sandbox_agent_persist::{ListEventsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn open(folder: &TempDir) -> SqliteSessionPersistDriver {
    SqliteSessionPersistDriver::open(folder.path().join("sessions.db")).await.unwrap()
}

/// The file as another program has it.
pub(crate) fn foreign(folder: &TempDir) -> Connection {
    let connection = Connection::open(folder.path().join("sessions.db")).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection
}

/// All that such an event has is told by its place.
pub(crate) fn event(session_id: &str, index: u64) -> SessionEvent {
    let id = format!("{session_id}.{index}");
    let payload = format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(300));
    let payload = RawValue::from_string(payload).unwrap();
    SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, payload)
}

/// The same with an id of its own.
pub(crate) fn named(session_id: &str, index: u64, id: &str) -> SessionEvent {
    let mut event = event(session_id, index);
    event.id = id.to_owned();
    event
}

pub(crate) fn events(session_id: &str, indexes: std::ops::RangeInclusive<u64>) -> Vec<SessionEvent> {
    indexes.map(|index| event(session_id, index)).collect()
}

pub(crate) async fn held(store: &dyn SessionPersistDriver, session_id: &str) -> Vec<SessionEvent> {
    let all = ListEventsRequest::new(session_id).limit(usize::MAX);
    store.list_events(all).await.unwrap().items
}
