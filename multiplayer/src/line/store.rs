//! The store that the line is in, with a bound on each call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use sandbox_agent_sdk::persist::{Inserted, PersistError, PersistErrorKind};
use sandbox_agent_sdk::{
    ListEventsRequest, ListPage, SandboxAgent, SessionEvent, SessionPersistDriver, SessionRecord,
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::Result;

/// What the names of lines begin with.
pub(crate) const PREFIX: &str = "workspace:";

/// What a workspace's line is called among the sessions of the store.
pub(crate) fn line_id(workspace: &str) -> String {
    format!("{PREFIX}{workspace}")
}

/// The line of one workspace in its store, and the sessions that it refers to.
#[derive(Clone, Debug)]
pub(crate) struct LineStore {
    pub(super) id: Arc<str>,
    driver: Arc<dyn SessionPersistDriver>,
    sdk: SandboxAgent,
    budget: Duration,
}

impl LineStore {
    pub(crate) fn new(
        workspace: &str,
        sdk: SandboxAgent,
        driver: Arc<dyn SessionPersistDriver>,
        budget: Duration,
    ) -> Self {
        Self { id: line_id(workspace).into(), driver, sdk, budget }
    }

    pub(crate) async fn record(&self) -> Result<Option<SessionRecord>> {
        self.call(|| self.driver.get_session(&self.id)).await
    }

    pub(crate) async fn keep_record(&self, record: SessionRecord) -> Result<()> {
        self.call(|| self.driver.update_session(record.clone())).await
    }

    pub(super) async fn insert(&self, entries: Vec<SessionEvent>) -> Result<Inserted> {
        self.call(|| self.driver.insert_events(&self.id, entries.clone())).await
    }

    /// The newest entry; its index is the line's last place.
    pub(crate) async fn newest(&self) -> Result<Option<SessionEvent>> {
        let request = ListEventsRequest::new(&*self.id).descending().limit(1);
        Ok(self.call(|| self.driver.list_events(request.clone())).await?.items.pop())
    }

    pub(crate) async fn entries(
        &self,
        after: u64,
        most: usize,
    ) -> Result<ListPage<SessionEvent>, PersistError> {
        let request = ListEventsRequest::new(&*self.id).after_index(after).limit(most);
        self.try_call(|| self.driver.list_events(request.clone())).await
    }

    /// Stored events of a session within these indexes, some of them: from the first one on.
    pub(crate) async fn events(
        &self,
        session_id: &str,
        from: u64,
        to: u64,
        most: usize,
    ) -> Result<Vec<SessionEvent>, sandbox_agent_sdk::Error> {
        let request = ListEventsRequest::new(session_id)
            .after_index(from.saturating_sub(1))
            .before_index(to.saturating_add(1))
            .limit(most);
        Ok(self.sdk.list_events(request).await?.items)
    }

    async fn call<T, F>(&self, call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, PersistError>>,
    {
        Ok(self.try_call(call).await?)
    }

    /// Calls the store until it answers or the budget is used up. Trying again is safe: what is stored
    /// already is a duplicate.
    async fn try_call<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, PersistError>
    where
        F: Future<Output = Result<T, PersistError>>,
    {
        let deadline = Instant::now() + self.budget;
        let mut delays = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_secs(1))
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            let error = match timeout_at(deadline, call()).await {
                Ok(Err(error)) if error.is_unavailable() => error,
                Ok(answer) => return answer,
                Err(_) => {
                    let message = format!("the workspace's store did not answer within {:?}", self.budget);
                    return Err(PersistError::new(PersistErrorKind::Unavailable, message));
                }
            };
            let delay = delays.next().unwrap_or_default();
            if Instant::now() + delay >= deadline {
                return Err(error);
            }
            sleep(delay).await;
        }
    }
}
