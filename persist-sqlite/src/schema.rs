//! Opening a file: connections, and tables brought up to date.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use sandbox_agent_persist::{PersistError, PersistErrorKind};

use crate::error::sqlite;

type Migration = fn(&Transaction<'_>, &Path) -> Result<(), PersistError>;

/// Each brings a file from the version that is its place in the list to the next.
/// A file of a TypeScript program and a new one have version 0.
const MIGRATIONS: [Migration; 1] = [shared_tables];

/// Statements kept prepared by each connection; more than there are.
const PREPARED: usize = 32;

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

const INDEXES: &str = "
    DROP INDEX IF EXISTS idx_events_session_order;
    CREATE INDEX idx_events_session_order ON events (session_id, event_index, id);
    CREATE UNIQUE INDEX idx_events_session_index ON events (session_id, event_index);
    CREATE INDEX idx_sessions_created ON sessions (created_at, id)";

/// The connection that writes, on a file that is up to date.
pub(crate) fn open_writer(path: &Path, patience: Duration) -> Result<Connection, PersistError> {
    let mut connection = connect(path, patience, OpenFlags::SQLITE_OPEN_CREATE)?;
    // Changing to WAL does not always wait for another process that opens the file too.
    let deadline = Instant::now() + patience;
    loop {
        match prepare(&mut connection, path) {
            Err(error) if error.is_unavailable() && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            prepared => return prepared.map(|()| connection),
        }
    }
}

/// A connection that reads.
pub(crate) fn open_reader(path: &Path, patience: Duration) -> Result<Connection, PersistError> {
    let connection = connect(path, patience, OpenFlags::empty())?;
    connection.pragma_update(None, "query_only", true).map_err(sqlite(path))?;
    Ok(connection)
}

fn connect(path: &Path, patience: Duration, more: OpenFlags) -> Result<Connection, PersistError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite(path))?;
    connection.busy_timeout(patience).map_err(sqlite(path))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), PersistError> {
    // A file that can't be written opens all the same, for reading.
    if connection.is_readonly("main").map_err(sqlite(path))? {
        return Err(unusable(path, "can't be written; make the file and its folder writable"));
    }
    // Before anything is changed: is it a file that this version may change?
    version(connection, path)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sqlite(path))?;
    if mode != "wal" {
        return Err(unusable(path, "can't be put in WAL mode; put it on a local disk"));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite(path))?;

    while version(connection, path)? < MIGRATIONS.len() {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite(path))?;
        // Another process may have been faster.
        let from = version(&transaction, path)?;
        if let Some(migrate) = MIGRATIONS.get(from) {
            migrate(&transaction, path)?;
            transaction
                .execute_batch(&format!("PRAGMA user_version = {}", from + 1))
                .map_err(sqlite(path))?;
        }
        transaction.commit().map_err(sqlite(path))?;
    }
    Ok(())
}

fn version(connection: &Connection, path: &Path) -> Result<usize, PersistError> {
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
    for (column, kind) in [
        ("destroyed_at", "INTEGER"),
        ("session_init_json", "TEXT"),
        ("sandbox_id", "TEXT"),
        ("config_options_json", "TEXT"),
        ("modes_json", "TEXT"),
        ("extra_json", "TEXT"),
    ] {
        if !found.contains_key(column) {
            run(&format!("ALTER TABLE sessions ADD COLUMN {column} {kind}"))?;
        }
    }

    if columns(tables, path, "events")?.is_empty() {
        run(EVENTS)?;
    }
    let found = columns(tables, path, "events")?;
    let needed = ["id", "session_id", "created_at", "connection_id", "sender", "payload_json"];
    require(path, "events", &found, &needed)?;
    if !found.contains_key("event_index") {
        run("ALTER TABLE events ADD COLUMN event_index INTEGER")?;
    }
    run(NUMBER_IRREGULAR_SESSIONS)?;
    if found.get("id").is_some_and(|kind| kind != "TEXT") {
        run("ALTER TABLE events RENAME TO old_events")?;
        run(EVENTS)?;
        run(REBUILD_EVENTS)?;
    }
    run(INDEXES)
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

fn unusable(path: &Path, what: &str) -> PersistError {
    PersistError::new(PersistErrorKind::Other, format!("{} {what}", path.display()))
}
