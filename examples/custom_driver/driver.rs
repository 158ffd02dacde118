//! A store in one file of JSON lines, for one process at a time.
//!
//! The file is a log: each change is a line at its end, on the disk before the call returns. A
//! store in memory without limits holds what the lines say, and answers every read. A last line
//! that a crash left unfinished was never returned for: opening passes over it, and the next
//! change takes its place. The file only grows.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
use sandbox_agent_sdk::persist::{
    Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError, PersistErrorKind,
    SessionEvent, SessionPersistDriver, SessionRecord, async_trait,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// A line of the file. The same lines in the same order always come to the same store, so that a
/// batch may be logged before it is known how much of it the store takes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Change {
    Session(Box<SessionRecord>),
    Events(String, Vec<SessionEvent>),
    Deleted(String),
}

impl Change {
    async fn apply(self, held: &MemorySessionPersistDriver) -> Result<Inserted, PersistError> {
        match self {
            Self::Session(record) => held.update_session(*record).await?,
            Self::Events(session_id, events) => return held.insert_events(&session_id, events).await,
            Self::Deleted(session_id) => held.delete_session(&session_id).await?,
        }
        Ok(Inserted::Stored)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct JsonLinesDriver {
    held: MemorySessionPersistDriver,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    /// Where the last whole line ends.
    end: usize,
}

impl JsonLinesDriver {
    /// Opens the file, and makes it if it isn't there; its folder must be.
    pub(crate) async fn open(path: impl AsRef<Path>) -> Result<Self, PersistError> {
        let limitless = MemoryOptions::new()
            .max_bytes(usize::MAX)
            .max_events_per_session(usize::MAX)
            .max_sessions(usize::MAX);
        let held = MemorySessionPersistDriver::with_options(limitless);

        let path = path.as_ref().to_owned();
        let (file, text) = lock_and_read(&path).map_err(|error| unavailable(&path, error))?;
        let mut log = Log { path, file, end: 0 };
        let mut changes = serde_json::Deserializer::from_slice(&text).into_iter::<Change>();
        while let Some(change) = changes.next() {
            match change {
                Ok(change) if text.get(changes.byte_offset()) == Some(&b'\n') => {
                    let _ = change.apply(&held).await?;
                    log.end = changes.byte_offset() + 1;
                }
                Err(error) if !error.is_eof() => return Err(log.corrupt(error)),
                Ok(_) | Err(_) => break,
            }
        }
        Ok(Self { held, log: Arc::new(Mutex::new(log)) })
    }

    /// Logs the change and then makes it: where blocking is allowed, and to the end even when
    /// the caller is dropped.
    async fn change(&self, change: Change) -> Result<Inserted, PersistError> {
        let driver = self.clone();
        let work = move || {
            let mut log = driver.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.append(&change)?;
            Handle::current().block_on(change.apply(&driver.held))
        };
        spawn_blocking(work).await.map_err(|error| {
            PersistError::new(PersistErrorKind::Other, "the change did not end").with_source(error)
        })?
    }
}

fn lock_and_read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    file.try_lock()?;
    // A new file is there after a crash only once its folder is on the disk.
    #[cfg(unix)]
    File::open(std::path::absolute(path)?.parent().unwrap_or(path))?.sync_all()?;
    Ok((file, fs::read(path)?))
}

fn unavailable(path: &Path, error: io::Error) -> PersistError {
    let message = format!("{} can't be used; free it, or give another path", path.display());
    PersistError::new(PersistErrorKind::Unavailable, message).with_source(error)
}

impl Log {
    /// Writes a line to the disk, over whatever a failure left after the last whole one.
    fn append(&mut self, change: &Change) -> Result<(), PersistError> {
        let mut write = || {
            let line = serde_json::to_string(change)? + "\n";
            self.file.set_len(self.end as u64)?;
            self.file.seek(SeekFrom::Start(self.end as u64))?;
            self.file.write_all(line.as_bytes())?;
            self.file.sync_data()?;
            Ok(line.len())
        };
        self.end += write().map_err(|error| unavailable(&self.path, error))?;
        Ok(())
    }

    fn corrupt(&self, error: serde_json::Error) -> PersistError {
        let message = format!("{} is damaged after byte {}; repair it there", self.path.display(), self.end);
        PersistError::new(PersistErrorKind::Corrupt, message).with_source(error)
    }
}

#[async_trait]
impl SessionPersistDriver for JsonLinesDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.held.get_session(id).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.held.list_sessions(request).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.change(Change::Session(Box::new(record))).await.map(drop)
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.held.list_events(request).await
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
        self.change(Change::Events(session_id.to_owned(), events)).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.change(Change::Deleted(id.to_owned())).await.map(drop)
    }
}
