//! The same work in the TypeScript SDK over a driver in JavaScript: to know, not to be judged.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sandbox_agent_benches::record;
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist::{Inserted, ListEventsRequest, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::SandboxAgent;
use serde::Deserialize;
use serde_json::json;

use crate::bench::{Bench, LONG};
use crate::place::Place;

const BOUND: Duration = Duration::from_secs(120);
const SESSION: &str = "resumed";
const PAGE: u64 = 100;
const READS: u32 = 9;
/// One at a time.
const INSERTS: u64 = 1_000;

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    Ok(vec![resume(bench).await?, inserts(bench).await?, last_page(bench).await?])
}

#[derive(Debug, Deserialize)]
struct Resumed {
    seconds: f64,
}

/// The first prompt is part of it: it takes the history along.
async fn resume(bench: &Bench) -> Result<Measure> {
    let events = bench.options.peer_events;
    let (file, copy) = (bench.file("resumed.sqlite"), bench.file("resumed-typescript.sqlite"));
    let driver = SqliteSessionPersistDriver::open(&file).await?;
    record::make(&driver, &bench.options.agent, SESSION, events, |_| ()).await?;
    driver.close().await?;
    std::fs::copy(&file, &copy)?;
    let parameters = json!({"url": bench.options.url, "file": copy, "session": SESSION});
    let typescript: Option<Resumed> = bench.peer.run("resume", &parameters, BOUND).await?;
    let typescript = typescript.context("the TypeScript SDK did not resume within two minutes")?;
    let ours = ours_resumes(bench, &file).await?;
    let name = format!("SQLite: resume and first turn, {events} events, / TypeScript SDK, s");
    Ok(Measure::told(name, ours, typescript.seconds))
}

async fn ours_resumes(bench: &Bench, file: &Path) -> Result<f64> {
    let driver = SqliteSessionPersistDriver::open(file).await?;
    let sdk = SandboxAgent::builder(&bench.options.url).persist(driver).connect().await?;
    let start = Instant::now();
    sdk.resume_session(SESSION).await?.session.prompt("say hello").await?;
    let seconds = start.elapsed().as_secs_f64();
    sdk.close().await?;
    Ok(seconds)
}

#[derive(Debug, Deserialize)]
struct Inserts {
    rate: f64,
}

async fn inserts(bench: &Bench) -> Result<Measure> {
    let parameters = json!({"file": bench.file("inserts-typescript.sqlite"), "count": INSERTS});
    let typescript: Option<Inserts> = bench.peer.run("inserts", &parameters, BOUND).await?;
    let typescript = typescript.context("the TypeScript SDK's inserts took more than two minutes")?;
    let driver = SqliteSessionPersistDriver::open(bench.file("inserts.sqlite")).await?;
    let start = Instant::now();
    for index in 1..=INSERTS {
        let event = record::event(SESSION, index)?;
        ensure!(driver.insert_event(SESSION, event).await? == Inserted::Stored);
    }
    let ours = INSERTS as f64 / start.elapsed().as_secs_f64();
    driver.close().await?;
    Ok(Measure::told("SQLite: events a second, one at a time, / JavaScript driver", ours, typescript.rate))
}

#[derive(Debug, Deserialize)]
struct Pages {
    last: f64,
}

async fn last_page(bench: &mut Bench) -> Result<Measure> {
    let (file, events) = (bench.long_file(), bench.options.events);
    bench.filled(&Place::Sqlite(file.clone())).await?;
    let parameters = json!({"file": file, "session": LONG, "events": events, "page": PAGE, "runs": READS});
    let typescript: Option<Pages> = bench.peer.run("pages", &parameters, BOUND).await?;
    let typescript = typescript.context("the TypeScript SDK's pages took more than two minutes")?;
    let driver = SqliteSessionPersistDriver::open(&file).await?;
    let mut ours = Vec::new();
    for _ in 0..READS {
        let start = Instant::now();
        driver.list_events(ListEventsRequest::new(LONG).descending().limit(usize::try_from(PAGE)?)).await?;
        ours.push(start.elapsed().as_secs_f64() * 1e3);
    }
    driver.close().await?;
    let name = format!("SQLite: last page of {events} events / JavaScript driver, ms");
    Ok(Measure::told(name, median(ours), typescript.last * 1e3))
}
