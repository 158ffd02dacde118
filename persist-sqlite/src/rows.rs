//! Between rows and records.

use std::error::Error;
use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Row, ToSql};
use sandbox_agent_persist::{PersistError, RawValue, Sender, SessionEvent, SessionRecord, fold_case};
use serde_json::Value;

use crate::error::corrupt;
use crate::tags;

macro_rules! session_columns {
    () => {
        "id, agent, agent_session_id, last_connection_id, created_at, destroyed_at, sandbox_id, \
         session_init_json, config_options_json, modes_json, extra_json, title, last_activity_at, \
         tags_json, archived_at"
    };
}

macro_rules! event_columns {
    () => {
        "id, event_index, session_id, created_at, connection_id, sender, payload_json, folded_from"
    };
}

pub(crate) use {event_columns, session_columns};

/// A record whose JSON is printed, ready to be bound.
pub(crate) struct SessionRow {
    record: SessionRecord,
    session_init: Option<String>,
    config_options: Option<String>,
    modes: Option<String>,
    extra: Option<String>,
    tags: Option<String>,
    title_folded: Option<String>,
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
            tags: tags::print(&record.tags),
            title_folded: record.title.as_deref().map(fold_case),
            record,
        }
    }
}

impl SessionRow {
    pub(crate) fn id(&self) -> &str {
        &self.record.id
    }

    /// About how many bytes it takes: those of its JSON, beside which the rest is small.
    pub(crate) fn size(&self) -> usize {
        let json = [&self.session_init, &self.config_options, &self.modes, &self.extra, &self.tags];
        size_of::<Self>() + json.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// The values of [`session_columns`], and behind them that of `title_folded`, which is only searched.
    pub(crate) fn values(&self) -> [&dyn ToSql; 16] {
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
            &self.record.title,
            &self.record.last_activity_at,
            &self.tags,
            &self.record.archived_at,
            &self.title_folded,
        ]
    }
}

/// The record in a row of [`session_columns`].
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
    record.title = get(row, path, &name, 11)?;
    record.last_activity_at = get(row, path, &name, 12)?;
    record.tags = json(row, path, &name, 13)?.unwrap_or_default();
    record.archived_at = get(row, path, &name, 14)?;
    Ok(record)
}

/// The event in a row of [`event_columns`].
pub(crate) fn event(row: &Row<'_>, path: &Path) -> Result<SessionEvent, PersistError> {
    let id: String = get(row, path, "an event", 0)?;
    read_event(row, &id).map_err(|error| corrupt(path, &format!("event {id:?}"), error))
}

fn read_event(row: &Row<'_>, id: &str) -> Result<SessionEvent, Unreadable> {
    let sender = match row.get_ref(5)?.as_str()? {
        "client" => Sender::Client,
        "agent" => Sender::Agent,
        sender => return Err(format!("its sender is {sender:?}, and neither client nor agent").into()),
    };
    let index = row.get::<_, i64>(1)?.try_into()?;
    let folded_from = row.get::<_, Option<i64>>(7)?;
    let mut event = SessionEvent::new(
        id,
        index,
        row.get::<_, String>(2)?,
        row.get(3)?,
        row.get::<_, String>(4)?,
        sender,
        RawValue::from_string(row.get(6)?)?,
    );
    event.folded_from = folded_from.map(u64::try_from).transpose()?;
    match event.folded_from {
        Some(first) if first == 0 || first > index => {
            Err(format!("it stands for a run that begins at {first} and ends at {index}").into())
        }
        _ => Ok(event),
    }
}

type Unreadable = Box<dyn Error + Send + Sync>;

fn get<T: FromSql>(row: &Row<'_>, path: &Path, name: &str, column: usize) -> Result<T, PersistError> {
    row.get(column).map_err(|error| corrupt(path, name, error.into()))
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
        .map_err(|error| corrupt(path, name, error.into()))
}
