//! The program that writes until it is killed: this one, started again.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sandbox_agent_sdk::SessionPersistDriver;
use sandbox_agent_sdk::persist::Inserted;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::record::{event, record};
use crate::stores::Store;

const VARIABLE: &str = "CRASH_WRITER";
/// The kinds of writing, each with a session of its own: so many events at once.
const BATCHES: [u64; 4] = [1, 1, 7, 100];

/// What it writes to, and the beginning of its sessions' ids.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) prefix: String,
}

/// What it was told is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// The session's events up to this one.
    Events(String, u64),
    /// The session's record, as it is when it was written so many times.
    Record(String, u64),
}

impl Writer {
    /// What this process was started for; `None` when it is not there to write.
    pub(crate) fn of_this_process() -> Result<Option<Self>> {
        let told = std::env::var(VARIABLE).ok();
        told.map(|told| serde_json::from_str(&told)).transpose().context("a writer was started wrongly")
    }

    pub(crate) fn start(&self) -> Result<Child> {
        Command::new(std::env::current_exe()?)
            .env(VARIABLE, serde_json::to_string(self)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("can't start this program again")
    }

    /// Writes, and says what it was told, until it is killed.
    pub(crate) async fn run(self) -> Result<()> {
        let driver = self.store.open().await?;
        let mut writes = tokio::task::JoinSet::new();
        for (number, size) in BATCHES.into_iter().enumerate() {
            let session = format!("{}-{number}-of-{size}", self.prefix);
            writes.spawn(events(driver.clone(), session, size));
        }
        writes.spawn(records(driver, format!("{}-record", self.prefix)));
        while let Some(ended) = writes.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn events(driver: Arc<dyn SessionPersistDriver>, session: String, size: u64) -> Result<()> {
    let mut last = 0;
    loop {
        let batch = (last + 1..=last + size).map(|index| event(&session, index));
        let mut batch = batch.collect::<Result<Vec<_>>>()?;
        let inserted = match batch.len() {
            1 => driver.insert_event(&session, batch.remove(0)).await?,
            _ => driver.insert_events(&session, batch).await?,
        };
        ensure!(inserted == Inserted::Stored, "{session} {last}: {inserted:?}");
        last += size;
        say(&Told::Events(session.clone(), last))?;
    }
}

async fn records(driver: Arc<dyn SessionPersistDriver>, session: String) -> Result<()> {
    for times in 1.. {
        driver.update_session(record(&session, times)).await?;
        say(&Told::Record(session.clone(), times))?;
    }
    Ok(())
}

/// Printed whole, and at once: a line that was not printed was not told.
fn say(told: &Told) -> Result<()> {
    println!("{}", serde_json::to_string(told)?);
    Ok(())
}
