//! The project's chores: `cargo xtask test`, `bench NAME`, `chaos`, `crash`, `fuzz`, `postgres` and `record`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench::BenchOptions;
use crate::chaos::ChaosOptions;
use crate::crash::CrashOptions;
use crate::fuzz::FuzzOptions;
use crate::parts::TestOptions;
use crate::postgres::PostgresOptions;
use crate::workspace::Workspace;

mod agents;
mod bench;
mod browser;
mod chaos;
mod command;
mod crash;
mod crates;
mod debian;
mod desktop;
mod engine;
mod examples;
mod features;
mod fuzz;
mod mutants;
mod npm;
mod parts;
mod peer;
mod postgres;
mod record;
mod sandbox;
mod server;
mod trees;
mod workspace;

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run every part of the test gate, the real server included
    Test(TestOptions),
    /// Fuzz what reads foreign bytes
    Fuzz(FuzzOptions),
    /// Run one bench against the real server
    Bench(BenchOptions),
    /// Run a command beside a scratch PostgreSQL
    Postgres(PostgresOptions),
    /// Drive sessions through seeded faults, and prove that nothing was lost
    Chaos(ChaosOptions),
    /// Record a session of the real agent anew, and its transcripts, which a test compares
    Record,
    /// Kill programs that write to durable stores, and prove that no acknowledged event went missing
    Crash(CrashOptions),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.chore {
        Chore::Test(options) => parts::run(&options, Workspace::load),
        Chore::Fuzz(options) => fuzz::run(&Workspace::load()?, &options),
        Chore::Bench(options) => bench::run(&Workspace::load()?, &options),
        Chore::Postgres(options) => postgres::run(&options),
        Chore::Chaos(options) => chaos::run(&Workspace::load()?, &options),
        Chore::Record => record::run(&Workspace::load()?),
        Chore::Crash(options) => crash::run(&Workspace::load()?, &options),
    }
}
