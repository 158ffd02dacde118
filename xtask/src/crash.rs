//! Kills programs that write to a durable store, with the parts that this needs.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::command;
use crate::postgres::Postgres;
use crate::workspace::{CHAOS, Workspace};

const PROGRAM: &str = "crash";

#[derive(Debug, Args)]
pub(crate) struct CrashOptions {
    /// What the program takes: --kills N, --only DRIVER, --seed S
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &CrashOptions) -> Result<()> {
    let program = command::build(PROGRAM, &["-p", CHAOS, "--bin", PROGRAM, "--release"])?;
    // Beside what is built: on a disk, which what is in memory alone is not.
    let folder = workspace.metadata.target_directory.join("crash");
    let mut crash = Command::new(program);
    crash.args(["--folder", folder.as_str()]).args(&options.args);
    let postgres = Postgres::start()?;
    command::run(postgres.shown_to(&mut crash))
}
