//! Packages of npm at pinned versions, in a folder of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command;

/// What a folder has installed: its `package.json` and `package-lock.json`.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) manifest: &'static str,
    pub(crate) lock: &'static str,
}

impl Pinned {
    /// Whether npm has come to the end of installing just these.
    pub(crate) fn is_installed(&self, folder: &Path) -> bool {
        let lock = fs::read_to_string(folder.join("package-lock.json"));
        // What npm writes last.
        let done = folder.join("node_modules/.package-lock.json");
        lock.is_ok_and(|lock| lock == self.lock) && done.is_file()
    }

    /// Installs them anew; none of their scripts runs.
    pub(crate) fn install(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
        fs::write(folder.join("package.json"), self.manifest)?;
        fs::write(folder.join("package-lock.json"), self.lock)?;
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(folder)
            .current_dir(folder)
            .stdin(Stdio::null());
        command::run(&mut npm)
            .context("install Node.js >= 18, which brings npm, and have the npm registry reachable")
    }
}
