//! Bounds the bytes that wait between socket and store.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What an event costs beyond its text: its place in queues and maps.
const OVERHEAD: usize = 256;

/// A number of bytes that may be in use at once.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    total: u32,
}

/// Some of the bytes; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _bytes: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// For the one event that must get through although there is no room.
    pub(crate) fn beyond_budget() -> Self {
        Self { _bytes: None }
    }
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Self { bytes: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits for room for `size` bytes; says whether it had to. An event larger than the whole
    /// budget waits until it is alone. `None` never comes: the semaphore is not closed.
    pub(crate) async fn take(&self, size: usize) -> Option<(Permit, bool)> {
        let wanted = u32::try_from(size + OVERHEAD).unwrap_or(u32::MAX).min(self.total);
        if let Ok(bytes) = self.bytes.clone().try_acquire_many_owned(wanted) {
            return Some((Permit { _bytes: Some(bytes) }, false));
        }
        let bytes = self.bytes.clone().acquire_many_owned(wanted).await.ok()?;
        Some((Permit { _bytes: Some(bytes) }, true))
    }
}
