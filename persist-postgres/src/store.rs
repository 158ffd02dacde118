//! What the handles of a store share.

use std::sync::Arc;

use sandbox_agent_persist::PersistError;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::PostgresOptions;
use crate::error::failed;
use crate::follow::Follower;
use crate::names::{Schema, Statements};
use crate::pool::Pool;
use crate::server::Server;

pub(crate) struct Store {
    /// Server and schema, for people; has no password.
    pub(crate) place: Arc<str>,
    pub(crate) pool: Pool,
    pub(crate) statements: Statements,
    pub(crate) follower: Follower,
    pub(crate) durable: bool,
}

impl Store {
    pub(crate) async fn open(server: Server, options: &PostgresOptions) -> Result<Self, PersistError> {
        let schema = Schema::new(&options.schema)?;
        let pool = Pool::new(&server, options)?;
        pool.migrate(&schema).await?;
        Ok(Self {
            place: format!("{}, schema {}", server.shown, schema.plain).into(),
            pool,
            statements: Statements::new(&schema),
            durable: options.require_fsync,
            follower: Follower::new(server, &schema),
        })
    }

    /// A column of what one of the schema's own functions gave.
    pub(crate) fn column<'a, T: FromSql<'a>>(&self, row: &'a Row, column: usize) -> Result<T, PersistError> {
        row.try_get(column).map_err(|error| failed(&self.place, error))
    }
}
