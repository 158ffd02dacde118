//! A driver around another one.

mod catalogue;
mod parts;

use std::sync::Arc;

use sandbox_agent_persist::{
    Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError, SessionEvent,
    SessionFollow, SessionLease, SessionPersistDriver, SessionRecord, SessionUpkeep, async_trait,
};

use crate::Transform;

/// A store behind a [`Transform`]: a driver that keeps the contract where the inner one does, with all of its
/// capabilities.
///
/// What is read and written beside it, through the inner driver, is what is stored.
#[derive(Debug)]
pub struct Layer<D, T> {
    inner: Arc<D>,
    transform: Arc<T>,
    /// It was asked to be fenced by a store without leases, so that no lease is good for a write.
    is_fenced_off: bool,
}

impl<D, T> Clone for Layer<D, T> {
    /// Another handle of the same store.
    fn clone(&self) -> Self {
        let Self { inner, transform, is_fenced_off } = self;
        Self { inner: inner.clone(), transform: transform.clone(), is_fenced_off: *is_fenced_off }
    }
}

impl<D: SessionPersistDriver, T: Transform> Layer<D, T> {
    /// This store behind that transform.
    pub fn with(inner: D, transform: T) -> Self {
        Self { inner: Arc::new(inner), transform: Arc::new(transform), is_fenced_off: false }
    }

    /// The store as it is.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    pub(crate) fn transform(&self) -> &T {
        &self.transform
    }

    fn check_write(&self, session_id: &str) -> Result<(), PersistError> {
        match self.is_fenced_off {
            true => Err(PersistError::fenced(session_id, None)),
            false => Ok(()),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<D: SessionPersistDriver, T: Transform> SessionPersistDriver for Layer<D, T> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        let record = self.inner.get_session(id).await?;
        record.map(|record| self.transform.record_out(record)).transpose()
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.catalogue(request).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.check_write(&record.id)?;
        self.inner.update_session(self.transform.record_in(record)?).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let page = self.inner.list_events(request).await?;
        let events = page.items.into_iter().map(|event| self.transform.event_out(event));
        Ok(ListPage::new(events.collect::<Result<_, _>>()?, page.next_cursor))
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.check_write(session_id)?;
        self.inner.insert_event(session_id, self.transform.event_in(event)?).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        self.check_write(session_id)?;
        let events = events.into_iter().map(|event| self.transform.event_in(event));
        self.inner.insert_events(session_id, events.collect::<Result<_, _>>()?).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.check_write(id)?;
        self.inner.delete_session(id).await
    }

    fn leases(&self) -> Option<&dyn SessionLease> {
        self.inner.leases().map(|_| self as _)
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        self.inner.follow().map(|_| self as _)
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        self.inner.upkeep().map(|_| self as _)
    }
}
