//! What an encrypted value is bound to: its place, told in bytes that mean one place only.

use sandbox_agent_persist::{SessionEvent, SessionRecord};

/// Says what it is, so that no value of one kind passes for another.
const EVENT: &[u8] = b"sandbox-agent event 1";
const RECORD: &[u8] = b"sandbox-agent record 1";

/// All of an event that is readable beside its payload.
pub(super) fn of_event(event: &SessionEvent) -> Vec<u8> {
    let SessionEvent { id, event_index, session_id, created_at, connection_id, sender, .. } = event;
    let mut bytes = Vec::new();
    text(&mut bytes, EVENT);
    text(&mut bytes, session_id.as_bytes());
    text(&mut bytes, id.as_bytes());
    bytes.extend(event.first_index().to_le_bytes());
    bytes.extend(event_index.to_le_bytes());
    bytes.extend(created_at.to_le_bytes());
    text(&mut bytes, connection_id.as_bytes());
    text(&mut bytes, sender.as_str().as_bytes());
    bytes
}

/// All of a record that is readable beside what is hidden.
pub(super) fn of_record(record: &SessionRecord) -> Vec<u8> {
    let SessionRecord { id, agent, agent_session_id, last_connection_id, created_at, .. } = record;
    let mut bytes = Vec::new();
    text(&mut bytes, RECORD);
    for member in [id, agent, agent_session_id, last_connection_id] {
        text(&mut bytes, member.as_bytes());
    }
    bytes.extend(created_at.to_le_bytes());
    for time in [record.destroyed_at, record.last_activity_at, record.archived_at] {
        bytes.push(u8::from(time.is_some()));
        bytes.extend(time.unwrap_or_default().to_le_bytes());
    }
    bytes.push(u8::from(record.sandbox_id.is_some()));
    text(&mut bytes, record.sandbox_id.as_deref().unwrap_or_default().as_bytes());
    bytes
}

/// With its length, so that what follows can't be taken for a part of it.
fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sandbox_agent_persist::{RawValue, Sender};

    use super::*;

    #[test]
    fn each_place_has_bytes_of_its_own() {
        let event = |session: &str, id: &str, index, time, connection: &str, sender| {
            SessionEvent::new(id, index, session, time, connection, sender, RawValue::NULL.to_owned())
        };
        let events = [
            event("s", "e", 2, 3, "c", Sender::Agent),
            event("se", "", 2, 3, "c", Sender::Agent),
            event("", "se", 2, 3, "c", Sender::Agent),
            event("s", "e", 3, 3, "c", Sender::Agent),
            event("s", "e", 2, 3, "c", Sender::Agent).standing_from(1),
            event("s", "e", 3, 3, "c", Sender::Agent).standing_from(2),
            event("s", "e", 2, 4, "c", Sender::Agent),
            event("s", "e", 2, 3, "", Sender::Agent),
            event("s", "e", 2, 3, "c", Sender::Client),
        ];
        assert_eq!(events.iter().map(of_event).collect::<HashSet<_>>().len(), events.len());

        let plain = || SessionRecord::new("s", "a", 1);
        let mut records = vec![plain(), SessionRecord::new("sa", "", 1), SessionRecord::new("s", "a", 2)];
        let changes: [fn(&mut SessionRecord); 9] = [
            |record| record.agent_session_id = "x".to_owned(),
            |record| record.last_connection_id = "x".to_owned(),
            |record| record.destroyed_at = Some(0),
            |record| record.last_activity_at = Some(0),
            |record| record.archived_at = Some(0),
            |record| record.archived_at = Some(7),
            |record| record.sandbox_id = Some(String::new()),
            |record| record.sandbox_id = Some("x".to_owned()),
            |record| record.id = "t".to_owned(),
        ];
        for change in changes {
            let mut record = plain();
            change(&mut record);
            records.push(record);
        }
        assert_eq!(records.iter().map(of_record).collect::<HashSet<_>>().len(), records.len());
    }
}
