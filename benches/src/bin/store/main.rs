//! What the stores cost, beside what the same work costs by hand, with the same durability.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use sandbox_agent_benches::report::{self, Measure};

use crate::bench::{Bench, Options};
use crate::child::Child;

mod batches;
mod bench;
mod by_hand;
mod child;
mod commits;
mod compaction;
mod memory;
mod pages;
mod place;
mod postgres;
mod resume;
mod state;
mod typescript;
mod wal;
mod writers;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Part {
    /// Batches of events, into SQLite
    Batches,
    /// One event at a time, of many sessions at once
    Commits,
    /// Batches of events, into PostgreSQL
    Postgres,
    /// The state of an actor
    State,
    /// A million events, and the memory that they take
    Memory,
    /// The first page and the last one
    Pages,
    /// A session that is taken up again
    Resume,
    /// Two processes that record one session
    Writers,
    /// What folding saves
    Compaction,
    /// The same work in the TypeScript SDK
    Typescript,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    if let Some(child) = Child::of_this_process()? {
        child.run().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    let json = options.json;
    let mut bench = Bench::new(options)?;
    let mut measures = Vec::new();
    for part in Part::value_variants() {
        if !bench.wants(*part) {
            continue;
        }
        eprintln!("measuring: {part:?}");
        measures.extend(measured(*part, &mut bench).await?);
    }
    Ok(report::print(&measures, json))
}

async fn measured(part: Part, bench: &mut Bench) -> Result<Vec<Measure>> {
    match part {
        Part::Batches => batches::measures(bench).await,
        Part::Commits => commits::measures(bench).await,
        Part::Postgres => postgres::measures(bench).await,
        Part::State => state::measures(bench).await,
        Part::Memory => memory::measures(bench).await,
        Part::Pages => pages::measures(bench).await,
        Part::Resume => resume::measures(bench).await,
        Part::Writers => writers::measures(bench).await,
        Part::Compaction => compaction::measures(bench).await,
        Part::Typescript => typescript::measures(bench).await,
    }
}
