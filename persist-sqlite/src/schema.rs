//! The tables, and bringing a file's up to date.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use sandbox_agent_persist::{PersistError, PersistErrorKind};

use crate::error::sqlite;

type Migration = fn(&Transaction<'_>, &Path) -> Result<(), PersistError>;

/// Each brings a file from the version that is its place in the list to the next.
/// A file of a TypeScript program and a new one have version 0.
const MIGRATIONS: [Migration; 2] = [shared_tables, catalogue_runs_and_leases];

const SESSIONS: &str = "
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY NOT NULL,
        agent TEXT NOT NULL,
        agent_session_id TEXT NOT NULL,
        last_connection_id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        destroyed_at INTEGER,
        session_init_json TEXT
    )";

const EVENTS: &str = "
    CREATE TABLE events (
        id TEXT PRIMARY KEY NOT NULL,
        event_index INTEGER NOT NULL,
        session_id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        connection_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        payload_json TEXT NOT NULL
    )";

const REBUILD_EVENTS: &str = "
    INSERT INTO events
        (id, event_index, session_id, created_at, connection_id, sender, payload_json)
    SELECT CAST(id AS TEXT), event_index, session_id, created_at, connection_id, sender, payload_json
    FROM old_events ORDER BY rowid;
    DROP TABLE old_events";

const NUMBER_IRREGULAR_SESSIONS: &str = "
    UPDATE events SET event_index = numbered.place
    FROM (
        SELECT rowid AS event_row, row_number() OVER (
            PARTITION BY session_id ORDER BY event_index, created_at, rowid
        ) AS place
        FROM events
        WHERE session_id IN (
            SELECT session_id FROM events GROUP BY session_id
            HAVING count(event_index) <> count(*)
                OR count(DISTINCT event_index) <> count(*)
                OR min(event_index) <> 1
                OR max(event_index) <> count(*)
        )
    ) AS numbered
    WHERE events.rowid = numbered.event_row";

/// TypeScript programs make an index `idx_events_session_order` if there is none of that name. This
/// one serves them as well, and keeps an index from being taken twice: two would cost each insert a fifth.
const INDEXES: &str = "
    DROP INDEX IF EXISTS idx_events_session_index;
    DROP INDEX IF EXISTS idx_events_session_order;
    CREATE UNIQUE INDEX idx_events_session_order ON events (session_id, event_index);
    DROP INDEX IF EXISTS idx_sessions_created;
    CREATE INDEX idx_sessions_created ON sessions (created_at, id);
    CREATE INDEX idx_sessions_agent ON sessions (agent, created_at, id);
    CREATE INDEX idx_sessions_open ON sessions (created_at, id) WHERE destroyed_at IS NULL;
    CREATE INDEX idx_sessions_destroyed ON sessions (created_at, id) WHERE destroyed_at IS NOT NULL";

/// AUTOINCREMENT never gives a token out again, also when its row is gone.
const LEASES: &str = "
    CREATE TABLE leases (
        token INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL UNIQUE,
        holder TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    )";

/// Brings the file up to date, in one transaction.
pub(crate) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), PersistError> {
    if version(connection, path)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite(path))?;
    // Another process may have been faster.
    let from = version(&transaction, path)?;
    for migrate in MIGRATIONS.iter().skip(from) {
        migrate(&transaction, path)?;
    }
    let now = format!("PRAGMA user_version = {}", MIGRATIONS.len());
    transaction.execute_batch(&now).map_err(sqlite(path))?;
    transaction.commit().map_err(sqlite(path))
}

/// The version of the file's tables; an error if this program may not change it.
pub(crate) fn version(connection: &Connection, path: &Path) -> Result<usize, PersistError> {
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite(path))?;
    usize::try_from(version)
        .ok()
        .filter(|version| *version <= MIGRATIONS.len())
        .ok_or_else(|| {
            let known = MIGRATIONS.len();
            unusable(
                path,
                &format!("has schema version {version}, and this program knows up to {known}; update it, or give another path"),
            )
        })
}

