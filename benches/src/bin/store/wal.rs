//! Counts the commits in a WAL, from outside of whoever wrote it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Holds a view of the file, so that its WAL is not begun anew.
#[derive(Debug)]
pub(crate) struct Held(Connection);

impl Held {
    /// From now on each commit stays in the WAL.
    pub(crate) fn hold(file: &Path) -> Result<Self> {
        let reader = Connection::open(file)?;
        reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
        ensure!(!reader.is_autocommit(), "no view of {} is held", file.display());
        Ok(Self(reader))
    }

    /// How many commits the WAL holds.
    pub(crate) fn commits(&self) -> Result<u64> {
        let file = self.0.path().context("the file has no path")?;
        let wal = std::fs::read(format!("{file}-wal"))?;
        commits(&wal)
    }
}

/// A frame that ends a commit has the size of the file then; one of an earlier WAL has another salt.
fn commits(wal: &[u8]) -> Result<u64> {
    let (header, frames) = wal.split_at_checked(HEADER).context("a WAL without a header")?;
    let page = usize::try_from(number(header, 8))?;
    ensure!(page.is_power_of_two(), "a WAL with pages of {page} bytes");
    let salt = &header[16..24];
    let ours = frames.chunks_exact(FRAME_HEADER + page).filter(|frame| &frame[8..16] == salt);
    Ok(u64::try_from(ours.filter(|frame| number(frame, 4) != 0).count())?)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_counts_once_whatever_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counted.sqlite");
        let writer = Connection::open(&file).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch("CREATE TABLE t (x)").unwrap();
        let held = Held::hold(&file).unwrap();
        let before = held.commits().unwrap();
        for size in [1, 50_000, 7] {
            writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [size]).unwrap();
        }
        assert_eq!(held.commits().unwrap() - before, 3);
    }
}
