//! What a call of each area costs, beside the same request by a bare HTTP client.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sandbox_agent_benches::report::{self, Options};

use crate::bench::Bench;

mod bare;
mod bench;
mod files;
mod processes;
mod settings;

// One thread for the client, as both sides have it: with more, it is the wakes between them that are measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let mut bench = Bench::connect(&options).await?;
    settings::measure(&mut bench).await?;
    files::measure(&mut bench).await?;
    processes::measure(&mut bench).await?;
    Ok(report::print(&bench.close().await?, options.json))
}
