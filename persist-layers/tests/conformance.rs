//! A layer around a store that keeps the contract keeps it, too, and so do layers around each other.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use sandbox_agent_persist::conformance::Harness;
use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
use sandbox_agent_persist_layers::{EncryptedDriver, Keys, RedactingDriver, Secrets};
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tempfile::TempDir;

type Wrap<D> = fn(D) -> Arc<dyn SessionPersistDriver>;

fn keys() -> Keys {
    Keys::new("key", &[7; 32])
}

fn secrets() -> Secrets {
    Secrets::new().value("no value of the suite")
}

fn encrypted<D: SessionPersistDriver>(store: D) -> Arc<dyn SessionPersistDriver> {
    Arc::new(EncryptedDriver::new(store, keys()))
}

fn redacting<D: SessionPersistDriver>(store: D) -> Arc<dyn SessionPersistDriver> {
    Arc::new(RedactingDriver::new(store, secrets()))
}

fn both<D: SessionPersistDriver>(store: D) -> Arc<dyn SessionPersistDriver> {
    redacting(encrypted(store))
}

fn both_turned_round<D: SessionPersistDriver>(store: D) -> Arc<dyn SessionPersistDriver> {
    encrypted(redacting(store))
}

struct Memory(MemorySessionPersistDriver, Wrap<MemorySessionPersistDriver>);

impl Memory {
    fn in_a(wrap: Wrap<MemorySessionPersistDriver>) -> Self {
        let options = MemoryOptions::new().max_events_per_session(1000);
        Self(MemorySessionPersistDriver::with_options(options), wrap)
    }
}

#[async_trait]
impl Harness for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().evicts().leases().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        (self.1)(self.0.clone())
    }
}

struct Sqlite(TempDir, Wrap<SqliteSessionPersistDriver>);

impl Sqlite {
    fn in_a(wrap: Wrap<SqliteSessionPersistDriver>) -> Self {
        Self(tempfile::tempdir().unwrap(), wrap)
    }

    async fn open(&self) -> Arc<dyn SessionPersistDriver> {
        (self.1)(SqliteSessionPersistDriver::open(self.0.path().join("sessions.db")).await.unwrap())
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

mod encrypted_memory {
    use super::*;
    sandbox_agent_persist::conformance_tests!(Memory::in_a(encrypted));
}

mod redacting_memory {
    use super::*;
    sandbox_agent_persist::conformance_tests!(Memory::in_a(redacting));
}

mod memory_in_both {
    use super::*;
    sandbox_agent_persist::conformance_tests!(Memory::in_a(both));
}

mod memory_in_both_turned_round {
    use super::*;
    sandbox_agent_persist::conformance_tests!(Memory::in_a(both_turned_round));
}

mod encrypted_sqlite {
    use super::*;
    sandbox_agent_persist::conformance_tests!(Sqlite::in_a(encrypted));
}

mod redacting_sqlite {
    use super::*;
    sandbox_agent_persist::conformance_tests!(Sqlite::in_a(redacting));
}

mod sqlite_in_both {
    use super::*;
    sandbox_agent_persist::conformance_tests!(Sqlite::in_a(both));
}
