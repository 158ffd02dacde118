//! Taking a session up again: what it costs at either length, and how much of that is the SDK's.
//!
//! Each run resumes a session whose agent's process was ended when it was closed, on a new process. The
//! server's and the agent's part is what the same takes by hand, in the same round: starting a process
//! by `initialize`, `session/new` in it, and, with the first prompt, that prompt up to its answer.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use sandbox_agent_benches::raw::RawSession;
use sandbox_agent_benches::record;
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{ResumeOutcome, SandboxAgent};

use crate::bench::{Bench, LONG};
use crate::place::Place;

const SHORT: &str = "short";
const SHORT_EVENTS: u64 = 1_000;
const LENGTH_BAR: f64 = 1.5;
/// Milliseconds of the SDK's own.
const OWN_BAR: f64 = 10.0;
const PROMPT: &str = "say hello";

/// Milliseconds until the session is open, and until its first turn is over.
#[derive(Debug, Default)]
struct Times {
    open: Vec<f64>,
    turn: Vec<f64>,
}

impl Times {
    fn add(&mut self, start: Instant, opened: Instant) {
        self.open.push((opened - start).as_secs_f64() * 1e3);
        self.turn.push(start.elapsed().as_secs_f64() * 1e3);
    }

    /// Of all but the first, which warms up: the server, the file, this program.
    fn medians(self) -> [f64; 2] {
        [self.open, self.turn].map(|times| median(times.into_iter().skip(1).collect()))
    }
}

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let file = bench.long_file();
    bench.filled(&Place::Sqlite(file.clone())).await?;
    let driver = SqliteSessionPersistDriver::open(&file).await?;
    record::make(&driver, &bench.options.agent, SHORT, SHORT_EVENTS, |_| ()).await?;
    driver.close().await?;
    let client = reqwest::Client::new();
    let (mut short, mut long, mut by_hand) = (Times::default(), Times::default(), Times::default());
    for _ in 0..=bench.options.runs {
        let sdks = [ours(bench, &file, SHORT, &mut short).await?, ours(bench, &file, LONG, &mut long).await?];
        let raw = raw(bench, &client, &mut by_hand).await?;
        // Ending a process takes the server long, and is not what is measured.
        let (closed, ()) = tokio::join!(try_join_all(sdks.iter().map(SandboxAgent::close)), raw.close());
        closed?;
    }
    let (short, long, by_hand) = (short.medians(), long.medians(), by_hand.medians());
    let events = bench.options.events;
    let mut measures = Vec::new();
    for (place, what) in ["resume", "resume and first turn"].into_iter().enumerate() {
        let name = format!("SQLite: {what}, {events} events / {SHORT_EVENTS}, ms");
        measures.push(Measure::at_most(name, long[place], short[place], LENGTH_BAR));
    }
    let name = format!("SQLite: resume, {events} events, less {:.1} ms by hand, ms", by_hand[0]);
    measures.push(Measure::limited(name, long[0] - by_hand[0], OWN_BAR));
    // With the turn's events in the store, each before it is told.
    let name = format!("SQLite: resume and first turn, {events} events, / by hand without a store, ms");
    measures.push(Measure::told(name, long[1], by_hand[1]));
    Ok(measures)
}

async fn ours(bench: &Bench, file: &Path, session: &str, times: &mut Times) -> Result<SandboxAgent> {
    let driver = SqliteSessionPersistDriver::open(file).await?;
    let sdk = SandboxAgent::builder(&bench.options.url).persist(driver).connect().await?;
    let start = Instant::now();
    let opened = sdk.resume_session(session).await?;
    let open = Instant::now();
    opened.session.prompt(PROMPT).await?;
    times.add(start, open);
    ensure!(opened.outcome == ResumeOutcome::Transcript, "{session}: {:?}", opened.outcome);
    Ok(sdk)
}

async fn raw(bench: &Bench, client: &reqwest::Client, times: &mut Times) -> Result<RawSession> {
    let start = Instant::now();
    let raw = RawSession::open_with(client.clone(), &bench.options.url, &bench.options.agent).await?;
    let open = Instant::now();
    raw.ask(PROMPT).await?;
    times.add(start, open);
    Ok(raw)
}
