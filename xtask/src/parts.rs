//! The parts of `cargo xtask test`, their order, and the table of their times.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::postgres::Postgres;
use crate::workspace::{TESTKIT, Workspace};
use crate::{
    agents, browser, chaos, command, desktop, engine, examples, features, fuzz, peer, server, trees,
};

/// A part makes what it needs by itself, so any of them can run alone.
struct Part {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

const PARTS: [Part; 13] = [
    Part { name: "server", what: "install the real server from npm", run: install_server },
    Part { name: "agents", what: "install real agents from npm", run: agents::install },
    Part { name: "desktop", what: "install the programs of a desktop from Debian", run: desktop::part },
    Part { name: "agent", what: "build the scripted agent that the server runs", run: build_agent },
    Part { name: "tests", what: "every test of the workspace, ignored ones too", run: tests },
    Part { name: "doctests", what: "every code block of the documentation", run: doctests },
    Part { name: "examples", what: "every example, against the real server", run: examples::run },
    Part { name: "chaos", what: "20 seeds of faults, on the real server", run: chaos::gate },
    Part { name: "fuzz", what: "every fuzz target, 10 s each", run: fuzz::part },
    Part { name: "actors", what: "packages and examples for actors, in the real engine", run: engine::part },
    Part { name: "browser", what: "the page for many people, in Chromium", run: browser::part },
    Part { name: "features", what: "every combination of the SDK's features, linted", run: features::run },
    Part { name: "trees", what: "what each package may depend on", run: trees::run },
];

#[derive(Debug, Args)]
pub(crate) struct TestOptions {
    /// Run this part alone; may be given more than once
    #[arg(long, value_name = "PART", value_parser = PossibleValuesParser::new(PARTS.map(|part| part.name)))]
    only: Vec<String>,
    /// Go on after a part that failed
    #[arg(long)]
    keep_going: bool,
    /// Print the parts and end
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(options: &TestOptions, load: impl FnOnce() -> Result<Workspace>) -> Result<()> {
    if options.list {
        for part in &PARTS {
            println!("{:<9} {}", part.name, part.what);
        }
        return Ok(());
    }
    let workspace = load()?;
    let wanted = |part: &&Part| options.only.is_empty() || options.only.iter().any(|name| name == part.name);
    let mut rows: Vec<(&str, Duration, &str)> = Vec::new();
    for part in PARTS.iter().filter(wanted) {
        eprintln!("\n== {}: {}", part.name, part.what);
        let start = Instant::now();
        let outcome = (part.run)(&workspace);
        rows.push((part.name, start.elapsed(), if outcome.is_ok() { "ok" } else { "FAILED" }));
        if let Err(error) = outcome {
            eprintln!("{}: {error:#}", part.name);
            if !options.keep_going {
                break;
            }
        }
    }
    print_times(&rows);
    let failed: Vec<_> = rows.iter().filter(|row| row.2 != "ok").map(|row| row.0).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn print_times(rows: &[(&str, Duration, &str)]) {
    println!("\n{:<10} {:>8}  result", "part", "seconds");
    for (name, time, result) in rows {
        println!("{name:<10} {:>8.1}  {result}", time.as_secs_f64());
    }
    let total: Duration = rows.iter().map(|row| row.1).sum();
    println!("{:<10} {:>8.1}", "all", total.as_secs_f64());
}

/// The scripted agent as a program, built with the flags of `profile`.
pub(crate) fn scripted_agent(profile: &[&str]) -> Result<PathBuf> {
    let name = "scripted-acp-agent";
    command::build(name, &[&["-p", TESTKIT, "--bin", name], profile].concat())
}

fn install_server(workspace: &Workspace) -> Result<()> {
    let program = server::installed(workspace)?;
    eprintln!("server {} at {}", server::pinned_version()?, program.display());
    Ok(())
}

fn build_agent(_workspace: &Workspace) -> Result<()> {
    let program = scripted_agent(&[])?;
    eprintln!("agent at {}", program.display());
    Ok(())
}

fn tests(workspace: &Workspace) -> Result<()> {
    desktop::installed()?;
    let mut cargo = cargo_test(workspace)?;
    // Doctests have a part of their own: `--include-ignored` would run their `ignore` blocks.
    cargo.args(["--lib", "--bins", "--tests", "--examples", "--", "--include-ignored"]);
    let postgres = Postgres::start()?;
    command::run(postgres.shown_to(&mut cargo))
}

fn doctests(workspace: &Workspace) -> Result<()> {
    command::run(cargo_test(workspace)?.arg("--doc"))
}

fn cargo_test(workspace: &Workspace) -> Result<Command> {
    let mut cargo = command::cargo();
    real_programs(&mut cargo, workspace)?;
    cargo.env(peer::VARIABLE, peer::installed(workspace)?).current_dir(workspace.root()).args([
        "test",
        "--workspace",
        "--all-features",
    ]);
    Ok(cargo)
}

/// Tells tests where the real server and its agents are, installed or built if they aren't there yet.
pub(crate) fn real_programs(cargo: &mut Command, workspace: &Workspace) -> Result<()> {
    cargo
        .env("SANDBOX_AGENT_BIN", server::installed(workspace)?)
        .env("SCRIPTED_ACP_AGENT_BIN", scripted_agent(&[])?);
    agents::show_to(cargo, workspace)
}
