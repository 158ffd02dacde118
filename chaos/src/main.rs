//! Drives sessions through seeded faults, and proves that nothing was lost, doubled or hung.
//!
//! A seed makes a plan; a client lives through it; an oracle compares what the agents logged
//! with the store and with what each subscriber saw.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::plan::Server;

mod client;
mod faults;
mod history;
mod limits;
mod log;
mod oracle;
mod plan;
mod report;
mod run;
mod script;
mod store;
mod world_real;
mod world_testkit;

#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Args)]
struct Options {
    /// How many seeds to run
    #[arg(long, value_name = "N", default_value_t = 200)]
    seeds: u64,
    /// Run this seed alone
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "start"])]
    seed: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "K", default_value_t = 1)]
    start: u64,
    /// What the sessions run on
    #[arg(long, value_enum, default_value_t = Server::Real)]
    server: Server,
    /// How many seeds run at once; each has a server and a folder of its own
    #[arg(long, value_name = "J", default_value_t = 16)]
    jobs: usize,
    /// Print one JSON object instead of the line
    #[arg(long)]
    json: bool,
    /// Where the logs of a seed that fails are kept
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The program under test, which is killed and started again
    #[command(hide = true)]
    Client(world_real::ClientOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.part {
        Some(Part::Client(options)) => run_client(options).map(|()| true),
        None => run_seeds(cli.options),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run_client(options: world_real::ClientOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(world_real::run_client(options));
    // Reading stdin holds a thread; the end does not wait for it.
    runtime.shutdown_background();
    ended
}

fn run_seeds(options: Options) -> Result<bool> {
    let (start, seeds) = match options.seed {
        Some(seed) => (seed, 1),
        None => (options.start, options.seeds),
    };
    let (report, faults) = run::run(&run::Options {
        server: options.server,
        start,
        seeds,
        jobs: options.jobs,
        folder: options.folder.unwrap_or_else(|| std::env::temp_dir().join("sandbox-agent-chaos")),
    })?;
    if options.json {
        println!("{}", report.json(&faults));
    } else {
        println!("faults: {}", list(&faults));
        println!("tails: {}", list(report.tails()));
        println!("{}", report.line());
    }
    Ok(report.is_clean())
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    counts.join(", ")
}
