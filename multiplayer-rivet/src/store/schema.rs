//! The tables, and bringing an actor's up to date.
//!
//! The runtime has tables of its own in the same database, and its version of them there, so that ours
//! have a name of their own and a table for their version.

use sandbox_agent_persist::{PersistError, PersistErrorKind};

use super::database::{Database, Statement, Value};

/// The version that this program writes.
const VERSION: i64 = 1;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS sandbox_agent_version (version INTEGER NOT NULL)";

/// `body` is the record as JSON, and the other columns are what lists ask for.
const SESSIONS: &str = "CREATE TABLE IF NOT EXISTS sandbox_agent_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    created_at INTEGER NOT NULL,
    destroyed_at INTEGER,
    archived_at INTEGER,
    active_at INTEGER NOT NULL,
    agent TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    body TEXT
)";

const SESSIONS_IN_ORDER: &str = "CREATE UNIQUE INDEX IF NOT EXISTS sandbox_agent_sessions_in_order
    ON sandbox_agent_sessions (created_at, id)";

/// The payload is last, so that a row is read up to it without it.
const EVENTS: &str = "CREATE TABLE IF NOT EXISTS sandbox_agent_events (
    id TEXT PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL,
    event_index INTEGER NOT NULL,
    folded_from INTEGER,
    bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    connection_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    payload TEXT
)";

const EVENTS_IN_ORDER: &str = "CREATE UNIQUE INDEX IF NOT EXISTS sandbox_agent_events_in_order
    ON sandbox_agent_events (session_id, event_index)";

/// What is too long for a row, in pieces: the payload of an event, and the body of the record at index 0.
const PIECES: &str = "CREATE TABLE IF NOT EXISTS sandbox_agent_pieces (
    session_id TEXT NOT NULL,
    event_index INTEGER NOT NULL,
    place INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (session_id, event_index, place)
) WITHOUT ROWID";

const EVENT_GOES: &str = "CREATE TRIGGER IF NOT EXISTS sandbox_agent_event_goes
    AFTER DELETE ON sandbox_agent_events WHEN old.payload IS NULL
    BEGIN DELETE FROM sandbox_agent_pieces
        WHERE session_id = old.session_id AND event_index = old.event_index; END";

const PAYLOAD_GOES: &str = "CREATE TRIGGER IF NOT EXISTS sandbox_agent_payload_goes
    AFTER UPDATE OF payload ON sandbox_agent_events WHEN old.payload IS NULL
    BEGIN DELETE FROM sandbox_agent_pieces
        WHERE session_id = old.session_id AND event_index = old.event_index; END";

/// Makes the tables if they aren't there.
pub(super) async fn bring_up_to_date(database: &Database) -> Result<(), PersistError> {
    match version(database).await? {
        VERSION => Ok(()),
        0 => {
            let tables = [
                VERSIONS,
                SESSIONS,
                SESSIONS_IN_ORDER,
                EVENTS,
                EVENTS_IN_ORDER,
                PIECES,
                EVENT_GOES,
                PAYLOAD_GOES,
            ];
            let note = Statement::new(
                "INSERT INTO sandbox_agent_version SELECT ?1 \
                 WHERE NOT EXISTS (SELECT 1 FROM sandbox_agent_version)",
                [VERSION.into()],
            );
            let made = tables.into_iter().map(|table| Statement::new(table, [])).chain([note]);
            database.write(made.collect()).await.map(drop)
        }
        version => Err(PersistError::new(
            PersistErrorKind::Other,
            format!(
                "the tables of actor {} have version {version}, and this program knows {VERSION}; update it",
                database.actor_id()
            ),
        )),
    }
}

/// The version of the tables; 0 when there are none.
async fn version(database: &Database) -> Result<i64, PersistError> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sandbox_agent_version'";
    if database.read(Statement::new(table, [])).await?.is_empty() {
        return Ok(0);
    }
    let version = Statement::new("SELECT version FROM sandbox_agent_version", []);
    match database.read(version).await?.as_slice() {
        [row] => match row[..] {
            [Value::Integer(version)] if version > 0 => Ok(version),
            _ => Err(database.corrupt("has tables of an impossible version")),
        },
        _ => Err(database.corrupt("has tables of no one version")),
    }
}
