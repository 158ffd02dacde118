//! The store in PostgreSQL keeps the contract.

use std::sync::Arc;

use sandbox_agent_persist::conformance::Harness;
use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};

use crate::scratch::Scratch;

struct Postgres(Scratch);

#[async_trait]
impl Harness for Postgres {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable().multi_process().leases().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        Arc::new(self.0.connect().await)
    }

    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        Some(Arc::new(self.0.connect().await))
    }
}

sandbox_agent_persist::conformance_tests!(
    #[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
    Postgres(Scratch::new())
);
