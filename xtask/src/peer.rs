//! The TypeScript SDK, which ours is tested with and measured beside: from npm, installed once into
//! the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command;
use crate::npm::Pinned;
use crate::workspace::Workspace;

/// Tells tests and benches where it is.
pub(crate) const VARIABLE: &str = "TYPESCRIPT_PEER";
const PEER: Pinned = Pinned {
    manifest: include_str!("../../tests/typescript/package.json"),
    lock: include_str!("../../tests/typescript/package-lock.json"),
};
/// The programs that run beside its packages, and find them there.
const PROGRAMS: [(&str, &str); 4] = [
    ("cases.mjs", include_str!("../../benches/faults/cases.mjs")),
    ("sessions.mjs", include_str!("../../tests/typescript/sessions.mjs")),
    ("sqlite.mjs", include_str!("../../tests/typescript/sqlite.mjs")),
    ("state.mjs", include_str!("../../tests/typescript/state.mjs")),
];
/// The only package that has to be built where there is no built one for the platform to be had.
const NATIVE: &str = "better-sqlite3";
const OPENS: &str = "new (require('better-sqlite3'))(':memory:').close()";

/// The folder with the SDK and the programs that use it, installed if it isn't there yet.
pub(crate) fn installed(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.tools().join("typescript-sdk");
    if !PEER.is_installed(&folder) || !opens(&folder) {
        PEER.install(&folder).context("the TypeScript SDK comes from npm")?;
        let mut npm = Command::new("npm");
        npm.args(["rebuild", NATIVE]).current_dir(&folder).stdin(Stdio::null());
        command::run(&mut npm).with_context(|| {
            format!("{NATIVE} has to be downloaded or built; install a C++ compiler, make and Python 3")
        })?;
    }
    for (name, program) in PROGRAMS {
        fs::write(folder.join(name), program)?;
    }
    Ok(folder)
}

/// Asks the package itself, so that one that isn't built, or is for another Node.js, is never taken for it.
fn opens(folder: &Path) -> bool {
    let mut node = Command::new("node");
    node.args(["-e", OPENS]).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    node.status().is_ok_and(|status| status.success())
}
