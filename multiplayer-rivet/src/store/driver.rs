//! The driver: a handle of an actor's store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rivetkit_core::ActorContext;
use sandbox_agent_persist::{
    Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError, PersistErrorKind,
    SessionEvent, SessionFollow, SessionPersistDriver, SessionRecord, SessionUpkeep, Usage,
};
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use super::database::Database;
use super::followers::Followers;
use super::{events, fold, insert, limits, schema, sessions};

/// Keeps sessions in the database of a Rivet actor, whole and for as long as the actor is there.
///
/// Where the [actor's state](https://docs.rs/sandbox-agent-persist-rivet-actor) has room for the newest
/// events of a session, this has room for all of them.
///
/// What a call returned for is in the engine's storage: it is there when the actor wakes anywhere, and after
/// its process or the engine's died. What the death of a machine leaves is up to where the engine stores: one
/// that stores on its own disk hands each write to the system, and syncs them later.
///
/// An insert is one request to the engine, whatever number of events it has up to 4 MiB; a page is one up to
/// 2,000 events and 4 MiB. The tables are named `sandbox_agent_…`, beside those of the runtime and of your own.
///
/// An event or a record may have 16 MiB, and 16 KiB of ids; a larger one is a `TooLarge` error.
///
/// Clones are handles of the same store. Open it once in an actor: a second one is no harm to the data, but
/// whoever [follows](SessionFollow) is not told of what the other stored. A call that is dropped before it
/// returned may still be written.
///
/// ```no_run
/// use rivetkit_core::{ActorEvent, ActorStart};
/// use sandbox_agent_multiplayer_rivet::RivetSqlSessionPersistDriver;
///
/// async fn run(mut start: ActorStart) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     let store = RivetSqlSessionPersistDriver::open(&start.ctx).await?;
///     // … a session is opened with `.persist(store)` here, and driven by tasks of its own.
///     while let Some(event) = start.events.recv().await {
///         match event {
///             // What writes is stopped here; the database still takes it.
///             ActorEvent::RunGracefulCleanup { reply, .. } => reply.send(Ok(())),
///             _ => {}
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct RivetSqlSessionPersistDriver {
    store: Arc<Store>,
}

struct Store {
    database: Database,
    /// Writers take turns, and a reader's page is of one moment, though it takes several requests.
    turn: RwLock<()>,
    followers: Followers,
}

impl RivetSqlSessionPersistDriver {
    /// Opens the store of this actor, and makes it if it isn't there.
    ///
    /// The actor needs `ActorConfig::remote_sqlite` and the runtime's feature `sqlite-remote`, or that
    /// feature's sibling `sqlite-local`.
    ///
    /// # Errors
    /// `Other`: the actor has no database, or the tables are of a later version. `Corrupt`: the tables are of no
    /// version. `Unavailable`: the engine can't be reached.
    pub async fn open(actor: &ActorContext) -> Result<Self, PersistError> {
        let database = Database::of(actor);
        schema::bring_up_to_date(&database).await?;
        let turn = RwLock::with_max_readers((), limits::READERS);
        Ok(Self { store: Arc::new(Store { database, turn, followers: Followers::default() }) })
    }

    /// Reads while nobody writes, unless the call is dropped.
    ///
    /// In a task of its own, as writes are: a call that nobody polls must not hold its turn.
    async fn read<T, F>(&self, work: impl FnOnce(Arc<Store>) -> F) -> Result<T, PersistError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PersistError>> + Send + 'static,
    {
        let store = self.store.clone();
        let work = work(store.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _turn = store.turn.read().await;
            work.await
        });
        task.join_next().await.map_or_else(|| Err(self.ended()), |done| done.map_err(|_| self.ended())?)
    }

    /// Does this work alone, and to its end also when the call is dropped.
    async fn write<T, F>(&self, work: impl FnOnce(Arc<Store>) -> F) -> Result<T, PersistError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PersistError>> + Send + 'static,
    {
        let store = self.store.clone();
        let work = work(store.clone());
        let done = tokio::spawn(async move {
            let _turn = store.turn.write().await;
            work.await
        });
        done.await.map_err(|_| self.ended())?
    }

    fn ended(&self) -> PersistError {
        let actor = self.store.database.actor_id();
        PersistError::new(
            PersistErrorKind::Other,
            format!("the database of actor {actor}: the call was ended with its runtime"),
        )
    }
}

impl fmt::Debug for RivetSqlSessionPersistDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RivetSqlSessionPersistDriver")
            .field("actor", &self.store.database.actor_id())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionPersistDriver for RivetSqlSessionPersistDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable().follows().upkeep()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        let id = id.to_owned();
        self.read(|store| async move { sessions::get(&store.database, &id).await }).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.read(|store| async move { sessions::list(&store.database, &request).await }).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.write(|store| async move { sessions::update(&store.database, &record).await }).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.read(|store| async move { events::list(&store.database, &request).await }).await
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
        let session_id = session_id.to_owned();
        self.write(|store| async move {
            insert::insert(&store.database, &session_id, &events, |last_index| {
                store.followers.tell(&session_id, last_index);
            })
            .await
        })
        .await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        let id = id.to_owned();
        self.write(|store| async move {
            sessions::delete(&store.database, &id).await?;
            // It begins at 1 again.
            store.followers.tell(&id, 0);
            Ok(())
        })
        .await
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        Some(self)
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        Some(self)
    }
}

#[async_trait]
impl SessionFollow for RivetSqlSessionPersistDriver {
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
        // Before looking, so that nothing comes in between.
        let mut told = self.store.followers.wait_for(session_id);
        let session_id = session_id.to_owned();
        let last =
            self.read(|store| async move { events::last_index(&store.database, &session_id).await }).await?;
        if last > after_index {
            return Ok(last);
        }
        // Its sender is there for as long as somebody waits.
        let last = told.wait_for(|last| *last > after_index).await;
        last.map(|last| *last).map_err(|error| {
            PersistError::new(PersistErrorKind::Unavailable, "nobody tells of events any more; try again")
                .with_source(error)
        })
    }
}

#[async_trait]
impl SessionUpkeep for RivetSqlSessionPersistDriver {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        let session_id = session_id.to_owned();
        self.read(|store| async move { events::usage(&store.database, &session_id).await }).await
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        folded.check_session(session_id)?;
        self.write(|store| async move { fold::fold(&store.database, &folded).await }).await
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        self.write(|store| async move { store.database.vacuum().await }).await
    }
}
