//! Programs that are neither of npm nor of cargo: installed where this is Debian and we are root.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::command;

/// Installs packages with what they need and nothing else.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !is_root() || command::read(Command::new("apt-get").arg("--version")).is_err() {
        bail!("install what is missing; on Debian it is in: {}", packages.join(" "));
    }
    let apt = |args: &[&str]| {
        command::run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

pub(crate) fn is_root() -> bool {
    number(&["-u"]) == Some(0)
}

/// What `id` says of a user or a group.
pub(crate) fn number(args: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(args).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
