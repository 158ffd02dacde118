//! What the tests of both kinds share: reading a session's record, and what must hold of any.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod leases;
pub mod store;

use std::collections::HashSet;

use futures::StreamExt;
use sandbox_agent_sdk::persist::envelope;
use sandbox_agent_sdk::{
    EventView, Events, From, Gap, ListEventsRequest, Session, SessionEvent, SessionEventExt,
};
use sandbox_agent_sdk::{SessionPersistDriver, SessionRequest, Turn};
use serde_json::{Value, json};

pub const AGENT: &str = "mock";

pub fn request(id: &str) -> SessionRequest {
    SessionRequest::new(id, AGENT).cwd("/tmp")
}

/// All that a store holds of a session, page by page.
pub async fn stored(driver: &dyn SessionPersistDriver, session_id: &str) -> Vec<SessionEvent> {
    let mut events = Vec::new();
    let mut request = ListEventsRequest::new(session_id).limit(1000);
    loop {
        let page = driver.list_events(request.clone()).await.unwrap();
        events.extend(page.items);
        match page.next_cursor {
            Some(cursor) => request = request.cursor(cursor),
            None => return events,
        }
    }
}

/// The session's events up to its newest one.
pub async fn recorded(session: &Session) -> Vec<SessionEvent> {
    let last = session.last_index();
    let events: Events = session.events(From::Start);
    events.take(usize::try_from(last).unwrap()).map(|event| (*event.unwrap()).clone()).collect().await
}

/// Reads a turn until the agent said "begun".
pub async fn begun(turn: &mut Turn) {
    while turn.next().await.unwrap().unwrap().text().as_deref() != Some("begun") {}
}

/// Holds of every record: indexes without a hole, no event twice, the agent's in its own order.
pub fn assert_sound(events: &[SessionEvent]) {
    let mut ids = HashSet::new();
    let mut last = std::collections::HashMap::new();
    for (event, index) in events.iter().zip(1..) {
        assert_eq!(event.event_index, index, "indexes have no hole");
        assert!(ids.insert(&event.id), "event {} is stored twice", event.id);
        if let Some((server, sse)) = event.id.split_once(':')
            && let Ok(sse) = sse.parse::<u64>()
        {
            let last = last.insert(server, sse).unwrap_or(0);
            assert!(sse > last, "event {} came after {last}", event.id);
        }
    }
}

/// The line by which an agent tells an update of its session.
pub fn session_update(update: Value) -> String {
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "x", "update": update}})
        .to_string()
}

/// The same for something that it says.
pub fn saying(text: &str) -> String {
    session_update(json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}))
}

/// The numbers of the updates `u1 `, `u2 `, … of the scripted agent, as they are stored.
pub fn updates(events: &[SessionEvent]) -> Vec<u64> {
    events.iter().filter_map(update).collect()
}

pub fn update(event: &SessionEvent) -> Option<u64> {
    event.agent_text()?.strip_prefix('u')?.split(' ').next()?.parse().ok()
}

/// Everything that the agent said.
pub fn said(events: &[SessionEvent]) -> String {
    events.iter().filter_map(SessionEventExt::agent_text).collect()
}

pub fn gaps(events: &[SessionEvent]) -> Vec<Gap> {
    let gap = |event: &SessionEvent| match event.view() {
        EventView::Gap(gap) => Some(gap),
        _ => None,
    };
    events.iter().filter_map(gap).collect()
}

/// How many of our own notes of this method are stored.
pub fn notes(events: &[SessionEvent], method: &str) -> usize {
    let is_note = |event: &&SessionEvent| matches!(envelope::kind(&event.payload), envelope::Kind::Notification { method: found } if found == method);
    events.iter().filter(is_note).count()
}
