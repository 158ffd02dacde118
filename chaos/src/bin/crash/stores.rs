//! The drivers that call themselves durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::persist::SessionPersistDriver;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Driver {
    Sqlite,
}

impl Driver {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
        }
    }

    /// A store of this driver that isn't there yet; its sessions begin with the store's name.
    pub(crate) fn store(self, folder: &Path, number: u64) -> Store {
        Store { driver: self, path: folder.join(format!("{}-{number}", self.name())) }
    }
}

/// Where a store is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Store {
    driver: Driver,
    pub(crate) path: PathBuf,
}

impl Store {
    pub(crate) async fn open(&self) -> Result<Arc<dyn SessionPersistDriver>> {
        let driver: Arc<dyn SessionPersistDriver> = match self.driver {
            Driver::Sqlite => Arc::new(SqliteSessionPersistDriver::open(&self.path).await?),
        };
        ensure!(driver.capabilities().durable, "{} does not call itself durable", self.driver.name());
        Ok(driver)
    }
}
