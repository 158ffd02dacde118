//! Runs a bench program, built for release, against a real server of its own.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::parts::scripted_agent;
use crate::postgres::Postgres;
use crate::sandbox::{AGENT, Sandbox};
use crate::workspace::{BENCHES, Workspace};
use crate::{command, engine, peer, server};

#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// The bench: a program in `benches/src/bin/`
    name: String,
    /// What the program is told; `--help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// The benches that run the TypeScript SDK too.
const BESIDE_THE_PEER: [&str; 2] = ["faults", STORE];
/// The bench of the stores: on a disk, with a server for each of two processes.
const STORE: &str = "store";
/// The bench of many who look on: in one process, then over the actor engine.
const MULTIPLAYER: &str = "multiplayer";

pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    let package = workspace.member(BENCHES)?;
    let names: Vec<_> =
        package.targets.iter().filter(|target| target.is_bin()).map(|target| target.name.as_str()).collect();
    if !names.contains(&options.name.as_str()) {
        bail!("no bench `{}`; there are: {}", options.name, names.join(", "));
    }
    let program = command::build(&options.name, &["--release", "-p", BENCHES, "--bin", &options.name])?;
    let (server, agent) = (server::installed(workspace)?, scripted_agent(&["--release"])?);
    let sandbox = Sandbox::start(&server, &agent)?;
    let mut bench = Command::new(program);
    bench.env("SANDBOX_AGENT_URL", sandbox.url()).env("SANDBOX_AGENT_AGENT", AGENT);
    if BESIDE_THE_PEER.contains(&options.name.as_str()) {
        bench.env(peer::VARIABLE, peer::installed(workspace)?);
    }
    if options.name == MULTIPLAYER {
        let alone = command::run(bench.args(&options.args));
        let over_the_engine = engine::bench(workspace, &sandbox.url(), &options.args);
        return alone.and(over_the_engine);
    }
    if options.name != STORE {
        return command::run(bench.args(&options.args));
    }
    let second = Sandbox::start(&server, &agent)?;
    bench.env("SANDBOX_AGENT_SECOND_URL", second.url());
    bench.env("BENCH_FOLDER", workspace.metadata.target_directory.join("bench"));
    let postgres = Postgres::start()?;
    command::run(postgres.shown_to(bench.args(&options.args)))
}
