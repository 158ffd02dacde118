//! Giving back the room of what was deleted.

use std::path::Path;

use rusqlite::Connection;
use sandbox_agent_persist::{PersistError, PersistErrorKind};

use crate::error::sqlite;
use crate::leases;

/// Writes the file anew, without gaps, and empties its `-wal`.
///
/// The new content goes through the `-wal`, so that the room is free when that is taken into the file.
pub(crate) fn vacuum(connection: &Connection, path: &Path) -> Result<(), PersistError> {
    leases::forget_old(connection).map_err(sqlite(path))?;
    connection.execute_batch("VACUUM").map_err(sqlite(path))?;
    let busy: bool = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(sqlite(path))?;
    match busy {
        false => Ok(()),
        true => Err(PersistError::new(
            PersistErrorKind::Unavailable,
            format!("{} is being read by another program; vacuum it again later", path.display()),
        )),
    }
}
