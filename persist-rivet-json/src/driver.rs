//! The driver: a handle of what is kept under a key of a state.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sandbox_agent_persist::{
    Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError, SessionEvent,
    SessionFollow, SessionPersistDriver, SessionRecord, SessionUpkeep, Usage,
};
use tokio::sync::watch;

use crate::json::Members;
use crate::load::load;
use crate::saver::Saver;
use crate::store::{Read, Store};
use crate::{ActorState, Content, FileState, RivetJsonOptions, ValueState};

/// Keeps sessions under one key of an actor's state. See the [crate](crate) for how, and how much.
///
/// Clones are handles of the same content. Where the state is durable, each call that writes returns
/// when it is saved, and each that reads shows nothing that a crash could take back; they need a tokio
/// runtime, of either kind. A call that is dropped before it returned may still be saved.
#[derive(Clone)]
pub struct RivetJsonSessionPersistDriver {
    parts: Arc<Parts>,
}

struct Parts {
    saver: Saver,
    /// The last write, for those who wait for one.
    written: watch::Sender<u64>,
}

impl RivetJsonSessionPersistDriver {
    /// Begins with what the state has under the default key, within the default limits.
    ///
    /// What exceeds them is kept until the first write. It changes nothing in the state by itself.
    ///
    /// # Errors
    /// `Corrupt`: what is there can't be read. The message says what and where, and nothing was changed.
    /// Those of the state.
    pub async fn open(state: impl ActorState) -> Result<Self, PersistError> {
        Self::open_with_options(state, RivetJsonOptions::new()).await
    }

    /// Begins as [`open`](Self::open) does, with these options.
    pub async fn open_with_options(
        state: impl ActorState,
        options: RivetJsonOptions,
    ) -> Result<Self, PersistError> {
        let json = state.read(&options.key).await?;
        let place = format!("{}: {}", state.name(), options.key);
        let key = options.key.clone();
        let store = match json.filter(|json| json.trim() != "null") {
            Some(json) => load(&json, &place, options)?,
            None => Store::new(options, Members::default()),
        };
        Ok(Self::with_store(Arc::new(state), &key, store))
    }

    /// Begins with the file, which is made when something is stored; its folder must be there. See
    /// [`FileState`] for what it promises.
    pub async fn open_file(path: impl AsRef<Path>) -> Result<Self, PersistError> {
        Self::open(FileState::new(path)?).await
    }

    /// An empty one in the process. Its state is gone with it; see [`ValueState`] for one that stays.
    pub fn in_process(options: RivetJsonOptions) -> Self {
        let key = options.key.clone();
        Self::with_store(Arc::new(ValueState::new()), &key, Store::new(options, Members::default()))
    }

    fn with_store(state: Arc<dyn ActorState>, key: &str, store: Store) -> Self {
        let content = Content { store: Arc::new(Mutex::new(store)) };
        let written = watch::Sender::new(0);
        Self { parts: Arc::new(Parts { saver: Saver::new(state, key, content), written }) }
    }

    /// What it keeps, as JSON and in bytes.
    pub fn content(&self) -> &Content {
        &self.parts.saver.content
    }

    /// Changes the content and returns when that is saved, whatever came of it: what was a duplicate or
    /// failed may have been a call before, whose save failed.
    async fn write<T>(
        &self,
        write: impl FnOnce(&mut Store) -> Result<T, PersistError>,
    ) -> Result<T, PersistError> {
        let (written, last) = {
            let mut store = self.content().store();
            if store.retired {
                return Err(self.content().overtaken());
            }
            let before = store.writes;
            let written = write(&mut store);
            if store.writes > before {
                // Under the lock, so that it never goes back.
                self.parts.written.send_replace(store.writes);
            }
            (written, store.writes)
        };
        self.parts.saver.reach(last).await?;
        written
    }

    /// What the content has, once that is saved.
    async fn read<T>(
        &self,
        read: impl FnOnce(&Store) -> Result<Read<T>, PersistError>,
    ) -> Result<T, PersistError> {
        let (answer, write) = read(&self.content().store())?;
        if self.parts.saver.state.is_durable() {
            self.parts.saver.reach(write).await?;
        }
        Ok(answer)
    }
}

impl fmt::Debug for RivetJsonSessionPersistDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RivetJsonSessionPersistDriver")
            .field("state", &self.parts.saver.state.name())
            .field("content", self.content())
            .finish()
    }
}

#[async_trait]
impl SessionPersistDriver for RivetJsonSessionPersistDriver {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new().evicts().follows().upkeep();
        capabilities.durable = self.parts.saver.state.is_durable();
        capabilities
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.read(|store| Ok(store.record(id))).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.read(|store| store.list_sessions(&request)).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.write(|store| store.update(record)).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.read(|store| store.list_events(&request)).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.write(|store| store.insert(session_id, event)).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        self.write(|store| {
            for event in events {
                match store.insert(session_id, event)? {
                    Inserted::Stored => {}
                    stopped => return Ok(stopped),
                }
            }
            Ok(Inserted::Stored)
        })
        .await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        let deleted = self.write(|store| Ok(store.delete(id))).await?;
        drop(deleted);
        Ok(())
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        Some(self)
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        Some(self)
    }
}

#[async_trait]
impl SessionFollow for RivetJsonSessionPersistDriver {
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
        let mut written = self.parts.written.subscribe();
        loop {
            written.borrow_and_update();
            let last = self.read(|store| {
                let (next_index, write) = store.next_index(session_id);
                Ok((next_index - 1, write))
            });
            let last = last.await?;
            if last > after_index {
                return Ok(last);
            }
            // The sender is this driver's, so that it can't be gone.
            let _ = written.changed().await;
        }
    }
}

#[async_trait]
impl SessionUpkeep for RivetJsonSessionPersistDriver {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        self.read(|store| Ok(store.usage(session_id))).await
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        self.write(|store| store.fold(session_id, folded)).await
    }

    /// Does nothing: what is deleted takes no room in the next save.
    async fn vacuum(&self) -> Result<(), PersistError> {
        Ok(())
    }
}
