//! Runs sessions through seeded faults, with the parts that this needs.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::parts::scripted_agent;
use crate::server;
use crate::workspace::{CHAOS, Workspace};
use crate::{command, mutants};

/// How many seeds are part of the gate.
const GATE_SEEDS: &str = "20";

#[derive(Debug, Args)]
pub(crate) struct ChaosOptions {
    /// Undo one safeguard at a time, in a copy: a test must notice each
    #[arg(long)]
    mutants: bool,
    /// Of the mutants this one alone, a file of `xtask/mutants/`; may be given more than once
    #[arg(long, value_name = "NAME", requires = "mutants")]
    only: Vec<String>,
    /// What the program takes: --seeds N, --seed S, --start K, --server real|testkit, --jobs J, --json
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, conflicts_with = "mutants")]
    args: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &ChaosOptions) -> Result<()> {
    if options.mutants {
        return mutants::run(workspace, &options.only);
    }
    start(workspace, &["--release"], &options.args)
}

/// The part of the gate: built as the tests are.
pub(crate) fn gate(workspace: &Workspace) -> Result<()> {
    start(workspace, &[], &["--seeds".to_owned(), GATE_SEEDS.to_owned()])
}

fn start(workspace: &Workspace, profile: &[&str], args: &[String]) -> Result<()> {
    let program = command::build(CHAOS, &[&["-p", CHAOS, "--bin", CHAOS], profile].concat())?;
    let kept = workspace.metadata.target_directory.join("chaos");
    let mut chaos = Command::new(program);
    chaos
        .env("SANDBOX_AGENT_BIN", server::installed(workspace)?)
        .env("SCRIPTED_ACP_AGENT_BIN", scripted_agent(profile)?)
        .args(["--folder", kept.as_str()])
        .args(args);
    command::run(&mut chaos)
}
