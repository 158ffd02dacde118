//! The store in memory keeps the contract.

use std::sync::Arc;

use sandbox_agent_persist::conformance::Harness;
use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};

struct Memory(MemorySessionPersistDriver);

#[async_trait]
impl Harness for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().evicts().leases().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        Arc::new(self.0.clone())
    }
}

sandbox_agent_persist::conformance_tests!(Memory(MemorySessionPersistDriver::with_options(
    MemoryOptions::new().max_events_per_session(1000)
)));
