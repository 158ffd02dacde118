//! Between rows and records.

use std::borrow::Cow;

use sandbox_agent_persist::{PersistError, RawValue, Sender, SessionEvent, SessionRecord, fold_case};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use crate::error::corrupt;
use crate::hidden::Hidden;
use crate::text::{restored, stored};

pub(crate) const SESSION_COLUMNS: &str = "id, agent, agent_session_id, last_connection_id, created_at, \
    destroyed_at, sandbox_id, session_init, config_options, modes, title, last_activity_at, tags, archived_at, \
    extra";

pub(crate) const EVENT_COLUMNS: &str =
    "id, event_index, folded_from, session_id, created_at, connection_id, sender, payload";

/// A record as its columns have it, ready to be sent.
pub(crate) struct SessionRow<'a> {
    id: Cow<'a, str>,
    agent: Cow<'a, str>,
    agent_session_id: Cow<'a, str>,
    last_connection_id: Cow<'a, str>,
    created_at: i64,
    destroyed_at: Option<i64>,
    sandbox_id: Option<Cow<'a, str>>,
    session_init: Hidden<Option<String>>,
    config_options: Hidden<Option<String>>,
    modes: Hidden<Option<String>>,
    title: Hidden<Option<Cow<'a, str>>>,
    last_activity_at: Option<i64>,
    tags: Vec<Cow<'a, str>>,
    archived_at: Option<i64>,
    extra: Hidden<Option<String>>,
    folded_title: Hidden<Vec<u8>>,
    last_active: i64,
}

impl<'a> From<&'a SessionRecord> for SessionRow<'a> {
    fn from(record: &'a SessionRecord) -> Self {
        let print = |value: &Option<Value>| Hidden(value.as_ref().map(Value::to_string));
        let extra = (!record.extra.is_empty()).then(|| Value::Object(record.extra.clone()));
        Self {
            id: stored(&record.id),
            agent: stored(&record.agent),
            agent_session_id: stored(&record.agent_session_id),
            last_connection_id: stored(&record.last_connection_id),
            created_at: record.created_at,
            destroyed_at: record.destroyed_at,
            sandbox_id: record.sandbox_id.as_deref().map(stored),
            session_init: print(&record.session_init),
            config_options: print(&record.config_options),
            modes: print(&record.modes),
            title: Hidden(record.title.as_deref().map(stored)),
            last_activity_at: record.last_activity_at,
            tags: record.tags.iter().map(|tag| stored(tag)).collect(),
            archived_at: record.archived_at,
            extra: print(&extra),
            folded_title: Hidden(folded(record.title.as_deref().unwrap_or_default())),
            last_active: record.last_active(),
        }
    }
}

/// The text as it stands in the column in which titles are searched.
pub(crate) fn folded(title: &str) -> Vec<u8> {
    fold_case(title).into_bytes()
}

impl SessionRow<'_> {
    /// The id, what is between, and the values of [`SESSION_COLUMNS`] behind it and of the two that are
    /// made of them.
    pub(crate) fn values<'v>(&'v self, between: &'v (dyn ToSql + Sync)) -> [&'v (dyn ToSql + Sync); 18] {
        [
            &self.id,
            between,
            &self.agent,
            &self.agent_session_id,
            &self.last_connection_id,
            &self.created_at,
            &self.destroyed_at,
            &self.sandbox_id,
            &self.session_init,
            &self.config_options,
            &self.modes,
            &self.title,
            &self.last_activity_at,
            &self.tags,
            &self.archived_at,
            &self.extra,
            &self.folded_title,
            &self.last_active,
        ]
    }

    /// The bytes of those that have no bound by nature.
    pub(crate) fn size(&self) -> usize {
        let json = [&self.session_init, &self.config_options, &self.modes, &self.extra];
        let json = json.iter().map(|json| json.0.as_ref().map_or(0, String::len));
        json.sum::<usize>() + 2 * self.folded_title.0.len()
    }
}

/// A row, and what it is called when it can't be read.
struct Reader<'a> {
    row: &'a Row,
    place: &'a str,
    name: String,
}

impl<'a> Reader<'a> {
    /// The reader of a row whose first column is its id.
    fn new(row: &'a Row, place: &'a str, what: &str) -> Result<(Self, String), PersistError> {
        let mut reader = Self { row, place, name: format!("a row of {what}s") };
        let id = reader.text(0)?;
        reader.name = format!("{what} {id:?}");
        Ok((reader, id))
    }

    fn get<T: FromSql<'a>>(&self, column: usize) -> Result<T, PersistError> {
        self.row.try_get(column).map_err(|error| {
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            self.corrupt(&why)
        })
    }

    fn text(&self, column: usize) -> Result<String, PersistError> {
        self.restored(self.get(column)?)
    }

    fn optional_text(&self, column: usize) -> Result<Option<String>, PersistError> {
        self.get::<Option<&str>>(column)?.map(|text| self.restored(text)).transpose()
    }

    fn restored(&self, text: &str) -> Result<String, PersistError> {
        restored(text).ok_or_else(|| self.corrupt("a character U+0001 that belongs to no pair"))
    }

    fn index(&self, index: i64) -> Result<u64, PersistError> {
        u64::try_from(index).map_err(|_| self.corrupt("an index below 0"))
    }

    fn json<T: DeserializeOwned>(&self, column: usize) -> Result<Option<T>, PersistError> {
        let text: Option<&str> = self.get(column)?;
        text.map(serde_json::from_str).transpose().map_err(|error| self.corrupt(&error.to_string()))
    }

    fn corrupt(&self, why: &str) -> PersistError {
        corrupt(self.place, &self.name, why)
    }
}

/// The record in a row of [`SESSION_COLUMNS`].
pub(crate) fn session(row: &Row, place: &str) -> Result<SessionRecord, PersistError> {
    let (reader, id) = Reader::new(row, place, "session")?;
    let mut record = SessionRecord::new(id, reader.text(1)?, reader.get(4)?);
    record.agent_session_id = reader.text(2)?;
    record.last_connection_id = reader.text(3)?;
    record.destroyed_at = reader.get(5)?;
    record.sandbox_id = reader.optional_text(6)?;
    record.session_init = reader.json(7)?;
    record.config_options = reader.json(8)?;
    record.modes = reader.json(9)?;
    record.title = reader.optional_text(10)?;
    record.last_activity_at = reader.get(11)?;
    let tags: Vec<&str> = reader.get(12)?;
    record.tags = tags.into_iter().map(|tag| reader.restored(tag)).collect::<Result<_, _>>()?;
    record.archived_at = reader.get(13)?;
    record.extra = reader.json(14)?.unwrap_or_default();
    Ok(record)
}

/// The event in a row of [`EVENT_COLUMNS`].
pub(crate) fn event(row: &Row, place: &str) -> Result<SessionEvent, PersistError> {
    let (reader, id) = Reader::new(row, place, "event")?;
    let index = reader.index(reader.get(1)?)?;
    let folded_from: Option<i64> = reader.get(2)?;
    let sender = match reader.get::<&str>(6)? {
        "client" => Sender::Client,
        "agent" => Sender::Agent,
        _ => return Err(reader.corrupt("a sender that is neither client nor agent")),
    };
    let payload: String = reader.get(7)?;
    let payload = RawValue::from_string(payload).map_err(|error| reader.corrupt(&error.to_string()))?;
    let event =
        SessionEvent::new(id, index, reader.text(3)?, reader.get(4)?, reader.text(5)?, sender, payload);
    Ok(match folded_from {
        Some(first) => event.standing_from(reader.index(first)?),
        None => event,
    })
}
