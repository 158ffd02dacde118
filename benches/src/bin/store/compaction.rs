//! What folding the chunks of a turn saves.

use anyhow::{Context, Result, ensure};
use sandbox_agent_benches::report::Measure;
use sandbox_agent_persist::{SessionPersistDriver, Usage};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};

use crate::bench::Bench;

const CHUNKS: u64 = 10_000;
/// Slow enough that the server passes all of it on.
const RATE: u64 = 10_000;
const SESSION: &str = "compacted";

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let driver = SqliteSessionPersistDriver::open(bench.file("compacted.sqlite")).await?;
    let sdk = SandboxAgent::builder(&bench.options.url).persist(driver.clone()).connect().await?;
    let request = SessionRequest::new(SESSION, &bench.options.agent).cwd("/tmp");
    let session = sdk.create_session(request).await?;
    session.prompt(format!("stream {CHUNKS} rate={RATE}")).await?;
    let before = usage(&driver).await?;
    ensure!(before.events > CHUNKS, "the server lost some of the turn: {before:?}");
    sdk.compact_session(SESSION).await?;
    let after = usage(&driver).await?;
    sdk.close().await?;
    driver.close().await?;
    let name = |what| format!("SQLite: {what} of a turn of {CHUNKS} chunks, folded / as it came");
    Ok(vec![
        Measure::told(name("rows"), after.events as f64, before.events as f64),
        Measure::told(name("bytes"), after.bytes as f64, before.bytes as f64),
    ])
}

async fn usage(driver: &SqliteSessionPersistDriver) -> Result<Usage> {
    let upkeep = driver.upkeep().context("the store has no upkeep")?;
    Ok(upkeep.usage(SESSION).await?)
}
