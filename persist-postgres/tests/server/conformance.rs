//! The store in PostgreSQL keeps the contract.

use std::sync::Arc;

use sandbox_agent_persist::conformance::{Harness, run_all};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn the_store_keeps_the_contract() {
    let report = run_all(|| Postgres(Scratch::new())).await;
    assert!(report.failures.is_empty(), "{report}");
}
