//! The parts of the contract that a driver may leave out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sandbox_agent_persist::{
    Acquired, Lease, PersistError, SessionEvent, SessionFollow, SessionLease, SessionPersistDriver,
    SessionUpkeep, Usage,
};

use crate::work::last_index;
use crate::{SqliteSessionPersistDriver, error, events, leases};

/// About how many bytes a lease takes.
const LEASE: usize = 128;

#[async_trait]
impl SessionUpkeep for SqliteSessionPersistDriver {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        let session_id = session_id.to_owned();
        let readers = &self.file.readers;
        readers.read(move |connection, path| events::usage(connection, path, &session_id)).await
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        folded.check_session(session_id)?;
        let fence = self.fence.clone();
        self.file.writer.write(folded.size(), move |work| work.fold(fence.as_deref(), &folded)).await
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        self.file.writer.vacuum().await
    }
}

#[async_trait]
impl SessionFollow for SqliteSessionPersistDriver {
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
        // Before looking, so that nothing comes in between.
        let mut waiting = self.file.followers.wait_for(session_id)?;
        let id = session_id.to_owned();
        let readers = &self.file.readers;
        let mut last = readers
            .read(move |connection, path| last_index(connection, &id).map_err(error::sqlite(path)))
            .await?;
        while last <= after_index {
            last = waiting.next().await?;
        }
        Ok(last)
    }
}

#[async_trait]
impl SessionLease for SqliteSessionPersistDriver {
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError> {
        let (id, holder) = (session_id.to_owned(), holder.to_owned());
        self.file.writer.write(LEASE, move |work| leases::acquire(work, &id, &holder, ttl)).await
    }

    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError> {
        let (id, holder) = (session_id.to_owned(), holder.to_owned());
        self.file.writer.write(LEASE, move |work| leases::grant(work, &id, &holder, ttl)).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        let lease = lease.clone();
        self.file.writer.write(LEASE, move |work| leases::renew(work, &lease, ttl)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), PersistError> {
        let lease = lease.clone();
        self.file.writer.write(LEASE, move |work| leases::release(work, &lease)).await
    }

    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError> {
        let session_id = session_id.to_owned();
        let readers = &self.file.readers;
        readers.read(move |connection, path| leases::holder(connection, path, &session_id)).await
    }

    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver> {
        Arc::new(Self { file: self.file.clone(), fence: Some(Arc::new(lease.clone())) })
    }
}
