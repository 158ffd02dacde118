//! Reading rows.

use sandbox_agent_persist::{PersistError, RawValue, Sender, SessionEvent, SessionRecord};

use super::database::{Database, Value};

/// A row whose columns are taken one after the other.
pub(super) struct Row<'d> {
    database: &'d Database,
    values: std::vec::IntoIter<Value>,
}

impl<'d> Row<'d> {
    pub(super) fn new(database: &'d Database, values: Vec<Value>) -> Self {
        Self { database, values: values.into_iter() }
    }

    pub(super) fn text(&mut self) -> Result<String, PersistError> {
        self.optional_text()?.ok_or_else(|| self.corrupt("nothing where text should be"))
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, PersistError> {
        match self.values.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.corrupt("no text where text should be")),
        }
    }

    pub(super) fn integer(&mut self) -> Result<i64, PersistError> {
        self.optional_integer()?.ok_or_else(|| self.corrupt("nothing where a number should be"))
    }

    pub(super) fn optional_integer(&mut self) -> Result<Option<i64>, PersistError> {
        match self.values.next() {
            Some(Value::Integer(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.corrupt("no number where one should be")),
        }
    }

    pub(super) fn index(&mut self) -> Result<u64, PersistError> {
        let value = self.integer()?;
        u64::try_from(value).map_err(|_| self.corrupt("a number below zero where none may be"))
    }

    fn corrupt(&self, what: &str) -> PersistError {
        self.database.corrupt(&format!("has a row with {what}"))
    }
}

/// Rows in which a long text is spread over several: each has the same key, and a piece of the text.
pub(super) struct Joined<T> {
    items: Vec<(T, String)>,
}

impl<T: PartialEq> Joined<T> {
    pub(super) fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Adds a row: a new item, or another piece of the last one.
    pub(super) fn push(&mut self, item: T, piece: &str) {
        match self.items.last_mut() {
            Some((last, text)) if *last == item => text.push_str(piece),
            _ => self.items.push((item, piece.to_owned())),
        }
    }

    pub(super) fn into_items(self) -> Vec<(T, String)> {
        self.items
    }
}

/// An event without its payload.
#[derive(PartialEq)]
pub(super) struct Head {
    id: String,
    event_index: u64,
    folded_from: Option<u64>,
    bytes: u64,
    created_at: i64,
    connection_id: String,
    sender: String,
}

impl Head {
    pub(super) fn read(row: &mut Row<'_>) -> Result<Self, PersistError> {
        Ok(Self {
            id: row.text()?,
            event_index: row.index()?,
            folded_from: row.optional_integer()?.map(i64::unsigned_abs),
            bytes: row.index()?,
            created_at: row.integer()?,
            connection_id: row.text()?,
            sender: row.text()?,
        })
    }

    pub(super) fn with_payload(
        self,
        database: &Database,
        session_id: &str,
        payload: String,
    ) -> Result<SessionEvent, PersistError> {
        let corrupt = |what: &str| database.corrupt(&format!("has an event {:?} {what}", self.id));
        let sender = match self.sender.as_str() {
            "client" => Sender::Client,
            "agent" => Sender::Agent,
            _ => return Err(corrupt("of a sender that is neither client nor agent")),
        };
        if payload.len() as u64 != self.bytes {
            return Err(corrupt("whose payload is not whole"));
        }
        if self.folded_from.is_some_and(|first| first == 0 || first > self.event_index) {
            return Err(corrupt("whose run begins behind its end"));
        }
        let payload = RawValue::from_string(payload)
            .map_err(|error| corrupt("whose payload is no JSON").with_source(error))?;
        let mut event = SessionEvent::new(
            self.id,
            self.event_index,
            session_id,
            self.created_at,
            self.connection_id,
            sender,
            payload,
        );
        event.folded_from = self.folded_from;
        Ok(event)
    }
}

/// The record of a body.
pub(super) fn record(database: &Database, id: &str, body: &str) -> Result<SessionRecord, PersistError> {
    let record: SessionRecord = serde_json::from_str(body).map_err(|error| {
        database.corrupt(&format!("has a session {id:?} whose record can't be read")).with_source(error)
    })?;
    if record.id == id {
        return Ok(record);
    }
    Err(database.corrupt(&format!("has a session {id:?} whose record is that of another")))
}
