//! Leases: rows of their own, granted and checked by the server's clock.

use std::time::Duration;

use sandbox_agent_persist::{Acquired, Lease, PersistError};
use tokio_postgres::Row;

use crate::error::corrupt;
use crate::store::Store;
use crate::text::{restored, stored};

/// For so long an expired lease that nobody took is good for its holder; upkeep forgets it then.
pub(crate) const KEPT_MS: i64 = 24 * 3600 * 1000;

/// The longest time that a lease is granted for; a thousand years.
const LONGEST_MS: i64 = 1000 * 365 * 24 * 3600 * 1000;

pub(crate) async fn acquire(
    store: &Store,
    session_id: &str,
    holder: &str,
    ttl: Duration,
    by_force: bool,
) -> Result<Acquired, PersistError> {
    let values = (stored(session_id), stored(holder), milliseconds(ttl));
    let sql = &store.statements.acquire_lease;
    let row = store.pool.query_one(sql, &[&values.0, &values.1, &values.2, &by_force]).await?;
    let lease = lease(store, session_id, &row, 1)?;
    Ok(match store.column(&row, 0)? {
        true => Acquired::Granted(lease),
        false => Acquired::Held(lease),
    })
}

pub(crate) async fn renew(store: &Store, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
    let sql = &store.statements.renew_lease;
    let (session_id, token) = (stored(&lease.session_id), carried(lease));
    let row = store.pool.query_one(sql, &[&session_id, &token, &milliseconds(ttl)]).await?;
    if store.column::<Option<i64>>(&row, 1)? == Some(token) {
        return self::lease(store, &lease.session_id, &row, 0);
    }
    let holder = store.column::<Option<&str>>(&row, 0)?.and_then(restored);
    Err(PersistError::fenced(&lease.session_id, holder.as_deref()))
}

pub(crate) async fn release(store: &Store, lease: &Lease) -> Result<(), PersistError> {
    let sql = &store.statements.release_lease;
    store.pool.query(sql, &[&stored(&lease.session_id), &carried(lease)]).await.map(drop)
}

pub(crate) async fn in_force(store: &Store, session_id: &str) -> Result<Option<Lease>, PersistError> {
    let rows = store.pool.query(&store.statements.lease_in_force, &[&stored(session_id)]).await?;
    rows.first().map(|row| lease(store, session_id, row, 0)).transpose()
}

/// The token as writes carry it; one that no store gives is nobody's.
pub(crate) fn carried(lease: &Lease) -> i64 {
    i64::try_from(lease.token).unwrap_or(-1)
}

/// The lease in three columns, from this one on.
fn lease(store: &Store, session_id: &str, row: &Row, first: usize) -> Result<Lease, PersistError> {
    let unreadable = |why: &str| corrupt(&store.place, &format!("the lease of session {session_id:?}"), why);
    let holder =
        restored(store.column(row, first)?).ok_or_else(|| unreadable("a holder that nobody wrote"))?;
    let token = u64::try_from(store.column::<i64>(row, first + 1)?);
    let token = token.map_err(|_| unreadable("a token below 0"))?;
    Ok(Lease::new(session_id, holder, token, store.column(row, first + 2)?))
}

fn milliseconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).min(LONGEST_MS)
}
