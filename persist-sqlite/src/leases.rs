//! The leases of a file: who may write to which session.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, params};
use sandbox_agent_persist::{Acquired, Lease, PersistError};

use crate::error::corrupt;
use crate::work::{Failure, Work};

/// Vacuuming forgets a lease that expired so long ago: nobody comes back to it.
const FORGOTTEN_AFTER: i64 = 24 * 3600 * 1000;

pub(crate) fn acquire(
    work: &Work<'_>,
    session_id: &str,
    holder: &str,
    ttl: Duration,
) -> Result<Acquired, Failure> {
    match newest(work.connection, work.path, session_id)? {
        Some(lease) if lease.holder != holder && is_in_force(&lease) => Ok(Acquired::Held(lease)),
        _ => Ok(Acquired::Granted(grant(work, session_id, holder, ttl)?)),
    }
}

pub(crate) fn grant(
    work: &Work<'_>,
    session_id: &str,
    holder: &str,
    ttl: Duration,
) -> Result<Lease, Failure> {
    let expires_at = end(ttl);
    let token: i64 = work
        .connection
        .prepare_cached(
            "INSERT OR REPLACE INTO leases (session_id, holder, expires_at) VALUES (?, ?, ?) RETURNING token",
        )?
        .query_row(params![session_id, holder, expires_at], |row| row.get(0))?;
    Ok(Lease::new(session_id, holder, token.unsigned_abs(), expires_at))
}

pub(crate) fn renew(work: &Work<'_>, lease: &Lease, ttl: Duration) -> Result<Lease, Failure> {
    check(work, &lease.session_id, Some(lease))?;
    let renewed = Lease::new(&lease.session_id, &lease.holder, lease.token, end(ttl));
    work.connection
        .prepare_cached("UPDATE leases SET expires_at = ?2 WHERE session_id = ?1")?
        .execute(params![renewed.session_id, renewed.expires_at])?;
    Ok(renewed)
}

pub(crate) fn release(work: &Work<'_>, lease: &Lease) -> Result<(), Failure> {
    let sql = "DELETE FROM leases WHERE session_id = ?1 AND token = ?2";
    // No token that large was given out.
    if let Ok(token) = i64::try_from(lease.token) {
        work.connection.prepare_cached(sql)?.execute(params![lease.session_id, token])?;
    }
    Ok(())
}

/// The session's lease in force.
pub(crate) fn holder(
    connection: &Connection,
    path: &Path,
    session_id: &str,
) -> Result<Option<Lease>, PersistError> {
    let newest = newest(connection, path, session_id).map_err(|failure| failure.into_error(path))?;
    Ok(newest.filter(is_in_force))
}

/// An error unless a write that carries this lease, or none, may go to the session.
pub(crate) fn check(work: &Work<'_>, session_id: &str, fence: Option<&Lease>) -> Result<(), Failure> {
    let newest = newest(work.connection, work.path, session_id)?;
    match fence.filter(|lease| lease.session_id == session_id) {
        Some(ours) => match newest {
            Some(newest) if newest.token == ours.token => Ok(()),
            newest => {
                Err(PersistError::fenced(session_id, newest.map(|lease| lease.holder).as_deref()).into())
            }
        },
        None => newest.filter(is_in_force).map_or(Ok(()), |lease| Err(lease.fences().into())),
    }
}

pub(crate) fn forget_old(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("DELETE FROM leases WHERE expires_at < ?1", [now_ms().saturating_sub(FORGOTTEN_AFTER)])
        .map(drop)
}

/// The lease that was granted last, be it expired or not, if it was not released.
fn newest(connection: &Connection, path: &Path, session_id: &str) -> Result<Option<Lease>, Failure> {
    let read = |row: &Row<'_>| -> rusqlite::Result<Lease> {
        let token: i64 = row.get(0)?;
        Ok(Lease::new(session_id, row.get::<_, String>(1)?, token.unsigned_abs(), row.get(2)?))
    };
    let found = connection
        .prepare_cached("SELECT token, holder, expires_at FROM leases WHERE session_id = ?1")?
        .query_row([session_id], |row| Ok(read(row)))
        .optional()?;
    let unreadable = |error: rusqlite::Error| {
        corrupt(path, &format!("the lease of session {session_id:?}"), error.into()).into()
    };
    found.transpose().map_err(unreadable)
}

fn is_in_force(lease: &Lease) -> bool {
    lease.expires_at > now_ms()
}

fn end(ttl: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
