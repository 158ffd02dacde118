//! Rows of a SQLite file that another program wrote.

use std::borrow::Cow;
use std::cell::RefCell;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, PersistErrorKind, RawValue, Sender, SessionEvent,
    SessionFilter, SessionLease, SessionPersistDriver, SessionRecord,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const EVENT: &str = "INSERT INTO events \
    (id, event_index, session_id, created_at, connection_id, sender, payload_json, folded_from) \
    VALUES (?, ?, 's', ?, ?, ?, ?, ?)";
const SESSION: &str = "INSERT INTO sessions \
    (id, agent, agent_session_id, last_connection_id, created_at, destroyed_at, sandbox_id, \
     session_init_json, config_options_json, modes_json, extra_json, title, last_activity_at, \
     tags_json, archived_at, title_folded) \
    VALUES ('s', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const LEASE: &str = "INSERT INTO leases (session_id, holder, expires_at, token) VALUES ('s', ?, ?, ?)";

/// A value for a column: a letter says of which type, the rest what it is.
struct Cell(Vec<u8>, u8);

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = String::from_utf8_lossy(&self.0);
        Ok(match self.1 {
            b'i' => ToSqlOutput::Owned(Value::Integer(text.parse().unwrap_or_default())),
            b'r' => ToSqlOutput::Owned(Value::Real(text.parse().unwrap_or_default())),
            b'n' => ToSqlOutput::Owned(Value::Null),
            b'b' => ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)),
            // Not necessarily UTF-8: SQLite takes any bytes.
            _ => ToSqlOutput::Borrowed(ValueRef::Text(&self.0)),
        })
    }
}

fn cells(bytes: &[u8], count: usize) -> Vec<Cell> {
    let mut cells: Vec<_> = bytes
        .splitn(count, |&byte| byte == 0xff)
        .map(|cell| {
            cell.split_first().map_or(Cell(Vec::new(), b'n'), |(kind, rest)| Cell(rest.to_vec(), *kind))
        })
        .collect();
    cells.resize_with(count, || Cell(Vec::new(), b'n'));
    cells
}

/// One file for all runs, emptied after each.
struct File {
    runtime: Runtime,
    driver: SqliteSessionPersistDriver,
    foreign: Connection,
    _folder: TempDir,
}

impl File {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("sessions.db");
        let runtime = Builder::new_current_thread().build()?;
        let driver = runtime.block_on(SqliteSessionPersistDriver::open(&path))?;
        let foreign = Connection::open(&path)?;
        foreign.pragma_update(None, "synchronous", "OFF")?;
        Ok(Self { runtime, driver, foreign, _folder: folder })
    }

    /// Rows as somebody else left them: each is read, or named as corrupt.
    fn read(&self, bytes: &[u8]) {
        let written = match bytes.split_first() {
            Some((b'e', bytes)) => self.foreign.execute(EVENT, rusqlite::params_from_iter(cells(bytes, 7))),
            Some((b'l', bytes)) => self.foreign.execute(LEASE, rusqlite::params_from_iter(cells(bytes, 3))),
            Some((_, bytes)) => self.foreign.execute(SESSION, rusqlite::params_from_iter(cells(bytes, 15))),
            None => return,
        };
        if written.is_err() {
            return;
        }
        let found = |filter| ListSessionsRequest::new().filter(filter);
        let tagged = SessionFilter::new().tag("tag").title("title").archived(false).active_from(0);
        let within = ListEventsRequest::new("s").descending().before_index(5);
        let errors = self.runtime.block_on(async {
            [
                self.driver.list_events(ListEventsRequest::new("s")).await.err(),
                self.driver.list_events(within).await.err(),
                self.driver.list_sessions(found(SessionFilter::new())).await.err(),
                self.driver.list_sessions(found(tagged)).await.err(),
                self.driver.holder("s").await.err(),
            ]
        });
        for error in errors.into_iter().flatten() {
            assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{error:?}");
        }
    }

    /// What this program writes is read as it was written.
    fn write(&self, bytes: &[u8]) {
        let parts: Vec<Cow<'_, str>> =
            bytes.splitn(5, |&byte| byte == 0xff).map(String::from_utf8_lossy).collect();
        let part = |place: usize| parts.get(place).map_or("", |part| part);
        let payload = RawValue::from_string(part(3).to_owned());
        let payload = payload.unwrap_or_else(|_| RawValue::NULL.to_owned());
        let sender = if part(0).len() % 2 == 0 { Sender::Agent } else { Sender::Client };
        let event = SessionEvent::new(part(0), 1, part(1), part(2).len() as i64, part(2), sender, payload);
        let mut record = SessionRecord::new(part(1), part(2), i64::MAX);
        record.session_init = serde_json::from_str(part(3)).ok();
        record.extra = serde_json::from_str(part(4)).unwrap_or_default();
        record.title = Some(part(0).to_owned());
        record.tags = [0, 2, 4].map(|place| part(place).to_owned()).into();
        self.runtime.block_on(async {
            let inserted = self.driver.insert_event(part(1), event.clone()).await;
            assert!(matches!(inserted, Ok(Inserted::Stored)), "{inserted:?}");
            let page = self.driver.list_events(ListEventsRequest::new(part(1))).await;
            assert_eq!(page.ok().map(|page| page.items), Some(vec![event]));
            let updated = self.driver.update_session(record.clone()).await;
            assert!(updated.is_ok(), "{updated:?}");
            let read = self.driver.get_session(part(1)).await.ok().flatten();
            assert!(
                read.as_ref() == Some(&record),
                "{:?} is not {:?}",
                read.map(|read| read.extra),
                record.extra
            );
            let filter = SessionFilter::new().title(part(0)).tag(part(0)).tag(part(2)).tag(part(4));
            let found = self.driver.list_sessions(ListSessionsRequest::new().filter(filter)).await;
            assert_eq!(found.map_or(0, |page| page.items.len()), 1);
            let other = SessionFilter::new().tag(part(3));
            let is_found = other.matches(&record);
            let found = self.driver.list_sessions(ListSessionsRequest::new().filter(other)).await;
            assert_eq!(found.map_or(2, |page| page.items.len()), usize::from(is_found));
        });
    }

    fn clear(&self) {
        let cleared =
            self.foreign.execute_batch("DELETE FROM events; DELETE FROM sessions; DELETE FROM leases");
        assert!(cleared.is_ok(), "{cleared:?}");
    }
}

/// A row with any values, and any text in records of one's own.
///
/// # Panics
/// When a row is neither read nor named as corrupt, or what was written is read as something else.
pub fn rows(bytes: &[u8]) {
    thread_local! {
        static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
    }
    FILE.with_borrow_mut(|file| {
        let file = file
            .get_or_insert_with(|| File::new().unwrap_or_else(|error| panic!("no file to fuzz: {error}")));
        match bytes.split_first() {
            Some((b'w', bytes)) => file.write(bytes),
            _ => file.read(bytes),
        }
        file.clear();
    });
}
