//! Running another program, with an error that shows what was run.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use cargo_metadata::{Artifact, Message};

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.stdin(Stdio::null());
    command
}

/// Runs to the end with the output on the terminal. Any exit code but 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command.status().map_err(|error| not_started(&shown, error))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs to the end and gives what it printed on stdout.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| not_started(&shown, error))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed bytes that are not UTF-8"))
}

/// Builds the program `name` with `cargo build ARGS` and gives its path.
pub(crate) fn build(name: &str, args: &[&str]) -> Result<PathBuf> {
    built(name, cargo().arg("build").args(args))
}

/// Builds the program `name` with this cargo and gives its path.
pub(crate) fn built(name: &str, command: &mut Command) -> Result<PathBuf> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let messages = read(command.args(["--message-format", "json-render-diagnostics"]))?;
    for message in Message::parse_stream(messages.as_bytes()) {
        if let Message::CompilerArtifact(Artifact { target, executable: Some(path), .. }) =
            message.context("cargo's messages can't be read")?
            && target.name == name
        {
            return Ok(path.into_std_path_buf());
        }
    }
    bail!("`{shown}` made no program `{name}`")
}

/// Where the PATH has a program.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|at| at.is_file())
}

fn not_started(shown: &str, error: std::io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::NotFound {
        anyhow!("`{shown}` can't start: the program isn't on the PATH")
    } else {
        anyhow!(error).context(format!("`{shown}` can't start"))
    }
}

fn show(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_stem().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}
