//! Calls of the store, bounded in time and tried again while it is unavailable.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use sandbox_agent_persist::{
    Lease, ListEventsRequest, ListPage, PersistError, PersistErrorKind, SessionEvent, SessionLease,
    SessionPersistDriver, SessionRecord, brief, envelope,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::fold::clip;
use crate::error::{Error, Result};
use crate::limits;
use crate::metrics::Counters;

/// The store, with the budget that each call of it has.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shared: Arc<dyn SessionPersistDriver>,
    /// The same, for whoever holds the session that this is the store of.
    fenced: Arc<Mutex<Option<Fenced>>>,
    budget: Duration,
    counters: Arc<Counters>,
}

#[derive(Clone, Debug)]
struct Fenced {
    driver: Arc<dyn SessionPersistDriver>,
    lease: Lease,
}

/// Why a session went to another SDK that has the same holder's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "session {session} went to another SDK that is {holder:?}, too; the name of a holder must be that of one running SDK alone"
)]
pub(crate) struct SameName {
    session: String,
    holder: String,
}

impl Store {
    pub(crate) fn new(
        driver: Arc<dyn SessionPersistDriver>,
        budget: Duration,
        counters: Arc<Counters>,
    ) -> Self {
        Self { shared: driver, fenced: Arc::default(), budget, counters }
    }

    /// The store for one session, held or not.
    pub(crate) fn for_session(&self) -> Self {
        Self { fenced: Arc::default(), ..self.clone() }
    }

    /// What the next call goes to.
    pub(crate) fn driver(&self) -> Arc<dyn SessionPersistDriver> {
        let fenced = self.fenced().as_ref().map(|fenced| fenced.driver.clone());
        fenced.unwrap_or_else(|| self.shared.clone())
    }

    /// From now on each write carries this lease.
    pub(super) fn fence(&self, lease: &Lease) -> Result<(), PersistError> {
        let driver = self.leases()?.fenced(lease);
        *self.fenced() = Some(Fenced { driver, lease: lease.clone() });
        Ok(())
    }

    pub(super) fn unfence(&self) {
        *self.fenced() = None;
    }

    pub(super) fn has_leases(&self) -> bool {
        self.shared.leases().is_some()
    }

    /// The leases of a store that has them.
    pub(super) fn leases(&self) -> Result<&dyn SessionLease, PersistError> {
        self.shared.leases().ok_or_else(|| {
            PersistError::new(
                PersistErrorKind::Other,
                "this session store grants no leases; take one that does, or hold no sessions",
            )
        })
    }

    /// Nothing panics while it holds the lock.
    fn fenced(&self) -> MutexGuard<'_, Option<Fenced>> {
        self.fenced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the store until it answers or the budget is used up.
    ///
    /// A call that is dropped at the budget's end may still have worked; so may one that failed.
    /// Trying again is safe all the same: a known event id is a duplicate.
    pub(crate) async fn call<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, PersistError>
    where
        F: Future<Output = Result<T, PersistError>>,
    {
        let deadline = limits::after(Instant::now(), self.budget);
        let mut delays = delays().build();
        loop {
            let error = match timeout_at(deadline, call()).await {
                Ok(Err(error)) if error.is_unavailable() => error,
                Ok(Err(error)) if error.is_fenced() => {
                    self.counters.store_failures.increment();
                    // That the name is the cause, a store that does not answer now can't say.
                    let named = timeout_at(deadline, self.same_name()).await.ok().flatten();
                    return Err(named.unwrap_or(error));
                }
                Ok(answer) => return answer.inspect_err(|_| self.counters.store_failures.increment()),
                Err(_) => {
                    self.counters.store_failures.increment();
                    return Err(self.too_slow());
                }
            };
            let delay = delays.next().unwrap_or_default();
            if Instant::now() + delay >= deadline {
                self.counters.store_failures.increment();
                return Err(error);
            }
            self.counters.store_retries.increment();
            tracing::debug!(%error, ?delay, "the session store is unavailable; trying again");
            sleep(delay).await;
        }
    }

    /// A page of events, with that part of each which was asked for.
    pub(crate) async fn list_events(
        &self,
        request: &ListEventsRequest,
    ) -> Result<ListPage<SessionEvent>, PersistError> {
        let driver = self.driver();
        let mut page = self.call(|| driver.list_events(request.clone())).await?;
        // A run at an end of the page may have begun before, or go on behind, what was asked for.
        let (after, before) = request.bounds()?;
        page.items = page.items.into_iter().map(|event| clip(event, after, before)).collect();
        Ok(page)
    }

    /// The error of a session that this SDK held, where the one that has it now goes by the same name.
    async fn same_name(&self) -> Option<PersistError> {
        let ours = self.fenced().as_ref()?.lease.clone();
        let newest = self.leases().ok()?.holder(&ours.session_id).await.ok()??;
        if newest.holder != ours.holder || newest.token == ours.token {
            return None;
        }
        let same = SameName { session: brief(&ours.session_id), holder: ours.holder };
        Some(PersistError::new(PersistErrorKind::Fenced, same.to_string()).with_source(same))
    }

    fn too_slow(&self) -> PersistError {
        PersistError::new(
            PersistErrorKind::Unavailable,
            format!("the session store did not answer within {:?}", self.budget),
        )
    }
}

/// An error of a record that only a layer can read: without that, its session would be spoilt.
pub(crate) fn readable(record: SessionRecord) -> Result<SessionRecord> {
    if !record.extra.contains_key(envelope::ENCRYPTED) {
        return Ok(record);
    }
    let id = &record.id;
    Err(Error::invalid(format!(
        "session {id:?} is encrypted; open the store through the `EncryptedDriver` that has its key"
    )))
}

/// The pauses between tries, without end.
pub(super) fn delays() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_secs(1))
        .with_jitter()
        .without_max_times()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sandbox_agent_persist_memory::MemorySessionPersistDriver;

    use super::*;

    fn store() -> Store {
        Store::new(Arc::new(MemorySessionPersistDriver::new()), Duration::from_secs(30), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn an_unavailable_store_is_tried_again_until_the_budget_ends() {
        let start = Instant::now();
        let mut calls = 0;
        let error = store()
            .call(|| {
                calls += 1;
                async { Err::<(), _>(PersistError::new(PersistErrorKind::Unavailable, "busy")) }
            })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "busy");
        assert!(calls > 10);
        assert!(start.elapsed() <= Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_answers_is_given_up() {
        let start = Instant::now();
        let error = store().call(std::future::pending::<Result<(), _>>).await.unwrap_err();
        assert!(error.is_unavailable());
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn another_error_is_not_tried_again() {
        let mut calls = 0;
        let call = || {
            calls += 1;
            async { Err::<(), _>(PersistError::new(PersistErrorKind::Corrupt, "torn")) }
        };
        assert!(store().call(call).await.is_err());
        assert_eq!(calls, 1);
    }
}
