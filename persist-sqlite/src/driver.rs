//! The driver: a handle of an open file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sandbox_agent_persist::{
    Capabilities, Inserted, Lease, ListEventsRequest, ListPage, ListSessionsRequest, PersistError,
    PersistErrorKind, SessionEvent, SessionFollow, SessionLease, SessionPersistDriver, SessionRecord,
    SessionUpkeep,
};

use crate::followers::Followers;
use crate::readers::Readers;
use crate::rows::SessionRow;
use crate::writer::Writer;
use crate::{SqliteOptions, SqliteStats, events, sessions};

/// Keeps sessions in one SQLite file. See the [crate](crate) for how.
///
/// Clones are handles of the same open file. Each call needs a tokio runtime, of either kind.
///
/// A call that is dropped before it returned may still be written. When the last handle is
/// dropped, what waits is written and the file is let go of, a moment later;
/// [`close`](Self::close) waits for that.
#[derive(Clone)]
pub struct SqliteSessionPersistDriver {
    pub(crate) file: Arc<OpenFile>,
    /// The lease that writes to its session carry.
    pub(crate) fence: Option<Arc<Lease>>,
}

pub(crate) struct OpenFile {
    path: Arc<Path>,
    pub(crate) writer: Writer,
    pub(crate) readers: Arc<Readers>,
    pub(crate) followers: Arc<Followers>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.followers.end();
    }
}

impl SqliteSessionPersistDriver {
    /// Opens the file, and makes it if it isn't there; its folder must be.
    ///
    /// # Errors
    /// Each names the path and the way out. `Corrupt`: it is no SQLite database. `Other`: it
    /// can't be opened or written, is another program's, or is of a later version than this
    /// one knows. `Unavailable`: another process kept it locked for [`SqliteOptions::busy_timeout`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, PersistError> {
        Self::open_with_options(path, SqliteOptions::new()).await
    }

    /// Opens the file as [`open`](Self::open) does, with these options.
    pub async fn open_with_options(
        path: impl AsRef<Path>,
        options: SqliteOptions,
    ) -> Result<Self, PersistError> {
        let path = absolute(path.as_ref())?;
        let followers = Arc::new(Followers::new(path.clone(), options.busy_timeout));
        let writer = Writer::open(path.clone(), &options, followers.clone()).await?;
        let readers = Arc::new(Readers::new(path.clone(), options));
        Ok(Self { file: Arc::new(OpenFile { path, writer, readers, followers }), fence: None })
    }

    /// What was written through this open file, by all its handles.
    pub fn stats(&self) -> SqliteStats {
        self.file.writer.counters.read()
    }

    /// Waits until all calls are done and the file is let go of, for every clone.
    ///
    /// If no other process has the file open, its `-wal` and `-shm` are gone then. Later calls
    /// are errors; closing again is none. Dropped before it returned, it may be called again.
    pub async fn close(&self) -> Result<(), PersistError> {
        self.file.followers.close().await;
        self.file.readers.close().await;
        self.file.writer.close().await;
        Ok(())
    }
}

/// The path that stays right when the process changes its folder.
fn absolute(path: &Path) -> Result<Arc<Path>, PersistError> {
    if path == Path::new(":memory:") {
        return Err(PersistError::new(
            PersistErrorKind::Other,
            "\":memory:\" is no file; give a path, or use sandbox-agent-persist-memory",
        ));
    }
    std::path::absolute(path).map(Arc::from).map_err(|error| {
        PersistError::new(
            PersistErrorKind::Other,
            format!("{path:?} is no path of a file: {error}; give the path of one"),
        )
        .with_source(error)
    })
}

impl fmt::Debug for SqliteSessionPersistDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSessionPersistDriver").field("path", &self.file.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionPersistDriver for SqliteSessionPersistDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable().multi_process().leases().follows().upkeep()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        let id = id.to_owned();
        let readers = &self.file.readers;
        readers.read(move |connection, path| sessions::get(connection, path, &id)).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        let readers = &self.file.readers;
        readers.read(move |connection, path| sessions::list(connection, path, &request)).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        let row = SessionRow::from(record);
        let (size, fence) = (row.size(), self.fence.clone());
        self.file.writer.write(size, move |work| work.update(fence.as_deref(), &row)).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let readers = &self.file.readers;
        readers.read(move |connection, path| events::list(connection, path, &request)).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.insert_events(session_id, vec![event]).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        for event in &events {
            event.check_session(session_id)?;
        }
        let size = events.iter().map(SessionEvent::size).sum();
        let (session_id, fence) = (session_id.to_owned(), self.fence.clone());
        let insert =
            self.file.writer.write(size, move |work| work.insert(fence.as_deref(), &session_id, &events));
        insert.await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        let (id, fence) = (id.to_owned(), self.fence.clone());
        self.file.writer.write(id.len(), move |work| work.delete(fence.as_deref(), &id)).await
    }

    fn leases(&self) -> Option<&dyn SessionLease> {
        Some(self)
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        Some(self)
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        Some(self)
    }
}
