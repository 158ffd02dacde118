//! What is written: the statements of a transaction.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{CachedStatement, Connection, params};
use sandbox_agent_persist::{Inserted, Lease, PersistError, SessionEvent};

use crate::error::sqlite;
use crate::leases;
use crate::rows::{SessionRow, event_columns, session_columns};

const INSERT_EVENT: &str = concat!(
    "INSERT INTO events (",
    event_columns!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
);

const UPDATE_SESSION: &str = concat!(
    "INSERT INTO sessions (",
    session_columns!(),
    ", title_folded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, \
     agent_session_id = excluded.agent_session_id, \
     last_connection_id = excluded.last_connection_id, created_at = excluded.created_at, \
     destroyed_at = excluded.destroyed_at, sandbox_id = excluded.sandbox_id, \
     session_init_json = excluded.session_init_json, \
     config_options_json = excluded.config_options_json, modes_json = excluded.modes_json, \
     extra_json = excluded.extra_json, title = excluded.title, \
     last_activity_at = excluded.last_activity_at, tags_json = excluded.tags_json, \
     archived_at = excluded.archived_at, title_folded = excluded.title_folded"
);

const HOLDS_JUST: &str = "SELECT min(coalesce(folded_from, event_index)) = ?2 AND max(event_index) = ?3 \
    AND sum(event_index - coalesce(folded_from, event_index) + 1) = ?3 - ?2 + 1 \
    FROM events WHERE session_id = ?1 AND event_index BETWEEN ?2 AND ?3";

/// The row of the last one stays in its place, so that a session's rows lie in their order.
const FOLD_INTO_LAST: &str = "UPDATE events SET id = ?3, created_at = ?4, connection_id = ?5, \
    sender = ?6, payload_json = ?7, folded_from = ?8 WHERE session_id = ?1 AND event_index = ?2";

/// Why a call was not written.
#[derive(Debug)]
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Refused(PersistError),
}

impl Failure {
    pub(crate) fn into_error(self, path: &Path) -> PersistError {
        match self {
            Self::Sqlite(error) => sqlite(path)(error),
            Self::Refused(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<PersistError> for Failure {
    fn from(error: PersistError) -> Self {
        Self::Refused(error)
    }
}

/// An open transaction, for the calls that share it.
pub(crate) struct Work<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) path: &'c Path,
    /// What was learnt of the sessions since it began: right for as long as it keeps other writers out.
    next_indexes: HashMap<String, u64>,
}

impl<'c> Work<'c> {
    pub(crate) fn new(connection: &'c Connection, path: &'c Path) -> Self {
        Self { connection, path, next_indexes: HashMap::new() }
    }

    /// The next index of each session that may have grown.
    pub(crate) fn next_indexes(self) -> HashMap<String, u64> {
        self.next_indexes
    }

    pub(crate) fn insert(
        &mut self,
        fence: Option<&Lease>,
        session_id: &str,
        events: &[SessionEvent],
    ) -> Result<Inserted, Failure> {
        leases::check(self, session_id, fence)?;
        let mut next_index = match self.next_indexes.get(session_id) {
            Some(next_index) => *next_index,
            None => self.last_index(session_id)? + 1,
        };
        let inserted = self.insert_all(events, &mut next_index);
        self.next_indexes.insert(session_id.to_owned(), next_index);
        inserted
    }

    fn insert_all(&self, events: &[SessionEvent], next_index: &mut u64) -> Result<Inserted, Failure> {
        let mut statement = self.connection.prepare_cached(INSERT_EVENT)?;
        for event in events {
            match self.insert_one(&mut statement, event, *next_index)? {
                Inserted::Stored => *next_index = event.event_index + 1,
                stopped => return Ok(stopped),
            }
        }
        Ok(Inserted::Stored)
    }

    fn insert_one(
        &self,
        statement: &mut CachedStatement<'_>,
        event: &SessionEvent,
        next_index: u64,
    ) -> Result<Inserted, Failure> {
        if event.first_index() != next_index {
            return Ok(match self.is_known(&event.id)? {
                true => Inserted::Duplicate,
                false => Inserted::Conflict { next_index },
            });
        }
        let (index, folded_from) = event.signed_indexes()?;
        let stored = statement.execute(params![
            event.id,
            index,
            event.session_id,
            event.created_at,
            event.connection_id,
            event.sender.as_str(),
            event.payload.get(),
            folded_from,
        ])?;
        Ok(match stored {
            0 => Inserted::Duplicate,
            _ => Inserted::Stored,
        })
    }

    pub(crate) fn update(&self, fence: Option<&Lease>, row: &SessionRow) -> Result<(), Failure> {
        leases::check(self, row.id(), fence)?;
        self.connection.prepare_cached(UPDATE_SESSION)?.execute(&row.values()[..])?;
        Ok(())
    }

    pub(crate) fn delete(&mut self, fence: Option<&Lease>, session_id: &str) -> Result<(), Failure> {
        leases::check(self, session_id, fence)?;
        self.next_indexes.remove(session_id);
        self.all_or_nothing(|connection| {
            for rows in ["DELETE FROM events WHERE session_id = ?1", "DELETE FROM sessions WHERE id = ?1"] {
                connection.prepare_cached(rows)?.execute([session_id])?;
            }
            Ok(())
        })
    }

    pub(crate) fn fold(&self, fence: Option<&Lease>, folded: &SessionEvent) -> Result<bool, Failure> {
        let session_id = folded.session_id.as_str();
        leases::check(self, session_id, fence)?;
        if self.is_known(&folded.id)? {
            return Ok(false);
        }
        // No event has what can't be an index.
        let Ok((last, folded_from)) = folded.signed_indexes() else { return Ok(false) };
        let first = folded_from.unwrap_or(last);
        let holds_just = self
            .connection
            .prepare_cached(HOLDS_JUST)?
            .query_row(params![session_id, first, last], |row| row.get::<_, Option<bool>>(0))?;
        if holds_just != Some(true) {
            return Ok(false);
        }
        self.all_or_nothing(|connection| {
            let others =
                "DELETE FROM events WHERE session_id = ?1 AND event_index >= ?2 AND event_index < ?3";
            connection.prepare_cached(others)?.execute(params![session_id, first, last])?;
            connection.prepare_cached(FOLD_INTO_LAST)?.execute(params![
                session_id,
                last,
                folded.id,
                folded.created_at,
                folded.connection_id,
                folded.sender.as_str(),
                folded.payload.get(),
                folded_from,
            ])?;
            Ok(true)
        })
    }

    fn last_index(&self, session_id: &str) -> rusqlite::Result<u64> {
        last_index(self.connection, session_id)
    }

    fn is_known(&self, event_id: &str) -> rusqlite::Result<bool> {
        self.connection.prepare_cached("SELECT 1 FROM events WHERE id = ?1")?.exists([event_id])
    }

    /// All these statements or none, whatever else the transaction holds.
    fn all_or_nothing<T>(
        &self,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        self.connection.execute_batch("SAVEPOINT one_call")?;
        let done = statements(self.connection);
        // SQLite may have given the whole transaction up.
        if done.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK TO one_call")?;
        }
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("RELEASE one_call")?;
        }
        Ok(done?)
    }
}

/// The index that the session has come to; 0 when it has no event.
pub(crate) fn last_index(connection: &Connection, session_id: &str) -> rusqlite::Result<u64> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(event_index) FROM events WHERE session_id = ?1")?
        .query_row([session_id], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last.max(0).unsigned_abs()))
}
