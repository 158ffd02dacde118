//! OpenCode, a real agent for the tests of one that is not ours: from npm, installed once into the target directory.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::npm::Pinned;
use crate::server::{is_version, make_executable};
use crate::workspace::Workspace;

/// Tells tests where its program is.
pub(crate) const VARIABLE: &str = "OPENCODE_BIN";
const OPENCODE: Pinned = Pinned {
    manifest: include_str!("../opencode/package.json"),
    lock: include_str!("../opencode/package-lock.json"),
};
/// The only platform that it is pinned for.
const PACKAGE: &str = "opencode-linux-x64";

/// Its program, installed at the pinned version if it isn't there yet.
pub(crate) fn installed(workspace: &Workspace) -> Result<PathBuf> {
    let version = pinned_version()?;
    let folder = workspace.tools().join("opencode");
    let program = folder.join("node_modules").join(PACKAGE).join("bin/opencode");
    if !is_version(&program, &version) {
        OPENCODE.install(&folder).context("OpenCode comes from npm, for Linux on x86-64")?;
        make_executable(&program)?;
        if !is_version(&program, &version) {
            bail!("npm installed {PACKAGE}@{version}, but {} isn't that agent", program.display());
        }
    }
    Ok(program)
}

/// The version in `xtask/opencode/package.json`, the only place that names it.
pub(crate) fn pinned_version() -> Result<String> {
    let manifest: serde_json::Value =
        serde_json::from_str(OPENCODE.manifest).context("xtask/opencode/package.json isn't JSON")?;
    let version = manifest["dependencies"][PACKAGE].as_str().map(str::to_owned);
    version.with_context(|| format!("xtask/opencode/package.json doesn't pin {PACKAGE}"))
}
