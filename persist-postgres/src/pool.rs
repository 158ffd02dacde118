//! The pool: a connection for each call, bounded in every wait.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use scopeguard::ScopeGuard;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use crate::PostgresOptions;
use crate::error::{closed, failed, is_collision, leaves_whole, silent};
use crate::migrate::migrate;
use crate::names::Schema;
use crate::server::{Server, Unfit};

/// How often a call is made at the most when it collides with others.
const TRIES: u32 = 4;

/// A connection for one call. Dropped with the call, it does not go back to the pool: the server may
/// still be at work on what nobody waits for, and the next call would wait behind that.
type Lent = ScopeGuard<Object, fn(Object)>;

pub(crate) struct Pool {
    connections: deadpool_postgres::Pool,
    server: Arc<str>,
    lend_timeout: Duration,
    call_timeout: Duration,
}

impl Pool {
    pub(crate) fn new(server: &Server, options: &PostgresOptions) -> Result<Self, PersistError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        // The server knows where it is: the pool's own notion of that stays empty.
        let manager = Manager::from_connect(tokio_postgres::Config::new(), server.clone(), config);
        let settling = server.clone();
        let settle = Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let server = settling.clone();
            Box::pin(async move {
                server.settle(client).await.map_err(|unfit| match unfit {
                    Unfit::Failed(error) => HookError::Backend(error),
                    Unfit::Refused(why) => HookError::message(why),
                })
            })
        });
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(options.connections.max(1))
            .wait_timeout(Some(options.pool_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .post_create(settle)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| PersistError::new(PersistErrorKind::Other, error.to_string()))?;
        Ok(Self {
            connections,
            server: server.shown.clone(),
            // The pool does not bound settling, which takes its part of the time for connecting.
            lend_timeout: options.pool_timeout.saturating_add(options.connect_timeout),
            call_timeout: options.call_timeout,
        })
    }

    /// Makes the tables, or brings them up to date.
    pub(crate) async fn migrate(&self, schema: &Schema) -> Result<(), PersistError> {
        let mut lent = self.lend().await?;
        let ended = timeout(self.call_timeout, migrate(&mut lent, schema)).await;
        match ended {
            Ok(Ok(())) => self.ended(lent, Ok(Ok(()))),
            Ok(Err(Unfit::Failed(error))) => self.ended(lent, Ok(Err(error))),
            Ok(Err(Unfit::Refused(why))) => Err(self.refused(PersistErrorKind::Other, &why)),
            Err(elapsed) => self.ended(lent, Err(elapsed)),
        }
    }

    /// The rows of a statement that is kept prepared.
    pub(crate) async fn query(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PersistError> {
        self.query_within(self.call_timeout, sql, values).await
    }

    /// The same of one that takes as long as the server works on it.
    pub(crate) async fn query_long(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PersistError> {
        self.query_within(Duration::MAX, sql, values).await
    }

    async fn query_within(
        &self,
        limit: Duration,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PersistError> {
        let mut tries = 1;
        loop {
            let lent = self.lend().await?;
            let call = async {
                let statement = lent.prepare_cached(sql).await?;
                lent.query(&statement, values).await
            };
            match timeout(limit, call).await {
                // It was rolled back whole.
                Ok(Err(error)) if is_collision(&error) && tries < TRIES => {
                    give_back(lent);
                    tries += 1;
                }
                ended => return self.ended(lent, ended),
            }
        }
    }

    /// The one row of a statement that gives one.
    pub(crate) async fn query_one(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, PersistError> {
        self.query(sql, values).await?.pop().ok_or_else(|| {
            self.refused(PersistErrorKind::Other, "gave no row where there is one; it is no PostgreSQL")
        })
    }

    /// The rows of a statement of many shapes, which is planned for its values. `setting` holds for it alone.
    pub(crate) async fn query_once(
        &self,
        setting: Option<&str>,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PersistError> {
        let mut lent = self.lend().await?;
        let ended = timeout(self.call_timeout, async {
            let Some(setting) = setting else { return lent.query_typed(sql, values).await };
            let transaction = lent.transaction().await?;
            transaction.batch_execute(setting).await?;
            let rows = transaction.query_typed(sql, values).await?;
            transaction.commit().await?;
            Ok(rows)
        });
        let ended = ended.await;
        self.ended(lent, ended)
    }

    /// Several statements without values, which take as long as the server works on them.
    pub(crate) async fn batch_long(&self, sql: &str) -> Result<(), PersistError> {
        let lent = self.lend().await?;
        let ended = lent.batch_execute(sql).await;
        self.ended(lent, Ok(ended))
    }

    /// Lets go of the connections: idle ones at once, others when their calls have ended.
    pub(crate) fn close(&self) {
        self.connections.close();
    }

    async fn lend(&self) -> Result<Lent, PersistError> {
        let lent = timeout(self.lend_timeout, self.connections.get()).await;
        match lent.unwrap_or(Err(PoolError::Timeout(TimeoutType::Create))) {
            Ok(connection) => Ok(scopeguard::guard(connection, |given_up| drop(Object::take(given_up)))),
            Err(error) => Err(self.not_lent(error)),
        }
    }

    fn not_lent(&self, error: PoolError) -> PersistError {
        let (kind, what) = match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                return failed(&self.server, error);
            }
            PoolError::Closed => return closed(&self.server),
            PoolError::PostCreateHook(HookError::Message(why)) => (PersistErrorKind::Other, why.into_owned()),
            PoolError::Timeout(TimeoutType::Wait) => (
                PersistErrorKind::Unavailable,
                format!(
                    "has all {} connections of this pool in use; try again, or raise PostgresOptions::connections",
                    self.connections.status().max_size
                ),
            ),
            PoolError::Timeout(_) => (
                PersistErrorKind::Unavailable,
                "let nobody in in time; check that it runs, or raise PostgresOptions::connect_timeout"
                    .to_owned(),
            ),
            PoolError::NoRuntimeSpecified => (PersistErrorKind::Other, "needs a tokio runtime".to_owned()),
        };
        self.refused(kind, &what)
    }

    fn refused(&self, kind: PersistErrorKind, what: &str) -> PersistError {
        PersistError::new(kind, format!("{} {what}", self.server))
    }

    /// The outcome of a call. Its connection is given up if nobody knows in which state it is.
    fn ended<T>(&self, lent: Lent, ended: Result<Result<T, Error>, Elapsed>) -> Result<T, PersistError> {
        match ended {
            Ok(Ok(answer)) => {
                give_back(lent);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if leaves_whole(&error) {
                    give_back(lent);
                }
                Err(failed(&self.server, error))
            }
            Err(Elapsed { .. }) => Err(silent(&self.server)),
        }
    }
}

fn give_back(lent: Lent) {
    drop(ScopeGuard::into_inner(lent));
}
