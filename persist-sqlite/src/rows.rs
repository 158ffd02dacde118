//! Between rows and records.

use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Row, ToSql};
use sandbox_agent_persist::{PersistError, RawValue, Sender, SessionEvent, SessionRecord};
use serde_json::Value;

use crate::error::corrupt;

pub(crate) const SESSION_COLUMNS: &str = "id, agent, agent_session_id, last_connection_id, \
    created_at, destroyed_at, sandbox_id, session_init_json, config_options_json, modes_json, \
    extra_json";

pub(crate) const EVENT_COLUMNS: &str =
    "id, event_index, session_id, created_at, connection_id, sender, payload_json";

/// A record whose JSON is printed, ready to be bound.
pub(crate) struct SessionRow {
    record: SessionRecord,
    session_init: Option<String>,
    config_options: Option<String>,
    modes: Option<String>,
    extra: Option<String>,
}

impl From<SessionRecord> for SessionRow {
    fn from(mut record: SessionRecord) -> Self {
        let print = |value: Option<Value>| value.map(|value| value.to_string());
        let extra = std::mem::take(&mut record.extra);
        Self {
            session_init: print(record.session_init.take()),
            config_options: print(record.config_options.take()),
            modes: print(record.modes.take()),
            extra: print((!extra.is_empty()).then_some(Value::Object(extra))),
            record,
        }
    }
}

impl SessionRow {
    /// The values of [`SESSION_COLUMNS`].
    pub(crate) fn values(&self) -> [&dyn ToSql; 11] {
        [
            &self.record.id,
            &self.record.agent,
            &self.record.agent_session_id,
            &self.record.last_connection_id,
            &self.record.created_at,
            &self.record.destroyed_at,
            &self.record.sandbox_id,
            &self.session_init,
            &self.config_options,
            &self.modes,
            &self.extra,
        ]
    }
}

/// The record in a row of [`SESSION_COLUMNS`].
pub(crate) fn session(row: &Row<'_>, path: &Path) -> Result<SessionRecord, PersistError> {
    let id: String = get(row, path, "a session", 0)?;
    let name = format!("session {id:?}");
    let mut record = SessionRecord::new(id, get::<String>(row, path, &name, 1)?, get(row, path, &name, 4)?);
    record.agent_session_id = get(row, path, &name, 2)?;
    record.last_connection_id = get(row, path, &name, 3)?;
    record.destroyed_at = get(row, path, &name, 5)?;
    record.sandbox_id = get(row, path, &name, 6)?;
    record.session_init = json(row, path, &name, 7)?;
    record.config_options = json(row, path, &name, 8)?;
    record.modes = json(row, path, &name, 9)?;
    record.extra = json(row, path, &name, 10)?.unwrap_or_default();
    Ok(record)
}

/// The event in a row of [`EVENT_COLUMNS`].
pub(crate) fn event(row: &Row<'_>, path: &Path) -> Result<SessionEvent, PersistError> {
    let id: String = get(row, path, "an event", 0)?;
    let name = format!("event {id:?}");
    let index: i64 = get(row, path, &name, 1)?;
    let index = u64::try_from(index).map_err(|error| corrupt(path, &name, error))?;
    let sender: String = get(row, path, &name, 5)?;
    let sender = serde_json::from_value::<Sender>(Value::String(sender))
        .map_err(|error| corrupt(path, &name, error))?;
    let payload =
        RawValue::from_string(get(row, path, &name, 6)?).map_err(|error| corrupt(path, &name, error))?;
    Ok(SessionEvent::new(
        id,
        index,
        get::<String>(row, path, &name, 2)?,
        get(row, path, &name, 3)?,
        get::<String>(row, path, &name, 4)?,
        sender,
        payload,
    ))
}

fn get<T: FromSql>(row: &Row<'_>, path: &Path, name: &str, column: usize) -> Result<T, PersistError> {
    row.get(column).map_err(|error| corrupt(path, name, error))
}

fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    path: &Path,
    name: &str,
    column: usize,
) -> Result<Option<T>, PersistError> {
    get::<Option<String>>(row, path, name, column)?
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| corrupt(path, name, error))
}
