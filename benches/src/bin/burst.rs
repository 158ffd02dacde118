//! How much of a burst, written as fast as the agent can, is kept.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use sandbox_agent_benches::raw::{RawSession, ids_of};
use sandbox_agent_benches::report::{self, Measure, Options, median};
use sandbox_agent_sdk::{From, SandboxAgent, SessionEventExt, SessionRequest};

const UPDATES: u32 = 20_000;
/// The least share of the updates that must be stored.
const BAR: f64 = 0.99;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let (mut stored, mut read) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        // In turn, so that a busy moment of the machine meets both.
        stored.push(share(ours(&options).await?)?);
        read.push(share(baseline(&options).await?)?);
        eprintln!("run {run}: stored {:?}, a bare reader {:?}", stored.last(), read.last());
    }
    let (ours, baseline) = (median(stored), median(read));
    let name = "burst: share of 20,000 updates";
    let measure =
        Measure { name: name.into(), ours, baseline: Some(baseline), bar: Some(BAR), ok: ours >= BAR };
    Ok(report::print(&[measure], options.json))
}

fn share(updates: usize) -> Result<f64> {
    Ok(f64::from(u32::try_from(updates)?) / f64::from(UPDATES))
}

fn prompt() -> String {
    format!("stream {UPDATES}")
}

/// How many updates the SDK has stored once the turn has ended.
async fn ours(options: &Options) -> Result<usize> {
    let sdk = SandboxAgent::connect(&options.url).await?;
    let session = sdk.create_session(SessionRequest::new("burst", &options.agent)).await?;
    session.prompt(prompt()).await?;
    let last = usize::try_from(session.last_index())?;
    let mut events = session.events(From::Start).take(last);
    let mut updates = 0;
    while let Some(event) = events.try_next().await? {
        updates += usize::from(event.agent_text().is_some());
    }
    sdk.close().await?;
    Ok(updates)
}

/// How many updates reach a reader that does nothing but read.
async fn baseline(options: &Options) -> Result<usize> {
    let session = RawSession::open(&options.url, &options.agent).await?;
    let stream = session.prompt(&prompt()).await?;
    session.close().await;
    Ok(ids_of(&stream, "agent_message_chunk")?.into_iter().collect::<BTreeSet<_>>().len())
}
