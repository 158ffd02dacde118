//! The kinds of stores that both SDKs know.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{ListSessionsRequest, SessionPersistDriver, SessionRecord};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Sqlite,
}

impl Kind {
    pub fn file(self) -> &'static str {
        match self {
            Self::Sqlite => "sessions.sqlite",
        }
    }

    /// What the TypeScript SDK wrote once.
    pub fn fixture(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/typescript/fixtures").join(self.file())
    }

    /// A copy of it, to be written to.
    pub fn copy(self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(self.file());
        std::fs::copy(self.fixture(), &file).unwrap();
        (folder, file)
    }

    /// Opens it with the driver that is written in Rust.
    pub async fn open(self, file: &Path) -> Store {
        match self {
            Self::Sqlite => {
                let driver = SqliteSessionPersistDriver::open(file).await.unwrap();
                Store { driver: Arc::new(driver.clone()), sqlite: driver }
            }
        }
    }
}

/// An open one.
pub struct Store {
    pub driver: Arc<dyn SessionPersistDriver>,
    sqlite: SqliteSessionPersistDriver,
}

impl Store {
    pub async fn sessions(&self) -> Vec<SessionRecord> {
        self.driver.list_sessions(ListSessionsRequest::new()).await.unwrap().items
    }

    pub async fn close(self) {
        self.sqlite.close().await.unwrap();
    }
}
