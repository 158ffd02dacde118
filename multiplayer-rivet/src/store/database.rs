//! The actor's database. All that the store knows of it, but for its tables, is in this file.

use std::fmt;

use rivet_error::RivetError;
use rivetkit_core::{ActorContext, BindParam, ColumnValue, SqliteBatchStatement, SqliteDb};
use sandbox_agent_persist::{PersistError, PersistErrorKind};

/// A value that is bound, or was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A statement with its values, in the order of their numbers.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Self {
        Self { sql: sql.into(), values: values.into_iter().collect() }
    }
}

pub(super) struct Database {
    sql: SqliteDb,
    actor_id: String,
}

impl Database {
    pub(super) fn of(actor: &ActorContext) -> Self {
        Self { sql: actor.sql().clone(), actor_id: actor.actor_id().to_owned() }
    }

    pub(super) fn actor_id(&self) -> &str {
        &self.actor_id
    }

    /// The rows of one statement.
    pub(super) async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, PersistError> {
        let params = statement.values.into_iter().map(bind).collect();
        let read = self.sql.query(statement.sql, Some(params)).await.map_err(|error| self.failed(error))?;
        let value = |value| match value {
            ColumnValue::Null => Ok(Value::Null),
            ColumnValue::Integer(value) => Ok(Value::Integer(value)),
            ColumnValue::Text(text) => Ok(Value::Text(text)),
            ColumnValue::Float(_) | ColumnValue::Blob(_) => {
                Err(self.corrupt("has a value of a foreign kind"))
            }
        };
        read.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect()
    }

    /// All of these statements or none, at once. Gives how many rows each has changed.
    pub(super) async fn write(&self, statements: Vec<Statement>) -> Result<Vec<i64>, PersistError> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let batch = statements
            .into_iter()
            .map(|statement| SqliteBatchStatement {
                sql: statement.sql,
                params: Some(statement.values.into_iter().map(bind).collect()),
            })
            .collect();
        let results = self.sql.execute_batch(batch).await.map_err(|error| self.failed(error))?;
        Ok(results.into_iter().map(|result| result.changes).collect())
    }

    /// Gives deleted pages back. It can't be within a transaction.
    pub(super) async fn vacuum(&self) -> Result<(), PersistError> {
        self.sql.exec("VACUUM").await.map(drop).map_err(|error| self.failed(error))
    }

    pub(super) fn corrupt(&self, what: &str) -> PersistError {
        let message = format!("the database of actor {} {what}; restore it from a copy", self.actor_id);
        PersistError::new(PersistErrorKind::Corrupt, message)
    }

    fn failed(&self, error: anyhow::Error) -> PersistError {
        let rivet = RivetError::extract(&error);
        let (kind, way_out) = match (rivet.group(), rivet.code()) {
            ("sqlite", "unavailable" | "not_configured") => (
                PersistErrorKind::Other,
                "give the actor `ActorConfig::remote_sqlite`, or the runtime its feature `sqlite-local`",
            ),
            ("sqlite", "invalid_bind_parameter") => (PersistErrorKind::Other, NOTHING_CHANGED),
            // The engine tells what SQLite refused and what its storage could not do under one code.
            ("sqlite", "remote_execution_failed") if is_refusal(rivet.message()) => {
                (PersistErrorKind::Other, NOTHING_CHANGED)
            }
            // A queue that is full, a connection that broke, a storage that is late.
            _ => (PersistErrorKind::Unavailable, "try again"),
        };
        let message = format!("the database of actor {}: {}; {way_out}", self.actor_id, rivet.message());
        PersistError::new(kind, message).with_source(error)
    }
}

const NOTHING_CHANGED: &str = "nothing was changed, and trying again does not help";

/// Whether no second try helps. Anything else is tried again in vain at worst.
fn is_refusal(message: &str) -> bool {
    ["failed to prepare", "constraint failed", "bind params", "malformed"]
        .iter()
        .any(|sign| message.contains(sign))
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("actor", &self.actor_id).finish_non_exhaustive()
    }
}

fn bind(value: Value) -> BindParam {
    match value {
        Value::Null => BindParam::Null,
        Value::Integer(value) => BindParam::Integer(value),
        Value::Text(text) => BindParam::Text(text),
    }
}
