//! How fast: durable inserts, and the way of a turn.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use sandbox_agent_benches::record::event;
use sandbox_agent_benches::report::median;
use sandbox_agent_persist::{Inserted, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::SandboxAgent;
use serde::Deserialize;
use serde_json::json;

use crate::bench::Bench;
use crate::table::{Row, thousands};

const BOUND: Duration = Duration::from_secs(60);
/// The most events that the SDK stores at once.
const BATCH: u32 = 1024;
const BATCHES: u32 = 50;
const WRITERS: u32 = 16;
const EACH: u32 = 500;
/// One at a time.
const COUNT: u32 = 2_000;
const TURNS: u32 = 200;
const ROUNDS: u32 = 3;

pub(crate) async fn rows(bench: &Bench) -> Result<[Row; 2]> {
    Ok([inserts(bench).await?, turns(bench).await?])
}

#[derive(Debug, Deserialize)]
struct Inserts {
    rate: f64,
}

async fn inserts(bench: &Bench) -> Result<Row> {
    let parameters = json!({"file": bench.file("inserts-typescript.db"), "count": COUNT});
    let typescript: Option<Inserts> = bench.peer.run("inserts", &parameters, BOUND).await?;
    let typescript = typescript.context("the TypeScript SDK's inserts took more than a minute")?;
    let typescript = format!("{} a second, a commit each", whole(typescript.rate));
    let driver = SqliteSessionPersistDriver::open(bench.file("inserts.db")).await?;
    let batches = in_batches(&driver).await?;
    let at_once = at_once(&driver).await?;
    driver.close().await?;
    let ours = format!(
        "{} a second of a fast turn, {} of {WRITERS} sessions that wait for each",
        whole(batches),
        whole(at_once)
    );
    Ok(Row::new("durable inserts in SQLite", typescript, ours))
}

fn whole(rate: f64) -> String {
    thousands(rate as u64)
}

/// Events a second, stored as a session stores those of a fast turn.
async fn in_batches(driver: &SqliteSessionPersistDriver) -> Result<f64> {
    let batch = |number| (1..=BATCH).map(move |place| event("batches", u64::from(number * BATCH + place)));
    let batches = (0..BATCHES).map(|number| batch(number).collect::<Result<Vec<_>>>());
    let batches = batches.collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    for batch in batches {
        ensure!(driver.insert_events("batches", batch).await? == Inserted::Stored);
    }
    Ok(f64::from(BATCHES * BATCH) / start.elapsed().as_secs_f64())
}

/// Events a second of many sessions, each of which waits for one insert before the next.
async fn at_once(driver: &SqliteSessionPersistDriver) -> Result<f64> {
    let start = Instant::now();
    let writers = (1..=WRITERS).map(async |writer| {
        let session = format!("writer {writer}");
        for index in 1..=EACH {
            let event = event(&session, u64::from(index))?;
            ensure!(driver.insert_event(&session, event).await? == Inserted::Stored);
        }
        Ok(())
    });
    try_join_all(writers).await?;
    Ok(f64::from(WRITERS * EACH) / start.elapsed().as_secs_f64())
}

#[derive(Debug, Deserialize)]
struct Turns {
    median: f64,
}

async fn turns(bench: &Bench) -> Result<Row> {
    let (mut typescript, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // In turn, so that a busy moment of the machine meets both.
        typescript.push(typescript_turns(bench).await?);
        ours.push(our_turns(bench).await?);
    }
    let says = |rounds| format!("{:.2} ms", median(rounds) * 1e3);
    let name = format!("a turn, median of {ROUNDS} medians of {TURNS}");
    Ok(Row::new(name, says(typescript), says(ours)))
}

async fn typescript_turns(bench: &Bench) -> Result<f64> {
    let proxy = bench.proxy().await?;
    let parameters = json!({"url": proxy.url(), "agent": bench.agent, "count": TURNS});
    let turns: Option<Turns> = bench.peer.run("turns", &parameters, BOUND).await?;
    Ok(turns.context("the TypeScript SDK's turns took more than a minute")?.median)
}

async fn our_turns(bench: &Bench) -> Result<f64> {
    let proxy = bench.proxy().await?;
    let sdk = SandboxAgent::connect(proxy.url()).await?;
    let session = sdk.create_session(bench.request("turns")).await?;
    let mut seconds = Vec::new();
    for _ in 0..TURNS {
        let start = Instant::now();
        session.prompt("say hello").await?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    sdk.close().await?;
    Ok(median(seconds))
}