/// The tables that are shared with TypeScript programs, whatever shape they are in.
fn shared_tables(tables: &Transaction<'_>, path: &Path) -> Result<(), PersistError> {
    let run = |sql: &str| tables.execute_batch(sql).map_err(sqlite(path));

    if columns(tables, path, "sessions")?.is_empty() {
        run(SESSIONS)?;
    }
    let found = columns(tables, path, "sessions")?;
    let needed = ["id", "agent", "agent_session_id", "last_connection_id", "created_at"];
    require(path, "sessions", &found, &needed)?;
    let more = [
        ("destroyed_at", "INTEGER"),
        ("session_init_json", "TEXT"),
        ("sandbox_id", "TEXT"),
        ("config_options_json", "TEXT"),
        ("modes_json", "TEXT"),
        ("extra_json", "TEXT"),
    ];
    add_missing(tables, path, "sessions", &more)?;

    if columns(tables, path, "events")?.is_empty() {
        run(EVENTS)?;
    }
    let found = columns(tables, path, "events")?;
    let needed = ["id", "session_id", "created_at", "connection_id", "sender", "payload_json"];
    require(path, "events", &found, &needed)?;
    add_missing(tables, path, "events", &[("event_index", "INTEGER")])?;
    run(NUMBER_IRREGULAR_SESSIONS)?;
    if found.get("id").is_some_and(|kind| kind != "TEXT") {
        run("ALTER TABLE events RENAME TO old_events")?;
        run(EVENTS)?;
        run(REBUILD_EVENTS)?;
    }
    Ok(())
}

/// What TypeScript programs don't know. They name the columns that they write, so that these stay
/// as they are, or NULL.
fn catalogue_runs_and_leases(tables: &Transaction<'_>, path: &Path) -> Result<(), PersistError> {
    let more = [
        ("title", "TEXT"),
        ("title_folded", "TEXT"),
        ("last_activity_at", "INTEGER"),
        ("tags_json", "TEXT"),
        ("archived_at", "INTEGER"),
    ];
    add_missing(tables, path, "sessions", &more)?;
    add_missing(tables, path, "events", &[("folded_from", "INTEGER")])?;
    if !columns(tables, path, "leases")?.is_empty() {
        return Err(unusable(path, "has a table \"leases\" of another program; give another path"));
    }
    let run = |sql: &str| tables.execute_batch(sql).map_err(sqlite(path));
    run(LEASES)?;
    run(INDEXES)
}

fn add_missing(
    tables: &Transaction<'_>,
    path: &Path,
    table: &str,
    wanted: &[(&str, &str)],
) -> Result<(), PersistError> {
    let found = columns(tables, path, table)?;
    wanted.iter().filter(|(column, _)| !found.contains_key(*column)).try_for_each(|(column, kind)| {
        let sql = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
        tables.execute_batch(&sql).map_err(sqlite(path))
    })
}

/// The columns of a table with their declared types; none when there is no such table.
fn columns(
    tables: &Transaction<'_>,
    path: &Path,
    table: &str,
) -> Result<HashMap<String, String>, PersistError> {
    let mut statement =
        tables.prepare("SELECT name, upper(type) FROM pragma_table_info(?1)").map_err(sqlite(path))?;
    let columns = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).map_err(sqlite(path))?;
    columns.collect::<Result<_, _>>().map_err(sqlite(path))
}

fn require(
    path: &Path,
    table: &str,
    found: &HashMap<String, String>,
    needed: &[&str],
) -> Result<(), PersistError> {
    match needed.iter().find(|column| !found.contains_key(**column)) {
        None => Ok(()),
        Some(missing) => Err(unusable(
            path,
            &format!(
                "has a table {table:?} without the column {missing:?}, so it belongs to another program; give another path"
            ),
        )),
    }
}

pub(crate) fn unusable(path: &Path, what: &str) -> PersistError {
    PersistError::new(PersistErrorKind::Other, format!("{} {what}", path.display()))
}
