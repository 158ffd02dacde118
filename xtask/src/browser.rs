//! The page of `examples/multiplayer_web` in a real browser.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::npm::Pinned;
use crate::parts::scripted_agent;
use crate::sandbox::{AGENT, Sandbox};
use crate::workspace::{PAGE, Workspace};
use crate::{command, debian, server};

const DRIVER: Pinned = Pinned {
    manifest: include_str!("../browser/package.json"),
    lock: include_str!("../browser/package-lock.json"),
};
/// The names that Chromium goes by, and the package that brings the first of them.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// Of one test file: far above what they take, so that passing it means that they hang.
const TIME_LIMIT: &str = "--test-timeout=300000";

/// Runs the page's tests, those of its parts and those in the browser; one of them with the real server.
pub(crate) fn part(workspace: &Workspace) -> Result<()> {
    let chromium = chromium()?;
    let tools = workspace.tools().join("browser");
    if !DRIVER.is_installed(&tools) {
        DRIVER.install(&tools).context("what drives the browser comes from npm")?;
    }
    let program = command::build(PAGE, &["-p", PAGE])?;
    let sandbox = Sandbox::start(&server::installed(workspace)?, &scripted_agent(&[])?)?;
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec", TIME_LIMIT, "tests/"])
        .current_dir(workspace.root().join("examples").join(PAGE))
        .env("BROWSER_TOOLS", tools)
        .env("CHROMIUM_BIN", chromium)
        .env("MULTIPLAYER_WEB_BIN", program)
        .env("REAL_SANDBOX_URL", sandbox.url())
        .env("REAL_SANDBOX_AGENT", AGENT)
        .stdin(Stdio::null());
    command::run(&mut node)
}

/// Chromium's program, installed if it isn't there.
fn chromium() -> Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    let [package, ..] = CHROMIUM;
    debian::install(&[package]).context("there is no Chromium here")?;
    installed().with_context(|| format!("apt-get installed `{package}`, and its program is nowhere"))
}

fn installed() -> Option<PathBuf> {
    CHROMIUM.iter().find_map(|name| command::on_path(name))
}
