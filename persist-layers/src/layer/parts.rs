//! The parts of the contract that the inner driver may leave out.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{
    Acquired, Lease, PersistError, PersistErrorKind, SessionEvent, SessionFollow, SessionLease,
    SessionPersistDriver, SessionUpkeep, Usage, async_trait, count_usage,
};

use super::Layer;
use crate::Transform;

impl<D: SessionPersistDriver, T: Transform> Layer<D, T> {
    fn inner_leases(&self) -> Result<&dyn SessionLease, PersistError> {
        self.inner.leases().ok_or_else(|| lacking("leases"))
    }

    fn inner_upkeep(&self) -> Result<&dyn SessionUpkeep, PersistError> {
        self.inner.upkeep().ok_or_else(|| lacking("upkeep"))
    }
}

/// Whoever asks the layer itself, and not its `leases()`, may ask for what the store hasn't.
fn lacking(what: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::Other,
        format!("the store behind this layer has no {what}; ask its capabilities first"),
    )
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<D: SessionPersistDriver, T: Transform> SessionLease for Layer<D, T> {
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError> {
        self.inner_leases()?.acquire(session_id, holder, ttl).await
    }

    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError> {
        self.inner_leases()?.take_over(session_id, holder, ttl).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        self.inner_leases()?.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), PersistError> {
        self.inner_leases()?.release(lease).await
    }

    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError> {
        self.inner_leases()?.holder(session_id).await
    }

    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver> {
        match self.inner.leases() {
            Some(leases) => Arc::new(Layer {
                inner: Arc::new(leases.fenced(lease)),
                transform: self.transform.clone(),
                is_fenced_off: self.is_fenced_off,
            }),
            None => Arc::new(Self { is_fenced_off: true, ..self.clone() }),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<D: SessionPersistDriver, T: Transform> SessionFollow for Layer<D, T> {
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
        let follow = self.inner.follow().ok_or_else(|| lacking("way to follow"))?;
        follow.changed(session_id, after_index).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<D: SessionPersistDriver, T: Transform> SessionUpkeep for Layer<D, T> {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        match self.transform.keeps_sizes() {
            true => self.inner_upkeep()?.usage(session_id).await,
            false => count_usage(self, session_id).await,
        }
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        self.check_write(session_id)?;
        self.inner_upkeep()?.fold(session_id, self.transform.event_in(folded)?).await
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        self.inner_upkeep()?.vacuum().await
    }
}
