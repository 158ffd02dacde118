//! A store whose records are also in the actor's state.

use sandbox_agent_persist::{
    Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError, SessionEvent,
    SessionFollow, SessionLease, SessionPersistDriver, SessionRecord, SessionUpkeep, async_trait,
};

use super::RecordMirror;

/// A store whose sessions' records are copied into a [`RecordMirror`]. What is read is what the store has.
///
/// A driver as the store is, with its capabilities; a write returns what the store's did, whatever became of
/// the copy.
#[derive(Clone, Debug)]
pub struct MirroredSessionPersistDriver<D> {
    store: D,
    mirror: Option<RecordMirror>,
}

impl<D: SessionPersistDriver> MirroredSessionPersistDriver<D> {
    /// This store with that copy, which is made right first; `None` copies nothing.
    pub async fn open(store: D, mirror: Option<RecordMirror>) -> Self {
        if let Some(mirror) = &mirror
            && let Err(error) = mirror.repair(&store).await
        {
            tracing::warn!(%error, "the copy of the sessions' records could not be compared with the store");
        }
        Self { store, mirror }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<D: SessionPersistDriver> SessionPersistDriver for MirroredSessionPersistDriver<D> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.store.get_session(id).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.store.list_sessions(request).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.store.update_session(record.clone()).await?;
        if let Some(mirror) = &self.mirror {
            mirror.keep(record).await;
        }
        Ok(())
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.store.list_events(request).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.store.insert_event(session_id, event).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        self.store.insert_events(session_id, events).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await?;
        if let Some(mirror) = &self.mirror {
            mirror.forget(id).await;
        }
        Ok(())
    }

    /// Those of the store itself: what is written under a lease is not copied.
    fn leases(&self) -> Option<&dyn SessionLease> {
        self.store.leases()
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        self.store.follow()
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        self.store.upkeep()
    }
}
