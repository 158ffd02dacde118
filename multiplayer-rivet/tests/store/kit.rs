//! Events and records for tests.

use rivetkit_core::{ActorContext, ColumnValue};
use sandbox_agent_multiplayer_rivet::RivetSqlSessionPersistDriver;
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
};

pub(crate) type Store = RivetSqlSessionPersistDriver;

/// The longest payload that the store takes.
pub(crate) const LARGEST: usize = 16 * 1024 * 1024;

/// An event of session `s` whose payload has so many bytes.
pub(crate) fn event(index: u64, bytes: usize) -> SessionEvent {
    let text = "é".repeat((bytes.saturating_sub(2)) / 2);
    let filled = if bytes.is_multiple_of(2) { text } else { format!("{text}x") };
    let payload = RawValue::from_string(format!("\"{filled}\"")).unwrap();
    SessionEvent::new(format!("e{index}"), index, "s", 1_700_000_000_000, "c", Sender::Agent, payload)
}

pub(crate) async fn insert(store: &Store, events: &[SessionEvent]) -> Inserted {
    store.insert_events("s", events.to_vec()).await.unwrap()
}

pub(crate) async fn held(store: &Store) -> Vec<SessionEvent> {
    store.list_events(ListEventsRequest::new("s").limit(usize::MAX)).await.unwrap().items
}

/// How many pieces of long texts the actor's database has.
pub(crate) async fn pieces(actor: &ActorContext) -> i64 {
    let counted = actor.sql().query("SELECT count(*) FROM sandbox_agent_pieces", None).await.unwrap();
    match counted.rows[0][0] {
        ColumnValue::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}
