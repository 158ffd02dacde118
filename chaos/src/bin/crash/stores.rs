//! The drivers that call themselves durable.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use sandbox_agent_persist_postgres::{PostgresOptions, PostgresSessionPersistDriver};
use sandbox_agent_persist_rivet_json::{FileState, RivetJsonOptions, RivetJsonSessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::persist::SessionPersistDriver;
use serde::{Deserialize, Serialize};

/// Where a PostgreSQL server is, in which schemas can be made.
const POSTGRES: &str = "SANDBOX_AGENT_POSTGRES_URL";

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Driver {
    Sqlite,
    /// An actor's state, in a file
    RivetJson,
    Postgres,
}

impl Driver {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::RivetJson => "rivet-json",
            Self::Postgres => "postgres",
        }
    }

    /// So many writers are killed at one store, then the next one is begun.
    pub(crate) fn kills(self) -> u64 {
        match self {
            Self::Sqlite | Self::Postgres => 25,
            // Each save writes all of it.
            Self::RivetJson => 4,
        }
    }

    /// A store of this driver that isn't there yet.
    pub(crate) fn store(self, folder: &Path, number: u64) -> Store {
        let name = format!("crash-{}-{number}", std::process::id());
        let place = match self {
            Self::Postgres => name,
            _ => folder.join(name).to_string_lossy().into_owned(),
        };
        Store { driver: self, place }
    }
}

/// Where a store is: a file, or a schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Store {
    driver: Driver,
    place: String,
}

impl Store {
    pub(crate) async fn open(&self) -> Result<Arc<dyn SessionPersistDriver>> {
        let driver: Arc<dyn SessionPersistDriver> = match self.driver {
            Driver::Sqlite => Arc::new(SqliteSessionPersistDriver::open(&self.place).await?),
            Driver::RivetJson => {
                let (state, options) = (FileState::new(&self.place)?, RivetJsonOptions::unlimited());
                Arc::new(RivetJsonSessionPersistDriver::open_with_options(state, options).await?)
            }
            Driver::Postgres => {
                let url = std::env::var(POSTGRES);
                let url = url.with_context(|| {
                    format!("{POSTGRES} must name a server; `cargo xtask crash` starts one")
                })?;
                let options = PostgresOptions::new().schema(&self.place).connections(8);
                Arc::new(PostgresSessionPersistDriver::connect_with_options(&url, options).await?)
            }
        };
        ensure!(driver.capabilities().durable, "{} does not call itself durable", self.driver.name());
        Ok(driver)
    }
}
