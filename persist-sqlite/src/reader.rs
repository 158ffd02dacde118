//! Reads: connections of their own, on blocking threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use sandbox_agent_persist::{
    Cursor, ListEventsRequest, ListPage, ListSessionsRequest, Order, PersistError, PersistErrorKind,
    SessionEvent, SessionRecord,
};
use tokio::sync::Semaphore;

use crate::error::{closed, sqlite};
use crate::rows::{self, EVENT_COLUMNS, SESSION_COLUMNS};
use crate::{SqliteOptions, schema};

pub(crate) struct Readers {
    path: Arc<Path>,
    options: SqliteOptions,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    most: u32,
}

impl Readers {
    pub(crate) fn new(path: Arc<Path>, options: SqliteOptions) -> Self {
        let most =
            u32::try_from(options.read_connections.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { path, options, idle: Mutex::default(), turns: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// Runs the query on a connection that no other read uses meanwhile.
    pub(crate) async fn read<T, Q>(self: &Arc<Self>, query: Q) -> Result<T, PersistError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection, &Path) -> Result<T, PersistError> + Send + 'static,
    {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| closed(&self.path))?;
        let readers = self.clone();
        tokio::task::spawn_blocking(move || {
            let connection = match readers.idle().pop() {
                Some(connection) => connection,
                None => schema::open_reader(&readers.path, readers.options.busy_timeout)?,
            };
            let answer = query(&connection, &readers.path);
            readers.idle().push(connection);
            drop(turn);
            answer
        })
        .await
        .map_err(|error| {
            PersistError::new(
                PersistErrorKind::Other,
                format!("{}: the read was broken off: {error}", self.path.display()),
            )
            .with_source(error)
        })?
    }

    /// Waits for the running reads, refuses later ones and lets go of the file.
    pub(crate) async fn close(&self) {
        let all = self.turns.acquire_many(self.most).await;
        self.turns.close();
        drop(all);
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A list of connections is whole whatever panicked beside it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn session(
    connection: &Connection,
    path: &Path,
    id: &str,
) -> Result<Option<SessionRecord>, PersistError> {
    let sql = format!("SELECT {SESSION_COLUMNS} FROM sessions WHERE id = ?1");
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.query_row([id], |row| Ok(rows::session(row, path))).optional())
        .map_err(sqlite(path))?
        .transpose()
}

pub(crate) fn sessions(
    connection: &Connection,
    path: &Path,
    request: &ListSessionsRequest,
) -> Result<ListPage<SessionRecord>, PersistError> {
    let at = request.cursor.as_ref().map(Cursor::session_key).transpose()?;
    let (beyond, direction) = match request.order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    let from = match at {
        Some(_) => format!("(created_at, id) {beyond} (?1, ?2)"),
        None => "?1 IS NULL AND ?2 IS NULL".to_owned(),
    };
    let sql = format!(
        "SELECT {SESSION_COLUMNS} FROM sessions WHERE {from} \
         ORDER BY created_at {direction}, id {direction} LIMIT ?3"
    );
    let (created_at, id) = at.unzip();
    let size = request.page_size();
    let mut statement = connection.prepare_cached(&sql).map_err(sqlite(path))?;
    let items = statement
        .query_map(params![created_at, id, one_more(size)], |row| Ok(rows::session(row, path)))
        .map_err(sqlite(path))?
        .map(|row| row.map_err(sqlite(path))?)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ListPage::first_of(items, size, |last| Cursor::at_session(last.created_at, &last.id)))
}

pub(crate) fn events(
    connection: &Connection,
    path: &Path,
    request: &ListEventsRequest,
) -> Result<ListPage<SessionEvent>, PersistError> {
    let (after, before) = request.bounds()?;
    let bound = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
    let direction = match request.order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    };
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events \
         WHERE session_id = ?1 AND event_index > ?2 AND event_index < ?3 \
         ORDER BY event_index {direction} LIMIT ?4"
    );
    let size = request.page_size();
    let values =
        params![request.session_id, after.map_or(-1, bound), before.map_or(i64::MAX, bound), one_more(size)];
    let mut statement = connection.prepare_cached(&sql).map_err(sqlite(path))?;
    let items = statement
        .query_map(values, |row| Ok(rows::event(row, path)))
        .map_err(sqlite(path))?
        .map(|row| row.map_err(sqlite(path))?)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ListPage::first_of(items, size, |last| Cursor::at_event(last.event_index)))
}

/// One item more than the page has tells whether there is another page.
fn one_more(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)
}
