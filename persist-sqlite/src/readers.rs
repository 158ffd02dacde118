//! Connections for reads, on blocking threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::sync::Semaphore;

use crate::SqliteOptions;
use crate::connect::open_reader;
use crate::error::closed;

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
                None => open_reader(&readers.path, readers.options.busy_timeout)?,
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

/// One item more than the page has tells whether there is another page.
pub(crate) fn one_more(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)
}
