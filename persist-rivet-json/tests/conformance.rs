//! The driver keeps the contract, in each state that there is.

use std::sync::Arc;

use sandbox_agent_persist::conformance::Harness;
use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
use sandbox_agent_persist_rivet_json::{
    FileState, RivetJsonOptions, RivetJsonSessionPersistDriver, ValueState,
};
use tempfile::TempDir;

/// Holds what the suite asks for, and evicts what it asks for.
fn options() -> RivetJsonOptions {
    RivetJsonOptions::unlimited().max_events_per_session(1000)
}

struct InProcess;

#[async_trait]
impl Harness for InProcess {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().evicts().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        let driver = RivetJsonSessionPersistDriver::open_with_options(ValueState::new(), options());
        Arc::new(driver.await.expect("an empty state can be opened"))
    }
}

struct InFile(TempDir);

impl InFile {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    async fn open(&self) -> Arc<dyn SessionPersistDriver> {
        let state = FileState::new(self.0.path().join("state.json")).expect("it is a path");
        let driver = RivetJsonSessionPersistDriver::open_with_options(state, options());
        Arc::new(driver.await.expect("the file can be opened"))
    }
}

#[async_trait]
impl Harness for InFile {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable().evicts().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        self.open().await
    }

    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        Some(self.open().await)
    }
}

mod in_process {
    use super::InProcess;
    sandbox_agent_persist::conformance_tests!(InProcess);
}

mod in_file {
    use super::InFile;
    sandbox_agent_persist::conformance_tests!(InFile::new());
}
