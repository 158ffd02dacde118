//! The programs of a desktop, from Debian.

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{command, debian};

/// Each with the package that brings it.
const PROGRAMS: [(&str, &str); 9] = [
    // Without these the server starts no desktop.
    ("Xvfb", "xvfb"),
    ("openbox", "openbox"),
    ("xdotool", "xdotool"),
    ("import", "imagemagick"),
    ("xrandr", "x11-xserver-utils"),
    // These it looks for when somebody wants the clipboard, has a file opened, or records.
    ("xclip", "xclip"),
    ("xdg-open", "xdg-utils"),
    ("ffmpeg", "ffmpeg"),
    // What the tests and the example type into.
    ("xterm", "xterm"),
];

pub(crate) fn part(_workspace: &Workspace) -> Result<()> {
    installed()?;
    let names: Vec<_> = PROGRAMS.iter().map(|(program, _)| *program).collect();
    eprintln!("the desktop has {}", names.join(", "));
    Ok(())
}

/// Installs those that aren't there.
pub(crate) fn installed() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    debian::install(&missing).context("there is no desktop here")?;
    let missing = self::missing();
    if !missing.is_empty() {
        bail!("apt-get installed {}, and its programs are nowhere", missing.join(", "));
    }
    Ok(())
}

/// The packages whose programs aren't there.
fn missing() -> Vec<&'static str> {
    let missing = PROGRAMS.iter().filter(|(program, _)| command::on_path(program).is_none());
    missing.map(|(_, package)| *package).collect()
}
