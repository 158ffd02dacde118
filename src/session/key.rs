//! Idempotency keys: a prompt with a key is stored under an id made of it, once.

use std::collections::HashMap;

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{Sender, SessionEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::backwards::Backwards;
use super::ids;
use super::store::Store;
use super::view::{SessionEventExt, is_work, params};
use crate::error::{Delivery, Error, ErrorKind, Result};

/// What stands in `reason` when a stored prompt was not sent after all.
pub(super) const NOT_SENT: &str = "not_sent";
/// And when nobody waits for its answer any more, although it may still come.
pub(super) const LOST: &str = "lost";

/// The error of a prompt whose key is taken, by what became of the one that took it.
pub(super) fn taken(delivery: Delivery) -> Error {
    Error::new(
        ErrorKind::DuplicatePrompt,
        "a prompt with this idempotency key is stored already; read the session's events for its outcome",
    )
    .with_delivery(delivery)
}

/// What the record says of the latest prompt with this key; `None` when its newest events have none.
pub(super) async fn look_up(store: &Store, session_id: &str, key: &str) -> Result<Option<Delivery>> {
    let mut found = None;
    let mut attempt = 1;
    loop {
        match delivery(store, session_id, &ids::keyed(session_id, key, attempt)).await? {
            None => return Ok(found),
            Some(Delivery::NotSent) => found = Some(Delivery::NotSent),
            settled => return Ok(settled),
        }
        attempt += 1;
    }
}

/// What the record says of the prompt that is stored under `event_id`.
pub(super) async fn delivery(store: &Store, session_id: &str, event_id: &str) -> Result<Option<Delivery>> {
    let mut ends: HashMap<String, Delivery> = HashMap::new();
    // Of each process, whether it worked since its latest prompt that was come by.
    let mut worked: HashMap<String, bool> = HashMap::new();
    let mut record = Backwards::new(store, session_id);
    while let Some(events) = record.next().await? {
        for event in &events {
            if event.id == event_id {
                let end = prompt_id(&event.payload).and_then(|id| ends.remove(&id));
                let worked = worked.get(&event.connection_id).copied().unwrap_or_default();
                return Ok(Some(match end {
                    Some(Delivery::Unknown) | None if worked => Delivery::Executed,
                    end => end.unwrap_or(Delivery::Unknown),
                }));
            }
            if let Some((id, delivery)) = end_of_turn(event) {
                // An answer may come after the turn was given up: it is the better evidence.
                let known = ends.entry(id).or_insert(delivery);
                if delivery == Delivery::Executed {
                    *known = delivery;
                }
            }
            if prompt_id(&event.payload).is_some() {
                worked.insert(event.connection_id.clone(), false);
            } else if is_work(&event.view()) {
                worked.insert(event.connection_id.clone(), true);
            }
        }
    }
    Ok(None)
}

/// The JSON text of a prompt's id.
pub(super) fn prompt_id(payload: &RawValue) -> Option<String> {
    match envelope::kind(payload) {
        Kind::Request { id, method } if method == envelope::PROMPT => Some(id.to_owned()),
        _ => None,
    }
}

/// The turn that an event ends, by the JSON text of its id, and what that says of its prompt.
pub(super) fn end_of_turn(event: &SessionEvent) -> Option<(String, Delivery)> {
    if let Kind::Response { id } = envelope::kind(&event.payload) {
        return (event.sender == Sender::Agent).then(|| (id.to_owned(), Delivery::Executed));
    }
    let (id, reason) = turn_ended(event)?;
    Some((id, if reason == NOT_SENT { Delivery::NotSent } else { Delivery::Unknown }))
}

/// The turn that ended without a response by our own note, and why.
pub(super) fn turn_ended(event: &SessionEvent) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Ended<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        reason: String,
    }
    match envelope::kind(&event.payload) {
        Kind::Notification { method } if method == envelope::TURN_ENDED && event.sender == Sender::Client => {
            let ended: Ended<'_> = params(&event.payload)?;
            Some((ended.id.get().to_owned(), ended.reason))
        }
        _ => None,
    }
}
