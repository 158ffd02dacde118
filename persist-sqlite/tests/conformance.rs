//! The store in SQLite keeps the contract.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use sandbox_agent_persist::conformance::Harness;
use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Sqlite {
    async fn open(&self) -> Arc<dyn SessionPersistDriver> {
        let path = self.0.path().join("sessions.db");
        Arc::new(SqliteSessionPersistDriver::open(path).await.unwrap())
    }
}

#[async_trait]
impl Harness for Sqlite {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable().multi_process().leases().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        self.open().await
    }

    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        Some(self.open().await)
    }
}

sandbox_agent_persist::conformance_tests!(Sqlite(tempfile::tempdir().unwrap()));
