//! Connections, and how they wait for other processes.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use sandbox_agent_persist::PersistError;

use crate::error::sqlite;
use crate::schema::{self, unusable};

/// Statements kept prepared by each connection; about as many as there are.
const PREPARED: usize = 96;

/// SQLite's number for `FULL`.
const FULL: i64 = 2;

/// A checkpoint writes each page once that the WAL has many times: those of the indexes above all. So
/// 16 MiB of WAL instead of 4 save an insert a third of its writes, and the cache holds the pages meanwhile.
/// What the WAL grew beyond that, for instance while a large session was deleted, is given back.
const WRITER: [(&str, i64); 3] =
    [("wal_autocheckpoint", 4_000), ("cache_size", -8_000), ("journal_size_limit", 32 * 1024 * 1024)];

/// How long it is waited, in microseconds, before it is looked again whether the file is free: shorter
/// than most transactions, and never in step with them.
const LOOK_AGAIN_AFTER: std::ops::Range<u64> = 200..1_000;

/// The connection that writes, on a file that is up to date.
pub(crate) fn open_writer(path: &Path, patience: Duration) -> Result<Connection, PersistError> {
    let mut connection = connect(path, patience, OpenFlags::SQLITE_OPEN_CREATE)?;
    // Changing to WAL does not always wait for another process that opens the file too.
    let since = Instant::now();
    loop {
        match prepare(&mut connection, path) {
            Err(error) if error.is_unavailable() && since.elapsed() < patience => {
                thread::sleep(Duration::from_millis(5));
            }
            prepared => return prepared.map(|()| connection),
        }
    }
}

/// A connection that reads.
pub(crate) fn open_reader(path: &Path, patience: Duration) -> Result<Connection, PersistError> {
    let connection = connect(path, patience, OpenFlags::empty())?;
    connection.pragma_update(None, "query_only", true).map_err(sqlite(path))?;
    Ok(connection)
}

fn connect(path: &Path, patience: Duration, more: OpenFlags) -> Result<Connection, PersistError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite(path))?;
    connection.busy_handler(Some(wait_up_to(patience))).map_err(sqlite(path))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), PersistError> {
    // A file that can't be written opens all the same, for reading.
    if connection.is_readonly("main").map_err(sqlite(path))? {
        return Err(unusable(path, "can't be written; make the file and its folder writable"));
    }
    // Before anything is changed: is it a file that this version may change?
    schema::version(connection, path)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sqlite(path))?;
    if mode != "wal" {
        return Err(unusable(path, "can't be put in WAL mode; put it on a local disk"));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite(path))?;
    // An SQLite that was built otherwise may take no notice, without a word.
    let synchronous: i64 =
        connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(sqlite(path))?;
    if synchronous != FULL {
        return Err(unusable(path, "can't be written durably: SQLite does not take `synchronous=FULL`"));
    }
    for (pragma, value) in WRITER {
        connection.pragma_update(None, pragma, value).map_err(sqlite(path))?;
    }
    schema::bring_up_to_date(connection, path)
}

/// Waits for another process, for as long as `patience` says.
///
/// SQLite has no queue: whoever looks at the right moment may write. Its own way to wait sleeps longer
/// each time, up to 100 ms, so that a process that writes all the time, and leaves the file free for
/// moments only, keeps others out for seconds. Whoever looks this often is in within tenths of one.
fn wait_up_to(patience: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    move |looked| {
        if looked == 0 {
            since = Instant::now();
        }
        let left = patience.saturating_sub(since.elapsed());
        thread::sleep(Duration::from_micros(fastrand::u64(LOOK_AGAIN_AFTER)).min(left));
        !left.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_often_and_not_for_ever() {
        let patience = Duration::from_millis(100);
        let began = Instant::now();
        let mut wait = wait_up_to(patience);
        let looked = (0..).take_while(|looked| wait(*looked)).count();
        assert!(began.elapsed() >= patience);
        // SQLite's own way looks eight times.
        assert!(looked > 16, "{looked}");
        // The next time it is waited as long.
        assert!(wait(0));
    }
}
