//! The actor engine and its JavaScript client, from npm, and what runs on them: the tests and examples of the
//! packages for actors, and their bench.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::npm::Pinned;
use crate::parts::scripted_agent;
use crate::sandbox::AGENT;
use crate::server::{self, is_version, make_executable};
use crate::workspace::Workspace;

const ENGINE: Pinned = Pinned {
    manifest: include_str!("../engine/package.json"),
    lock: include_str!("../engine/package-lock.json"),
};
/// The package of this platform, for that of all names some which the registry may not have.
const PACKAGE: &str = "@rivetkit/engine-cli-linux-x64-musl";
/// Where the tests look for it.
const VARIABLE: &str = "RIVET_ENGINE_BIN";
/// Where they look for its JavaScript client.
const JAVASCRIPT: &str = "ENGINE_JAVASCRIPT";
const CLIENT: Pinned = Pinned {
    manifest: include_str!("../../multiplayer-rivet/tests/javascript/package.json"),
    lock: include_str!("../../multiplayer-rivet/tests/javascript/package-lock.json"),
};
/// The programs that run beside that client, and find it there.
const PROGRAMS: [(&str, &str); 2] = [
    ("member.mjs", include_str!("../../multiplayer-rivet/tests/javascript/member.mjs")),
    ("watch.mjs", include_str!("../../multiplayer-rivet/bench/watch.mjs")),
];
/// A workspace of its own, below this one.
const ACTORS: &str = "multiplayer-rivet";
/// A package of it, and its program.
const BENCH: (&str, &str) = ("sandbox-agent-multiplayer-rivet-bench", "actors");

/// Checks its packages as the gate does the others, and runs their tests and examples in the engine.
pub(crate) fn part(workspace: &Workspace) -> Result<()> {
    let engine = installed(workspace)?;
    let javascript = client(workspace)?;
    let (server, agent) = (server::installed(workspace)?, scripted_agent(&[])?);
    let cargo = |args: &[&str]| {
        let mut cargo = cargo(workspace);
        cargo
            .env(VARIABLE, &engine)
            .env(JAVASCRIPT, &javascript)
            .env("SANDBOX_AGENT_BIN", &server)
            .env("SCRIPTED_ACP_AGENT_BIN", &agent)
            .args(args);
        cargo
    };
    let strict = ["--", "-D", "warnings"];
    command::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets"];
    command::run(&mut cargo(&[&clippy[..], &strict].concat()))?;
    let doc = ["doc", "--locked", "--workspace", "--no-deps"];
    command::run(cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    // Tests run these as programs: the project's examples are binaries there.
    command::run(&mut cargo(&["build", "--locked", "--workspace", "--bins", "--examples"]))?;
    let test = ["test", "--locked", "--workspace"];
    command::run(&mut cargo(&[&test[..], &["--lib", "--tests", "--", "--include-ignored"]].concat()))?;
    command::run(&mut cargo(&[&test[..], &["--doc"]].concat()))
}

/// The half of the bench `multiplayer` that needs the engine, on this sandbox.
pub(crate) fn bench(workspace: &Workspace, sandbox: &str, args: &[String]) -> Result<()> {
    let (package, name) = BENCH;
    let mut build = cargo(workspace);
    build.args(["build", "--locked", "--release", "-p", package, "--bin", name]);
    let mut bench = Command::new(command::built(name, &mut build)?);
    bench
        .env("SANDBOX_AGENT_URL", sandbox)
        .env("SANDBOX_AGENT_AGENT", AGENT)
        .env(VARIABLE, installed(workspace)?)
        .env(JAVASCRIPT, client(workspace)?);
    command::run(bench.args(args))
}

/// Cargo in the workspace of what runs on the engine.
fn cargo(workspace: &Workspace) -> Command {
    let mut cargo = command::cargo();
    cargo
        .current_dir(workspace.root().join(ACTORS))
        // Its features are others, so that it would build again what this workspace has built.
        .env("CARGO_TARGET_DIR", workspace.metadata.target_directory.join("actors"));
    cargo
}

/// The engine's program, installed at the pinned version if it isn't there yet.
fn installed(workspace: &Workspace) -> Result<PathBuf> {
    if (OS, ARCH) != ("linux", "x86_64") {
        bail!("no engine is pinned for {OS} on {ARCH}: run this on Linux, x86-64");
    }
    let version = pinned_version()?;
    let folder = workspace.tools().join("rivet-engine");
    let program = folder.join("node_modules").join(PACKAGE).join("rivet-engine");
    if !is_version(&program, &version) {
        ENGINE.install(&folder).context("the actor engine comes from npm")?;
        make_executable(&program)?;
        if !is_version(&program, &version) {
            bail!("npm installed {PACKAGE}@{version}, but {} isn't that engine", program.display());
        }
    }
    Ok(program)
}

/// The folder with the JavaScript client and the programs that use it, installed if it isn't there yet.
fn client(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.tools().join("engine-javascript");
    if !CLIENT.is_installed(&folder) {
        CLIENT.install(&folder).context("the engine's JavaScript client comes from npm")?;
    }
    for (name, program) in PROGRAMS {
        fs::write(folder.join(name), program)?;
    }
    Ok(folder)
}

/// The version in `xtask/engine/package.json`, the only place that names it.
fn pinned_version() -> Result<String> {
    let manifest: serde_json::Value =
        serde_json::from_str(ENGINE.manifest).context("xtask/engine/package.json isn't JSON")?;
    manifest["dependencies"][PACKAGE]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("xtask/engine/package.json doesn't pin {PACKAGE}"))
}
