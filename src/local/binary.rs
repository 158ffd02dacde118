//! Whether a binary is a server that this SDK knows.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::sandbox::{SandboxError, SandboxErrorKind};

/// What npm installs the server by, in a version that is known to work.
pub(super) const PACKAGE: &str = "@sandbox-agent/cli@0.4.2";
/// From this version on, before that one.
const KNOWN: (Version, Version) = (Version(0, 4, 2), Version(0, 6, 0));
/// A script of Node.js on a busy machine takes a second.
const LIMIT: Duration = Duration::from_secs(20);
/// A version is a line.
const MOST: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['-', '+']).next()?.split('.').map(|number| number.parse().ok());
        let version = Self(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }
}

pub(super) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Asks the binary for its version. Within 20 s.
pub(super) async fn check(path: &Path) -> Result<(), SandboxError> {
    if !is_executable(path) {
        let shown = path.display();
        let message = format!("{shown} is not executable: run `chmod +x {shown}`, or name another binary");
        return Err(SandboxError::new(SandboxErrorKind::NotExecutable, message));
    }
    let printed = match timeout(LIMIT, ask(path)).await {
        Ok(printed) => printed.map_err(|error| not_run(path, error))?,
        Err(_) => return Err(foreign(path, &format!("said nothing within {LIMIT:?}"))),
    };
    let line = printed.lines().next().unwrap_or_default();
    match line.strip_prefix("sandbox-agent ").and_then(|version| Version::parse(version.trim())) {
        Some(version) if (KNOWN.0..KNOWN.1).contains(&version) => Ok(()),
        Some(_) => Err(SandboxError::new(
            SandboxErrorKind::WrongVersion,
            format!(
                "{} is {line}, and this SDK knows 0.4.2 to 0.5: install `{PACKAGE}`, or name another binary",
                path.display()
            ),
        )),
        None => Err(foreign(path, &format!("printed {:?}", line.chars().take(80).collect::<String>()))),
    }
}

async fn ask(path: &Path) -> io::Result<String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut asked = command.kill_on_drop(true).spawn()?;
    let mut printed = Vec::new();
    if let Some(stdout) = asked.stdout.take() {
        stdout.take(MOST).read_to_end(&mut printed).await?;
    }
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

fn not_run(path: &Path, error: io::Error) -> SandboxError {
    let message = format!(
        "{} can't be run here: it may be made for another machine; install `{PACKAGE}`, or name another binary",
        path.display()
    );
    SandboxError::new(SandboxErrorKind::NotExecutable, message).with_source(error)
}

fn foreign(path: &Path, what: &str) -> SandboxError {
    let message = format!(
        "{} is no server that this SDK knows: asked for its version, it {what}; install `{PACKAGE}`, or name another \
         binary",
        path.display()
    );
    SandboxError::new(SandboxErrorKind::WrongVersion, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers_and_perhaps_more() {
        assert_eq!(Version::parse("0.4.2"), Some(Version(0, 4, 2)));
        assert_eq!(Version::parse("0.5.0-rc.1"), Some(Version(0, 5, 0)));
        for text in ["", "0.4", "0.4.2.1", "v0.4.2", "0.x.1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        let known = KNOWN.0..KNOWN.1;
        assert!(known.contains(&Version(0, 4, 2)) && known.contains(&Version(0, 5, 5)));
        assert!(!known.contains(&Version(0, 4, 1)) && !known.contains(&Version(0, 6, 0)));
        assert!(PACKAGE.ends_with("@0.4.2"));
    }
}
