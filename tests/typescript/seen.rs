//! What two runs of the same program have in common.

use std::collections::BTreeMap;

use sandbox_agent_sdk::persist::envelope::{self, Kind};
use sandbox_agent_sdk::{Sender, SessionEvent, SessionRecord};
use serde_json::{Value, json};

use crate::store::Store;
use crate::support::{assert_sound, stored};

/// What a session has that doesn't change from run to run.
///
/// The answer to a prompt comes on another way than the updates of its turn, and the TypeScript SDK
/// stores both as they come: so the agent's answers are apart.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub agent: String,
    pub destroyed: bool,
    pub session_init: Option<Value>,
    pub config_options: Option<Value>,
    pub modes: Option<Value>,
    pub extra: serde_json::Map<String, Value>,
    pub sent: Vec<Value>,
    pub updates: Vec<Value>,
    pub answers: Vec<Value>,
}

/// The sessions of a store, each with what it has.
pub async fn seen(store: &Store) -> BTreeMap<String, Seen> {
    let mut sessions = BTreeMap::new();
    for record in store.sessions().await {
        let events = stored(&*store.driver, &record.id).await;
        assert_sound(&events);
        sessions.insert(record.id.clone(), session(record, &events));
    }
    sessions
}

fn session(record: SessionRecord, events: &[SessionEvent]) -> Seen {
    assert!(record.created_at > 1_700_000_000_000, "in milliseconds: {}", record.created_at);
    let mut seen = Seen {
        agent: record.agent,
        destroyed: record.destroyed_at.is_some(),
        session_init: record.session_init,
        config_options: record.config_options,
        modes: record.modes,
        extra: record.extra,
        sent: Vec::new(),
        updates: Vec::new(),
        answers: Vec::new(),
    };
    for event in events {
        assert_eq!(event.connection_id, record.last_connection_id, "all of it ran on one process");
        let mut payload = payload(event);
        forget_ids(&mut payload);
        match (event.sender, envelope::kind(&event.payload)) {
            (Sender::Client, _) => seen.sent.push(payload),
            (Sender::Agent, Kind::Response { .. }) => seen.answers.push(payload),
            (Sender::Agent, _) => seen.updates.push(payload),
        }
    }
    seen
}

pub fn payload(event: &SessionEvent) -> Value {
    serde_json::from_str(event.payload.get()).unwrap()
}

/// Ids of sessions are new in each run.
fn forget_ids(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "sessionId" => *value = json!("…"),
                    _ => forget_ids(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget_ids),
        _ => {}
    }
}
