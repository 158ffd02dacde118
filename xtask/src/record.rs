//! Records a session of the real agent, and writes the transcripts that a test compares with what it reads like.

use anyhow::Result;

use crate::command;
use crate::parts::real_programs;
use crate::workspace::{SDK, Workspace};

/// Where the recording and its transcripts are.
const FOLDER: &str = "tests/transcript";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join(FOLDER);
    let mut record = test(workspace, "real")?;
    record.env("RECORD_SESSION_TO", folder.join("opencode.jsonl")).args([
        "agents::recording",
        "--",
        "--include-ignored",
    ]);
    command::run(&mut record)?;
    let mut render = test(workspace, "transcript")?;
    command::run(render.env("UPDATE_GOLDEN", "1"))?;
    println!("look at what has changed: git diff {FOLDER}");
    Ok(())
}

fn test(workspace: &Workspace, target: &str) -> Result<std::process::Command> {
    let mut cargo = command::cargo();
    real_programs(&mut cargo, workspace)?;
    cargo.current_dir(workspace.root()).args(["test", "-p", SDK, "--all-features", "--test", target]);
    Ok(cargo)
}
