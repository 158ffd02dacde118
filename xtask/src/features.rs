//! Every combination of the SDK's features compiles, without a warning.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::{SDK, Workspace};

const HACK: &str = "cargo-hack";
/// The only place that names it.
const VERSION: &str = "0.6.46";

/// Lints the library alone, once for each combination: tests would bring features of their dependencies, and
/// hide one that the library lacks.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let hack = installed(workspace)?;
    let mut cargo = command::cargo();
    // What follows `--` is for the lints alone: other flags would have each dependency built anew.
    cargo
        .current_dir(workspace.root())
        .args(["hack", "clippy", "--locked", "--quiet", "--lib", "--package", SDK])
        // What `default` turns on is a combination anyway.
        .args(["--feature-powerset", "--exclude-features", "default"])
        .args(["--", "-D", "warnings"]);
    command::run(on_path(&mut cargo, &hack)?)
}

/// The folder with the pinned `cargo-hack`, installed if it isn't there yet.
fn installed(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.tools();
    let bin = root.join("bin");
    let mut asked = command::cargo();
    asked.args(["hack", "--version"]);
    let is_there = on_path(&mut asked, &bin)?
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == format!("{HACK} {VERSION}"));
    if !is_there {
        let mut cargo = command::cargo();
        cargo.args(["install", HACK, "--version", VERSION, "--locked", "--root"]).arg(&root);
        command::run(&mut cargo)?;
    }
    Ok(bin)
}

/// A cargo that finds its subcommands there first.
fn on_path<'a>(cargo: &'a mut Command, folder: &Path) -> Result<&'a mut Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).context("the PATH can't be put together")?;
    Ok(cargo.env("PATH", path))
}
