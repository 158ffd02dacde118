//! Two processes record one session into one SQLite file, each through an SDK of its own.
//!
//! Each has a server of its own, and there a process of the agent's, which streams. So the session runs
//! twice at once: the second SDK finds that its server doesn't know the process that the record names, and
//! starts another; the first one keeps its own. All that the two hear goes into one record.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sandbox_agent_benches::report::Measure;
use sandbox_agent_persist::{ListEventsRequest, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use crate::bench::Bench;
use crate::child::{Child, say};

const SESSION: &str = "shared";
/// Updates of a turn: the server loses those of an agent that is faster than it.
const TURN: u64 = 10_000;
const RATE: u64 = 10_000;
/// What a turn has beside its updates: its prompt and its answer.
const AROUND: u64 = 2;
const PAGE: usize = 1_000;

/// What each of the processes is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recording {
    url: String,
    agent: String,
    file: PathBuf,
    /// How many events it records in all.
    events: u64,
}

/// The id of the agent's process whose events it records.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    connection: String,
}

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let file = bench.file("shared.sqlite");
    let each = bench.options.each;
    let mut started = Vec::new();
    for url in [&bench.options.url, &bench.options.second_url] {
        let (url, agent) = (url.clone(), bench.options.agent.clone());
        let recording = Recording { url, agent, file: file.clone(), events: each };
        let mut child = Child::Record(recording).start()?;
        // One after the other: what is measured is how they record.
        let Open { connection } = child.said().await?;
        started.push((child, connection));
    }
    let start = Instant::now();
    for (child, _) in &mut started {
        child.go().await?;
    }
    for (child, _) in &mut started {
        child.said::<()>().await.context("an error reached the caller of an SDK that records")?;
    }
    eprintln!("two processes recorded {each} events each in {:.1} s", start.elapsed().as_secs_f64());
    // Before they close the session, and record that.
    let connections: Vec<_> = started.iter().map(|(_, connection)| connection.clone()).collect();
    let (stored, of_each) = count(&file, &connections).await?;
    eprintln!("of each: {of_each:?}");
    for (mut child, _) in started {
        child.go().await?;
        child.wait::<()>().await?;
    }
    let name = format!("SQLite: events that two SDKs stored in one session, {each} each, in order");
    let measure = Measure::exactly(name, stored as f64, (2 * each) as f64);
    let ok = measure.ok && of_each == [each, each];
    Ok(vec![Measure { ok, ..measure }])
}

/// How many events the session has, whose indexes must be 1, 2, 3, …; and how many of each process.
async fn count(file: &PathBuf, connections: &[String]) -> Result<(u64, Vec<u64>)> {
    let driver = SqliteSessionPersistDriver::open(file).await?;
    let mut count = Count { driver: &driver, last: 0 };
    let mut of_each = vec![0; connections.len()];
    count
        .go_on(|connection| {
            let place = connections.iter().position(|one| one == connection);
            if let Some(place) = place {
                of_each[place] += 1;
            }
        })
        .await?;
    let stored = count.last;
    driver.close().await?;
    Ok((stored, of_each))
}

/// Reads a session on.
struct Count<'a> {
    driver: &'a SqliteSessionPersistDriver,
    last: u64,
}

impl Count<'_> {
    /// Tells of each event that was stored since, and on which process it ran.
    async fn go_on(&mut self, mut event_of: impl FnMut(&str)) -> Result<()> {
        loop {
            let request = ListEventsRequest::new(SESSION).after_index(self.last).limit(PAGE);
            let page = self.driver.list_events(request).await?;
            for event in &page.items {
                ensure!(
                    event.event_index == self.last + 1,
                    "{} comes after {}",
                    event.event_index,
                    self.last
                );
                self.last = event.event_index;
                event_of(&event.connection_id);
            }
            if page.next_cursor.is_none() {
                return Ok(());
            }
        }
    }
}

impl Recording {
    pub(crate) async fn run(self) -> Result<()> {
        let driver = SqliteSessionPersistDriver::open(&self.file).await?;
        let sdk = SandboxAgent::builder(&self.url).persist(driver.clone()).connect().await?;
        let request = SessionRequest::new(SESSION, &self.agent).cwd("/tmp");
        let session = sdk.resume_or_create_session(request).await?;
        let connection = session.record().last_connection_id;
        let mut steps = BufReader::new(tokio::io::stdin()).lines();
        say(&Open { connection: connection.clone() })?;
        step(&mut steps).await?;

        let mut count = Count { driver: &driver, last: 0 };
        let mut recorded = 0;
        loop {
            count.go_on(|of| recorded += u64::from(of == connection)).await?;
            ensure!(recorded <= self.events, "{recorded} events were recorded, more than {}", self.events);
            match self.events - recorded {
                0 => break,
                left if left <= AROUND => {
                    // No turn is that short.
                    session.raw_notify("_bench/one_more", serde_json::json!({})).await?;
                }
                left => {
                    let updates = TURN.min(left - AROUND);
                    session.prompt(format!("stream {updates} rate={RATE}")).await?;
                }
            }
        }
        say(&())?;
        step(&mut steps).await?;
        sdk.close().await?;
        driver.close().await?;
        say(&())
    }
}

async fn step(steps: &mut Lines<BufReader<Stdin>>) -> Result<()> {
    steps.next_line().await?.context("the bench ended").map(drop)
}
