//! The stores, and where each is.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use sandbox_agent_persist::SessionPersistDriver;
use sandbox_agent_persist_postgres::{PostgresOptions, PostgresSessionPersistDriver};
use sandbox_agent_persist_rivet_json::RivetJsonSessionPersistDriver;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use serde::{Deserialize, Serialize};

/// A durable store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    /// A schema of a server.
    Postgres {
        url: String,
        schema: String,
    },
    /// An actor's state in a file, within the default limits.
    State(PathBuf),
}

impl Place {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres { .. } => "PostgreSQL",
            Self::State(_) => "rivet-json",
        }
    }

    pub(crate) async fn open(&self) -> Result<Store> {
        let (driver, sqlite): (Arc<dyn SessionPersistDriver>, _) = match self {
            Self::Sqlite(file) => {
                let driver = SqliteSessionPersistDriver::open(file).await?;
                (Arc::new(driver.clone()), Some(driver))
            }
            Self::Postgres { url, schema } => {
                let options = PostgresOptions::new().schema(schema);
                (Arc::new(PostgresSessionPersistDriver::connect_with_options(url, options).await?), None)
            }
            Self::State(file) => (Arc::new(RivetJsonSessionPersistDriver::open_file(file).await?), None),
        };
        ensure!(driver.capabilities().durable, "{} is not durable", self.name());
        Ok(Store { driver, sqlite })
    }
}

/// An open one.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) driver: Arc<dyn SessionPersistDriver>,
    sqlite: Option<SqliteSessionPersistDriver>,
}

impl Store {
    /// Others go with their last handle.
    pub(crate) async fn close(self) -> Result<()> {
        if let Some(sqlite) = self.sqlite {
            sqlite.close().await?;
        }
        Ok(())
    }
}
