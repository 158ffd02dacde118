//! From SQLite's errors to the contract's.

use std::error::Error;
use std::path::Path;

use rusqlite::ErrorCode;
use sandbox_agent_persist::{PersistError, PersistErrorKind};

/// The error of a call that SQLite failed. `source` is the same error, perhaps shared.
pub(crate) fn failed<E>(path: &Path, error: &rusqlite::Error, source: E) -> PersistError
where
    E: Error + Send + Sync + 'static,
{
    let (kind, what) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => (
            PersistErrorKind::Unavailable,
            "is in use by another program; try again, or raise SqliteOptions::busy_timeout",
        ),
        Some(ErrorCode::DiskFull) => (PersistErrorKind::Unavailable, "is on a disk that is full; make room"),
        Some(ErrorCode::TooBig) => {
            (PersistErrorKind::TooLarge, "takes no value that large; SQLite's limit is 1 GB")
        }
        Some(ErrorCode::NotADatabase) => (
            PersistErrorKind::Corrupt,
            "is not an SQLite database; give the path of one, or of a file that isn't there yet",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            PersistErrorKind::Corrupt,
            "is damaged; restore it from a backup or save what `sqlite3 FILE .recover` prints",
        ),
        Some(ErrorCode::CannotOpen) => {
            (PersistErrorKind::Other, "can't be opened; its folder must exist, and both must be writable")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (PersistErrorKind::Other, "can't be written; make the file and its folder writable")
        }
        _ => (PersistErrorKind::Other, "could not be used"),
    };
    PersistError::new(kind, format!("{} {what}: {error}", path.display())).with_source(source)
}

/// The same, for an error that concerns one call only.
pub(crate) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> PersistError + '_ {
    |error| {
        let shared = std::sync::Arc::new(error);
        failed(path, &shared.clone(), shared)
    }
}

/// The error of a row that holds what no driver wrote.
pub(crate) fn corrupt(path: &Path, row: &str, error: Box<dyn Error + Send + Sync>) -> PersistError {
    PersistError::new(
        PersistErrorKind::Corrupt,
        format!("{}: {row} can't be read: {error}; repair or delete that row", path.display()),
    )
    .with_source(error)
}

pub(crate) fn closed(path: &Path) -> PersistError {
    PersistError::new(PersistErrorKind::Other, format!("{} was closed; open it again", path.display()))
}
