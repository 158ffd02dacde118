//! What a byte costs the SDK in one huge event, beside the same bytes in small ones.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sandbox_agent_benches::cpu;
use sandbox_agent_benches::report::{self, Measure, Options, median};
use sandbox_agent_sdk::{SandboxAgent, Session, SessionRequest};

const BYTES: u32 = 60_000_000;
const SMALL: u32 = 1_000;
/// A huge event must not cost more a byte than small ones do.
const BAR: f64 = 1.0;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let (mut huge, mut small) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let sdk = SandboxAgent::connect(&options.url).await?;
        let session = sdk.create_session(SessionRequest::new("frames", &options.agent)).await?;
        huge.push(cost(&session, format!("big {BYTES}")).await?);
        // Slow enough that the server passes all of it on.
        small.push(cost(&session, format!("stream {} size={SMALL} rate=10000", BYTES / SMALL)).await?);
        sdk.close().await?;
        eprintln!("run {run}: {:?} ns a byte in one event, {:?} in small ones", huge.last(), small.last());
    }
    let (ours, baseline) = (median(huge), median(small));
    let name = "frames: CPU ns a byte, 60 MB event / 1 KB";
    let measure = Measure::at_most(name, ours, baseline, BAR);
    Ok(report::print(&[measure], options.json))
}

/// The processor time of this process for a turn, in nanoseconds a byte.
async fn cost(session: &Session, prompt: String) -> Result<f64> {
    let before = cpu::time();
    session.prompt(prompt).await?;
    Ok((cpu::time() - before).as_secs_f64() * 1e9 / f64::from(BYTES))
}
