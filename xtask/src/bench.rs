//! Runs a bench program, built for release, against a real server of its own.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::parts::scripted_agent;
use crate::sandbox::{AGENT, Sandbox};
use crate::workspace::{BENCHES, Workspace};
use crate::{command, peer, server};

#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// The bench: a program in `benches/src/bin/`
    name: String,
    /// What the program is told; `--help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// The bench that runs the TypeScript SDK too.
const BESIDE_THE_PEER: &str = "faults";

pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    let package = workspace.member(BENCHES)?;
    let names: Vec<_> =
        package.targets.iter().filter(|target| target.is_bin()).map(|target| target.name.as_str()).collect();
    if !names.contains(&options.name.as_str()) {
        bail!("no bench `{}`; there are: {}", options.name, names.join(", "));
    }
    let program = command::build(&options.name, &["--release", "-p", BENCHES, "--bin", &options.name])?;
    let sandbox = Sandbox::start(&server::installed(workspace)?, &scripted_agent(&["--release"])?)?;
    let mut bench = Command::new(program);
    bench.env("SANDBOX_AGENT_URL", sandbox.url()).env("SANDBOX_AGENT_AGENT", AGENT);
    if options.name == BESIDE_THE_PEER {
        bench.env(peer::VARIABLE, peer::installed(workspace)?);
    }
    command::run(bench.args(&options.args))
}
