//! The folders of a local sandbox, and its log.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How much of the log an error shows.
const LINES: usize = 20;
const BYTES: u64 = 16 * 1024;

/// A folder that only this user may read. It is removed on drop, unless somebody else sees to that.
#[derive(Debug)]
pub(super) struct Home {
    folder: PathBuf,
    data: PathBuf,
    /// Whether the guard of a running server removes it, which it also does when this process is killed.
    guarded: bool,
}

impl Home {
    /// A new folder for temporary files. The server's data is in it, unless there is another folder for that.
    pub(super) fn new(id: &str, data: Option<&Path>) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("sandbox-agent-{id}"));
        // Fails where it is there already: it would be somebody else's.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let data = data.map_or_else(|| folder.join("data"), Path::to_owned);
        let home = Self { folder, data, guarded: false };
        DirBuilder::new().mode(0o700).recursive(true).create(&home.data)?;
        Ok(home)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub(super) fn set_guarded(&mut self, guarded: bool) {
        self.guarded = guarded;
    }

    /// The last lines of the log, without the token.
    pub(super) fn log_tail(&self, token: &str) -> String {
        let log = tail(&self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).replace(token, "…");
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.guarded {
            // What can't be removed stays with the other temporary files.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut tail = Vec::new();
    file.take(BYTES).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_newest_lines_without_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let home = Home::new("log-tail-test", Some(&data)).unwrap();
        assert_eq!(home.log_tail("secret"), "", "there is none yet");
        let lines: String = (0..5000).map(|line| format!("line {line} secret\n")).collect();
        fs::write(home.log(), lines).unwrap();
        let tail = home.log_tail("secret");
        assert_eq!(tail.lines().next(), Some("line 4980 …"));
        assert_eq!(tail.lines().last(), Some("line 4999 …"));
        let log = home.log();
        drop(home);
        assert!(!log.exists() && data.exists(), "a folder of the caller's stays");
    }
}
