//! The JSON under the key, as it is written and measured.

use sandbox_agent_persist::{PersistError, PersistErrorKind, RawValue, SessionEvent, SessionRecord};
use serde::Serialize;

use crate::measure::{self, DEEPEST, Measured};
use crate::session::Session;
use crate::store::Store;

/// The member that no TypeScript program has: of each session without events of which some were
/// evicted, the last index that is gone.
pub(crate) const EVICTED: &str = "evicted";

/// What is there at all times.
pub(crate) const FRAME: &str = r#"{"sessions":{},"events":{},"evicted":{}}"#;

/// A record with its name, a colon and a comma; an error if it could not be read back.
pub(crate) fn record_size(record: &SessionRecord) -> Result<usize, PersistError> {
    let refused = |why: String| {
        PersistError::new(
            PersistErrorKind::Other,
            format!("the record of session {:?} can't be kept as JSON: {why}", record.id),
        )
    };
    let json =
        serde_json::to_string(record).map_err(|error| refused(error.to_string()).with_source(error))?;
    let measured = measure::json(&json);
    if measured.depth > DEEPEST {
        return Err(refused(format!("it nests deeper than {DEEPEST} levels; make it flatter")));
    }
    let read: SessionRecord =
        serde_json::from_str(&json).map_err(|error| refused(error.to_string()).with_source(error))?;
    if read != *record {
        return Err(refused("it reads differently; give its unknown members other names".to_owned()));
    }
    Ok(measured.size + measure::text(&record.id) + 2)
}

/// An event with a comma, and how deep it nests.
pub(crate) fn event_size(event: &SessionEvent, unknown: &[(String, Box<RawValue>)]) -> Measured {
    let payload = measure::json(event.payload.get());
    let texts = [&event.id, &event.session_id, &event.connection_id];
    let texts: usize = texts.into_iter().map(|text| measure::text(text) - measure::quoted(text)).sum();
    let head = measure::length(event) - event.payload.get().len();
    let size = head + texts + payload.size + unknown_size(unknown) + 1;
    Measured { size, depth: payload.depth }
}

/// Members that nobody knows, each with its name, a colon and a comma.
pub(crate) fn unknown_size(members: &[(String, Box<RawValue>)]) -> usize {
    members.iter().map(|(name, value)| measure::text(name) + measure::json(value.get()).size + 2).sum()
}

/// All that is under the key.
pub(crate) fn content(store: &Store) -> String {
    let mut text = Vec::with_capacity(store.bytes());
    let mut content = Object::begin(&mut text);
    let mut records = Object::begin(content.name("sessions"));
    for (id, session) in &store.sessions {
        if let Some(held) = &session.record {
            records.value(id, &held.record);
        }
    }
    records.end();
    let mut lists = Object::begin(content.name("events"));
    for (id, session) in &store.sessions {
        events(lists.name(id), session);
    }
    lists.end();
    let mut marks = Object::begin(content.name(EVICTED));
    let held = store.sessions.iter().filter_map(|(id, session)| Some((&**id, session.mark()?)));
    for (id, next_index) in store.marks.iter().chain(held) {
        marks.value(id, &(next_index - 1));
    }
    marks.end();
    content.members(&store.unknown.0);
    content.end();
    // All of it came from texts.
    String::from_utf8(text).unwrap_or_default()
}

fn events(text: &mut Vec<u8>, session: &Session) {
    text.push(b'[');
    for (place, held) in session.events().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        print(text, &held.event);
        if !held.unknown.is_empty() {
            // Opened again, for what its type doesn't have.
            text.pop();
            let mut event = Object { text, is_empty: false };
            event.members(&held.unknown);
            event.end();
        }
    }
    text.push(b']');
}

/// An object that is being written.
pub(crate) struct Object<'a> {
    text: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(text: &'a mut Vec<u8>) -> Self {
        text.push(b'{');
        Self { text, is_empty: true }
    }

    /// Writes the name of a member, and gives the place for its value.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(b',');
        }
        print(self.text, name);
        self.text.push(b':');
        self.text
    }

    pub(crate) fn value(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        print(self.name(name), value);
    }

    /// A member whose value is JSON text.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.name(name).extend_from_slice(json.as_bytes());
    }

    pub(crate) fn members(&mut self, members: &[(String, Box<RawValue>)]) {
        for (name, value) in members {
            self.raw(name, value.get());
        }
    }

    pub(crate) fn end(self) {
        self.text.push(b'}');
    }
}

/// Writes what always prints: into memory, and with texts for names.
fn print(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let _ = serde_json::to_writer(text, value);
}
