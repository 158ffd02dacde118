//! Runs each example as a reader would, and looks at what it prints.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cargo_metadata::TargetKind;

use crate::parts::scripted_agent;
use crate::sandbox::{AGENT, Sandbox};
use crate::workspace::Workspace;
use crate::{command, desktop, server};

/// Where an example looks for a server when it is told of none.
const DEFAULT_PORT: u16 = 2468;
/// The folder for the data of a server that an example starts.
const DATA: &str = "data";
/// Far above what any example takes: passing it means that it hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

struct Example {
    name: &'static str,
    /// Another one that leaves in the folder what this one needs.
    after: Option<&'static str>,
    args: &'static [&'static str],
    /// What of the SDK it needs that a reader does not get unasked.
    features: &'static [&'static str],
    /// In order, in one folder, so that a later run finds what an earlier one left.
    runs: &'static [Run],
}

struct Run {
    against: Against,
    /// All of it must be in what the example prints.
    prints: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Against {
    /// No server and no URL: the example must help itself.
    Nothing,
    RealServer,
    /// No server, but its binary, and data in the example's folder with an agent that needs no network.
    Binary,
}

const EXAMPLES: [Example; 15] = [
    Example {
        name: "quickstart",
        after: None,
        args: &[],
        features: &[],
        runs: &[
            Run { against: Against::Nothing, prints: &["in-process", "EndTurn"] },
            Run { against: Against::RealServer, prints: &["EndTurn"] },
        ],
    },
    Example {
        name: "events",
        after: None,
        args: &[],
        features: &[],
        runs: &[Run { against: Against::RealServer, prints: &["session/prompt", "session/update"] }],
    },
    Example {
        name: "permissions",
        after: None,
        args: &["ask Delete build/"],
        features: &[],
        // Nobody is at the terminal to allow it.
        runs: &[Run { against: Against::RealServer, prints: &["Delete build/", "permission: reject-once"] }],
    },
    Example {
        name: "models_and_modes",
        after: None,
        args: &[],
        features: &[],
        runs: &[Run {
            against: Against::RealServer,
            prints: &[
                "It offers: mode is \"default\" of [\"default\", \"plan\"]",
                "Refused: the agent offers no model",
                "not restored: []",
                "Still chosen: mode is \"plan\"",
                "Still chosen: model is \"large\"",
            ],
        }],
    },
    Example {
        name: "transcript",
        after: None,
        args: &["thought hm; say I; say \" will\"; tool Read a; ask Push; say done"],
        features: &[],
        runs: &[Run {
            against: Against::RealServer,
            prints: &[
                "Agent so far:",
                "Tool \"Read a\" is Completed",
                "Agent (thinking): hm",
                "[tool] Read a: done",
                "[permission] Push: reject-once",
            ],
        }],
    },
    Example {
        name: "agent_to_agent",
        after: None,
        features: &[],
        args: &[
            r#"request fs/write_text_file {"sessionId": "x", "path": "/add.rs", "content": "fn add"}"#,
            "recall",
        ],
        runs: &[Run {
            against: Against::RealServer,
            prints: &["The coder: answer: {}", "It wrote /add.rs.", "The reviewer: fn add"],
        }],
    },
    Example {
        name: "persist_sqlite",
        after: None,
        args: &[],
        features: &[],
        runs: &[
            Run { against: Against::RealServer, prints: &["created"] },
            Run { against: Against::RealServer, prints: &["resumed"] },
        ],
    },
    Example {
        name: "two_nodes",
        after: None,
        args: &[],
        features: &[],
        runs: &[
            Run {
                against: Against::RealServer,
                prints: &["held by \"blue\"", "green drives now: Reattached"],
            },
            Run { against: Against::RealServer, prints: &["blue is refused: true"] },
        ],
    },
    Example {
        name: "export",
        after: Some("persist_sqlite"),
        args: &[],
        features: &[],
        runs: &[
            Run { against: Against::Nothing, prints: &["# default", "## User", "Brought into imported.db"] },
            Run { against: Against::Nothing, prints: &["would delete 0 sessions"] },
        ],
    },
    Example {
        name: "processes",
        after: None,
        args: &[],
        features: &[],
        runs: &[Run {
            against: Against::RealServer,
            prints: &["exit code Some(0)", "stdout: step 1", "stderr: done", "it ended with Some(3)"],
        }],
    },
    Example {
        name: "terminal",
        after: None,
        args: &[],
        features: &[],
        runs: &[Run {
            against: Against::RealServer,
            prints: &["30 100", "42", "the shell ended with Some(0)"],
        }],
    },
    Example {
        name: "files",
        after: None,
        args: &[],
        features: &[],
        runs: &[Run {
            against: Against::RealServer,
            prints: &["sent", "file /data/large.bin (5242880 bytes)", "SHA-256", "written by itself"],
        }],
    },
    Example {
        name: "desktop_screenshot",
        after: None,
        args: &[],
        features: &[],
        runs: &[Run {
            against: Against::RealServer,
            prints: &[
                "800 x 600",
                "the mouse is at 400, 300",
                "is in desktop.png",
                "the desktop is inactive",
            ],
        }],
    },
    Example {
        name: "local_sandbox",
        after: None,
        args: &[DATA],
        features: &["local"],
        runs: &[Run {
            against: Against::Binary,
            prints: &["in sandbox local/", "record names local/", "The sandbox is gone."],
        }],
    },
    Example {
        name: "custom_driver",
        after: None,
        args: &[],
        features: &[],
        runs: &[Run { against: Against::RealServer, prints: &["stored"] }],
    },
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let missing: Vec<_> = EXAMPLES
        .iter()
        .map(|example| example.name)
        .filter(|name| workspace.example(name).is_none())
        .collect();
    if !missing.is_empty() {
        bail!("no such example: {}", missing.join(", "));
    }
    if TcpStream::connect((Ipv4Addr::LOCALHOST, DEFAULT_PORT)).is_ok() {
        bail!(
            "something listens on port {DEFAULT_PORT}, so no example can show what it does without a server: end it first"
        );
    }
    desktop::installed()?;
    let server = server::installed(workspace)?;
    let sandbox = Sandbox::start(&server, &scripted_agent(&[])?)?;
    for example in &EXAMPLES {
        let program = build(workspace, example.name, example.features)?;
        let folder = tempfile::tempdir()?;
        if let Some(before) = example.after {
            let before = build(workspace, before, &[])?;
            check(
                &before,
                &[],
                folder.path(),
                &Run { against: Against::RealServer, prints: &[] },
                &sandbox,
                &server,
            )?;
        }
        for (index, run) in example.runs.iter().enumerate() {
            let start = Instant::now();
            check(&program, example.args, folder.path(), run, &sandbox, &server)
                .with_context(|| format!("example `{}`, run {}", example.name, index + 1))?;
            eprintln!(
                "example {}, run {}: ok in {:.1} s",
                example.name,
                index + 1,
                start.elapsed().as_secs_f64()
            );
        }
    }
    Ok(())
}

/// Built as the README says, so with the features that a reader gets.
fn build(workspace: &Workspace, name: &str, features: &[&str]) -> Result<PathBuf> {
    let (package, kind) = workspace.example(name).with_context(|| format!("no example `{name}`"))?;
    let flag = if kind == TargetKind::Example { "--example" } else { "--bin" };
    let needs = package.targets.iter().filter(|target| target.name == name);
    let required = needs.flat_map(|target| &target.required_features).map(String::as_str);
    let features = required.chain(features.iter().copied()).collect::<Vec<_>>().join(",");
    command::build(name, &["-p", &package.name, flag, name, "--features", &features])
}

fn check(
    program: &Path,
    args: &[&str],
    folder: &Path,
    run: &Run,
    sandbox: &Sandbox,
    server: &Path,
) -> Result<()> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env_remove("SANDBOX_AGENT_URL").env_remove("SANDBOX_AGENT_AGENT");
    match run.against {
        Against::Nothing => {}
        Against::RealServer => {
            command.env("SANDBOX_AGENT_URL", sandbox.url()).env("SANDBOX_AGENT_AGENT", AGENT);
        }
        Against::Binary => {
            sandbox.lend_agent(&folder.join(DATA))?;
            command.env("SANDBOX_AGENT_BIN", server).env("SANDBOX_AGENT_AGENT", AGENT);
        }
    }
    let printed = run_within(&mut command, TIME_LIMIT)?;
    for expected in run.prints {
        if !printed.contains(expected) {
            bail!("it printed no `{expected}`, but:\n{printed}");
        }
    }
    Ok(())
}

/// What the program prints on stdout until it ends well, killed at the limit.
fn run_within(command: &mut Command, limit: Duration) -> Result<String> {
    let deadline = Instant::now() + limit;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("can't start")?;
    let stdout = child.stdout.take().context("no stdout")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || BufReader::new(stdout).lines().try_for_each(|line| sender.send(line)));

    let mut printed = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                printed.push_str(&line?);
                printed.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                bail!("it didn't end within {limit:?}; it had printed:\n{printed}");
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("it failed: {status}; it had printed:\n{printed}");
    }
    Ok(printed)
}
