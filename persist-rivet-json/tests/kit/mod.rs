//! What the tests are written with.
#![allow(dead_code, clippy::unwrap_used)]

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, PersistError, RawValue, Sender, SessionEvent,
    SessionPersistDriver,
};
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, RivetJsonSessionPersistDriver};

pub(crate) const UPDATE: &str = r#"{"jsonrpc":"2.0","method":"session/update"}"#;
pub(crate) const PROMPT: &str = r#"{"jsonrpc":"2.0","id":"p-1","method":"session/prompt"}"#;
pub(crate) const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":"p-1","result":{"stopReason":"end_turn"}}"#;

pub(crate) type Driver = RivetJsonSessionPersistDriver;

pub(crate) fn raw(json: impl Into<String>) -> Box<RawValue> {
    RawValue::from_string(json.into()).unwrap()
}

/// An update with so many bytes of text.
pub(crate) fn update_of(bytes: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"session/update","text":"{}"}}"#, "x".repeat(bytes))
}

pub(crate) fn event(session_id: &str, index: u64, payload: &str) -> SessionEvent {
    let id = format!("{session_id}.{index}");
    SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, raw(payload))
}

pub(crate) fn limits() -> RivetJsonOptions {
    RivetJsonOptions::unlimited()
}

pub(crate) async fn held(store: &impl SessionPersistDriver, session_id: &str) -> Vec<SessionEvent> {
    let all = ListEventsRequest::new(session_id).limit(usize::MAX);
    store.list_events(all).await.unwrap().items
}

pub(crate) async fn indexes(store: &impl SessionPersistDriver, session_id: &str) -> Vec<u64> {
    held(store, session_id).await.iter().map(|event| event.event_index).collect()
}

pub(crate) async fn ids(store: &impl SessionPersistDriver) -> Vec<String> {
    let all = ListSessionsRequest::new().limit(usize::MAX);
    let page = store.list_sessions(all).await.unwrap();
    page.items.into_iter().map(|record| record.id).collect()
}

/// A session that is being written.
pub(crate) struct Session {
    pub(crate) store: Driver,
    pub(crate) id: &'static str,
    pub(crate) last: u64,
}

impl Session {
    pub(crate) fn new(store: &Driver, id: &'static str) -> Self {
        Self { store: store.clone(), id, last: 0 }
    }

    pub(crate) async fn try_add(&mut self, sender: Sender, payload: &str) -> Result<(), PersistError> {
        let mut event = event(self.id, self.last + 1, payload);
        event.sender = sender;
        let inserted = self.store.insert_event(self.id, event).await?;
        assert_eq!(inserted, Inserted::Stored);
        self.last += 1;
        Ok(())
    }

    pub(crate) async fn add(&mut self, sender: Sender, payload: &str) {
        self.try_add(sender, payload).await.unwrap();
    }

    pub(crate) async fn updates(&mut self, count: usize) {
        for _ in 0..count {
            self.add(Sender::Agent, UPDATE).await;
        }
    }

    pub(crate) async fn held(&self) -> Vec<u64> {
        indexes(&self.store, self.id).await
    }
}
