//! The kinds of stores that both SDKs know.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox_agent_persist_rivet_json::{FileState, RivetJsonOptions, RivetJsonSessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{ListSessionsRequest, SessionPersistDriver, SessionRecord};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Sqlite,
    /// The state of an actor, in a file.
    State,
}

impl Kind {
    pub fn file(self) -> &'static str {
        match self {
            Self::Sqlite => "sessions.sqlite",
            Self::State => "state.json",
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
                Store { driver: Arc::new(driver.clone()), sqlite: Some(driver) }
            }
            Self::State => {
                let (state, options) = (FileState::new(file).unwrap(), RivetJsonOptions::unlimited());
                let driver = RivetJsonSessionPersistDriver::open_with_options(state, options).await.unwrap();
                Store { driver: Arc::new(driver), sqlite: None }
            }
        }
    }
}

/// An open one.
pub struct Store {
    pub driver: Arc<dyn SessionPersistDriver>,
    sqlite: Option<SqliteSessionPersistDriver>,
}

impl Store {
    pub async fn sessions(&self) -> Vec<SessionRecord> {
        self.driver.list_sessions(ListSessionsRequest::new()).await.unwrap().items
    }

    pub async fn close(self) {
        if let Some(sqlite) = self.sqlite {
            sqlite.close().await.unwrap();
        }
    }
}
