//! The real server, from npm, installed once into the target directory.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::npm::Pinned;
use crate::workspace::Workspace;

const SERVER: Pinned = Pinned {
    manifest: include_str!("../server/package.json"),
    lock: include_str!("../server/package-lock.json"),
};
const PACKAGE: &str = "@sandbox-agent/cli";

/// The server's program, installed at the pinned version if it isn't there yet.
pub(crate) fn installed(workspace: &Workspace) -> Result<PathBuf> {
    let version = pinned_version()?;
    let folder = workspace.tools().join("sandbox-agent");
    let program = folder.join("node_modules").join(platform_package()?).join("bin/sandbox-agent");
    if !is_version(&program, &version) {
        SERVER.install(&folder).context("the real server comes from npm")?;
        make_executable(&program)?;
        if !is_version(&program, &version) {
            bail!("npm installed {PACKAGE}@{version}, but {} isn't that server", program.display());
        }
    }
    Ok(program)
}

/// The version in `xtask/server/package.json`, the only place that names it.
pub(crate) fn pinned_version() -> Result<String> {
    let manifest: serde_json::Value =
        serde_json::from_str(SERVER.manifest).context("xtask/server/package.json isn't JSON")?;
    manifest["dependencies"][PACKAGE]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("xtask/server/package.json doesn't pin {PACKAGE}"))
}

fn platform_package() -> Result<String> {
    let platform = match (OS, ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        _ => bail!("no server is tested for {OS} on {ARCH}: run this on Linux or macOS, x86-64 or ARM64"),
    };
    Ok(format!("{PACKAGE}-{platform}"))
}

/// Asks the program itself, so that a half-done or foreign install is never taken for the server.
pub(crate) fn is_version(program: &Path, version: &str) -> bool {
    Command::new(program).arg("--version").stdin(Stdio::null()).output().is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).split_whitespace().any(|word| word == version)
    })
}

#[cfg(unix)]
pub(crate) fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("npm brought no {}", program.display()))
}

#[cfg(not(unix))]
pub(crate) fn make_executable(_program: &Path) -> Result<()> {
    Ok(())
}
