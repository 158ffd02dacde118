//! Long histories in SQLite: resuming them, and reading their ends.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sandbox_agent_benches::record;
use sandbox_agent_benches::report::median;
use sandbox_agent_persist::{ListEventsRequest, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::SandboxAgent;
use serde::Deserialize;
use serde_json::json;

use crate::bench::Bench;
use crate::table::{Row, thousands};

const BOUND: Duration = Duration::from_secs(60);
/// The history whose ends are read.
const LONGEST: u64 = 1_000_000;
const SESSION: &str = "long";
const PAGE: u32 = 100;
const RUNS: u32 = 9;

pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for events in [10_000, 100_000] {
        rows.push(resume(bench, events).await?);
    }
    rows.push(pages(bench, LONGEST).await?);
    Ok(rows)
}

#[derive(Debug, Deserialize)]
struct Resumed {
    seconds: f64,
}

/// Makes a file with a session of so many events, and closes it.
async fn make(file: &Path, agent: &str, events: u64) -> Result<()> {
    let driver = SqliteSessionPersistDriver::open(file).await?;
    record::make(&driver, agent, SESSION, events, |_| ()).await?;
    driver.close().await?;
    Ok(())
}

/// The first prompt is part of it: it takes the history along.
async fn resume(bench: &Bench, events: u64) -> Result<Row> {
    let file = bench.file(&format!("{events}.db"));
    make(&file, &bench.agent, events).await?;
    let copy = bench.copy(&file, &format!("{events}-typescript.db"))?;
    let proxy = bench.proxy().await?;
    let parameters = json!({"url": proxy.url(), "file": copy, "session": SESSION});
    let typescript: Option<Resumed> = bench.peer.run("resume", &parameters, BOUND).await?;
    let typescript = match typescript {
        Some(Resumed { seconds }) => format!("{seconds:.2} s"),
        None => format!("no return within {} s", BOUND.as_secs()),
    };
    let ours = format!("{:.2} s", ours_resumes(bench, &file).await?);
    Ok(Row::new(format!("resume and first prompt, {} events in SQLite", thousands(events)), typescript, ours))
}

async fn ours_resumes(bench: &Bench, file: &Path) -> Result<f64> {
    let proxy = bench.proxy().await?;
    let driver = SqliteSessionPersistDriver::open(file).await?;
    let sdk = SandboxAgent::builder(proxy.url()).persist(driver).connect().await?;
    let start = Instant::now();
    let session = sdk.resume_session(SESSION).await?.session;
    session.prompt("say hello").await?;
    let seconds = start.elapsed().as_secs_f64();
    sdk.close().await?;
    Ok(seconds)
}

/// Seconds for a page at each end.
#[derive(Debug, Deserialize)]
struct Pages {
    first: f64,
    last: f64,
}

impl Pages {
    fn says(&self) -> String {
        let Self { first, last } = self;
        format!("last {:.1} ms, first {:.1} ms", last * 1e3, first * 1e3)
    }
}

async fn pages(bench: &Bench, events: u64) -> Result<Row> {
    let file = bench.file("pages.db");
    make(&file, &bench.agent, events).await?;
    let parameters = json!({"file": file, "session": SESSION, "events": events, "page": PAGE, "runs": RUNS});
    let typescript: Option<Pages> = bench.peer.run("pages", &parameters, BOUND).await?;
    let typescript = typescript.context("the TypeScript SDK's pages took more than a minute")?;

    let driver = SqliteSessionPersistDriver::open(&file).await?;
    let page = ListEventsRequest::new(SESSION).limit(usize::try_from(PAGE)?);
    let first = read(&driver, page.clone()).await?;
    let ours = Pages { first, last: read(&driver, page.descending()).await? };
    driver.close().await?;
    let name = format!("last page of {} events in SQLite, and the first", thousands(events));
    Ok(Row::new(name, typescript.says(), ours.says()))
}

async fn read(driver: &SqliteSessionPersistDriver, page: ListEventsRequest) -> Result<f64> {
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        driver.list_events(page.clone()).await?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(median(seconds))
}
