//! Events that stand for others where those can't be had.

use crate::envelope::{self, Kind};
use crate::{RawValue, Sender, SessionEvent};

/// The event that stands for indexes whose events were evicted. Its id is the same whenever it is made.
pub(crate) fn evicted(session_id: &str, from: u64, to: u64, created_at: i64) -> SessionEvent {
    let method = envelope::EVICTED;
    let payload = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"from":{from},"to":{to}}}}}"#);
    // It is JSON, as it stands there.
    let payload = RawValue::from_string(payload).unwrap_or_else(|_| RawValue::NULL.to_owned());
    let id = format!("{session_id}:evicted:{from}-{to}");
    SessionEvent::new(id, to, session_id, created_at, "", Sender::Client, payload).standing_from(from)
}

/// Whether the event stands for evicted ones, in whatever store that was noticed.
pub(crate) fn is_evicted(event: &SessionEvent) -> bool {
    event.sender == Sender::Client
        && matches!(envelope::kind(&event.payload), Kind::Notification { method } if method == envelope::EVICTED)
}

/// The same event, standing for the later indexes of its run alone: until it can be put in the place of the whole run.
pub(crate) fn rest(event: &SessionEvent, from: u64) -> SessionEvent {
    let mut rest = event.clone().standing_from(from);
    rest.id = rest_id(event, from);
    rest
}

/// Whether `theirs` is the [`rest`] of the run that `event` stands for.
pub(crate) fn is_rest(theirs: &SessionEvent, event: &SessionEvent) -> bool {
    theirs.event_index == event.event_index && theirs.id == rest_id(event, theirs.first_index())
}

fn rest_id(event: &SessionEvent, from: u64) -> String {
    format!("{}:rest:{from}", event.id)
}

/// The event as one of another session in the same store: under an id of its own, which is the same each time.
/// The length keeps session and id apart, whatever is in them.
pub(crate) fn renamed(mut event: SessionEvent, session_id: &str) -> SessionEvent {
    event.id = format!("as:{}:{session_id}:{}", session_id.len(), event.id);
    session_id.clone_into(&mut event.session_id);
    event
}
