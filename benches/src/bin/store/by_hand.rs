//! SQLite by hand: what somebody writes who needs nothing but these inserts.

use std::path::Path;

use anyhow::{Result, ensure};
use rusqlite::{Connection, TransactionBehavior, params};
use sandbox_agent_persist::SessionEvent;
use tokio::task::spawn_blocking;

/// SQLite's number for `FULL`.
const FULL: i64 = 2;

/// What the driver sets for its own connection.
const AS_THE_DRIVER: [(&str, i64); 2] = [("wal_autocheckpoint", 4_000), ("cache_size", -8_000)];

/// A connection to a file of its own.
#[derive(Debug)]
pub(crate) struct ByHand(Connection);

impl ByHand {
    /// Makes a file with the same tables, indexes and triggers as the `model`, which is open in WAL mode.
    pub(crate) fn like(model: &Path, file: &Path) -> Result<Self> {
        let model = Connection::open(model)?;
        ensure!(pragma::<String>(&model, "journal_mode")? == "wal", "the driver's file is not in WAL mode");
        let by_hand = Connection::open(file)?;
        by_hand.pragma_update(None, "journal_mode", "WAL")?;
        by_hand.pragma_update(None, "synchronous", "FULL")?;
        ensure!(pragma::<String>(&by_hand, "journal_mode")? == "wal", "the baseline is not in WAL mode");
        // The driver reads the same back from its own connection, and opens no file otherwise.
        ensure!(pragma::<i64>(&by_hand, "synchronous")? == FULL, "the baseline is not durable");
        ensure!(pragma::<i64>(&model, "page_size")? == pragma::<i64>(&by_hand, "page_size")?);
        for (name, value) in AS_THE_DRIVER {
            by_hand.pragma_update(None, name, value)?;
        }
        let mut tables = model
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")?;
        for sql in tables.query_map([], |row| row.get::<_, String>(0))? {
            by_hand.execute_batch(&sql?)?;
        }
        Ok(Self(by_hand))
    }

    /// Does the same as an asynchronous program must: on a thread that may wait for the disk.
    pub(crate) async fn insert_apart(mut self, events: Vec<SessionEvent>) -> Result<Self> {
        spawn_blocking(move || {
            self.insert(&events)?;
            Ok(self)
        })
        .await?
    }

    /// Stores the batch in one transaction.
    pub(crate) fn insert(&mut self, events: &[SessionEvent]) -> Result<()> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO events (id, event_index, session_id, created_at, connection_id, sender, payload_json) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?;
        for event in events {
            insert.execute(params![
                event.id,
                i64::try_from(event.event_index)?,
                event.session_id,
                event.created_at,
                event.connection_id,
                event.sender.as_str(),
                event.payload.get(),
            ])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<T> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}
