//! What is written, and its statements.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use sandbox_agent_persist::{Inserted, SessionEvent};

use crate::rows::{EVENT_COLUMNS, SESSION_COLUMNS, SessionRow};

pub(crate) enum Write {
    Insert { session_id: String, events: Vec<SessionEvent> },
    Update(Box<SessionRow>),
    Delete { session_id: String },
}

/// Runs it inside a transaction. `next_indexes` holds what was learnt of the sessions since
/// that began; it stays right for as long as the transaction keeps other writers out.
pub(crate) fn apply<'a>(
    connection: &Connection,
    write: &'a Write,
    next_indexes: &mut HashMap<&'a str, u64>,
) -> rusqlite::Result<Inserted> {
    match write {
        Write::Insert { session_id, events } => {
            for event in events {
                let next_index = match next_indexes.get(session_id.as_str()) {
                    Some(next_index) => *next_index,
                    None => next_index(connection, session_id)?,
                };
                next_indexes.insert(session_id, next_index);
                match insert(connection, event, next_index)? {
                    Inserted::Stored => next_indexes.insert(session_id, next_index + 1),
                    stopped => return Ok(stopped),
                };
            }
        }
        Write::Update(row) => {
            let sql = format!(
                "INSERT INTO sessions ({SESSION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (id) DO UPDATE SET ({SESSION_COLUMNS}) = (excluded.id, \
                 excluded.agent, excluded.agent_session_id, excluded.last_connection_id, \
                 excluded.created_at, excluded.destroyed_at, excluded.sandbox_id, \
                 excluded.session_init_json, excluded.config_options_json, excluded.modes_json, \
                 excluded.extra_json)"
            );
            connection.prepare_cached(&sql)?.execute(&row.values()[..])?;
        }
        Write::Delete { session_id } => {
            next_indexes.remove(session_id.as_str());
            delete(connection, session_id)?;
        }
    }
    Ok(Inserted::Stored)
}

fn next_index(connection: &Connection, session_id: &str) -> rusqlite::Result<u64> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(event_index) FROM events WHERE session_id = ?1")?
        .query_row([session_id], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last.max(0).unsigned_abs()) + 1)
}

fn insert(connection: &Connection, event: &SessionEvent, next_index: u64) -> rusqlite::Result<Inserted> {
    if event.event_index != next_index {
        let known = connection.prepare_cached("SELECT 1 FROM events WHERE id = ?1")?.exists([&event.id])?;
        return Ok(match known {
            true => Inserted::Duplicate,
            false => Inserted::Conflict { next_index },
        });
    }
    let index = i64::try_from(event.event_index)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let sql = format!(
        "INSERT INTO events ({EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO NOTHING"
    );
    let stored = connection.prepare_cached(&sql)?.execute(params![
        event.id,
        index,
        event.session_id,
        event.created_at,
        event.connection_id,
        event.sender.as_str(),
        event.payload.get(),
    ])?;
    Ok(match stored {
        0 => Inserted::Duplicate,
        _ => Inserted::Stored,
    })
}

/// Both tables or none, whatever else the transaction holds.
fn delete(connection: &Connection, session_id: &str) -> rusqlite::Result<()> {
    connection.execute_batch("SAVEPOINT one_session")?;
    let deleted = ["events WHERE session_id", "sessions WHERE id"].iter().try_for_each(|rows| {
        let sql = format!("DELETE FROM {rows} = ?1");
        connection.prepare_cached(&sql)?.execute([session_id]).map(drop)
    });
    if deleted.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK TO one_session")?;
    }
    if !connection.is_autocommit() {
        connection.execute_batch("RELEASE one_session")?;
    }
    deleted
}
