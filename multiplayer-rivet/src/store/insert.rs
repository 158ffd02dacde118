//! Inserting events.

use sandbox_agent_persist::{Inserted, PersistError, PersistErrorKind, SessionEvent};

use super::batch::Batch;
use super::database::{Database, Statement, Value};

/// Stores the events as far as they fit, and tells of each index that the session has come to. Gives what
/// stopped it, if anything has.
///
/// # Errors
/// Some of the events, and none behind one that is not, may be stored.
pub(super) async fn insert(
    database: &Database,
    session_id: &str,
    events: &[SessionEvent],
    tell: impl Fn(u64),
) -> Result<Inserted, PersistError> {
    let mut rest = events;
    // How many of them are known to fit, once some were refused.
    let mut fit = rest.len();
    while !rest.is_empty() {
        let batch = Batch::of(session_id, &rest[..fit])?;
        let refused = batch.first_refused(&database.write(batch.statements()).await?);
        let stored = refused.as_ref().map_or(batch.len(), |refused| refused.start);
        if let Some(last) = rest[..stored].last() {
            tell(last.event_index);
        }
        rest = &rest[stored..];
        fit = rest.len();
        if let Some(refused) = refused {
            let refused = &rest[..refused.len().min(rest.len())];
            match examine(database, session_id, refused).await? {
                Found::Stopped(stopped) => return Ok(stopped),
                Found::Fit(some) => fit = some,
            }
        }
    }
    Ok(Inserted::Stored)
}

enum Found {
    /// The first of them is stopped by this.
    Stopped(Inserted),
    /// So many of them fit, at least one, before one that is known.
    Fit(usize),
}

/// Finds out why some events that were to be stored together were refused.
async fn examine(
    database: &Database,
    session_id: &str,
    refused: &[SessionEvent],
) -> Result<Found, PersistError> {
    let Some(first) = refused.first() else { return Err(overtaken(session_id)) };
    let numbers: Vec<_> = (2..).take(refused.len()).map(|number| format!("?{number}")).collect();
    let sql = format!(
        "SELECT max(event_index), NULL FROM sandbox_agent_events WHERE session_id = ?1 \
         UNION ALL SELECT NULL, id FROM sandbox_agent_events WHERE id IN ({})",
        numbers.join(", ")
    );
    let ids = refused.iter().map(|event| event.id.as_str().into());
    let found = database.read(Statement::new(sql, [session_id.into()].into_iter().chain(ids))).await?;
    let is_known = |event: &SessionEvent| {
        found.iter().any(|row| matches!(&row[..], [_, Value::Text(id)] if *id == event.id))
    };
    let last = found.iter().find_map(|row| match row[..] {
        [Value::Integer(last), _] => u64::try_from(last).ok(),
        _ => None,
    });
    let next_index = last.unwrap_or(0) + 1;
    if is_known(first) {
        return Ok(Found::Stopped(Inserted::Duplicate));
    }
    if first.first_index() != next_index {
        return Ok(Found::Stopped(Inserted::Conflict { next_index }));
    }
    first.signed_indexes()?;
    match refused.iter().position(is_known) {
        Some(fit) => Ok(Found::Fit(fit)),
        None => Err(overtaken(session_id)),
    }
}

/// Another store on the same actor was faster, and what it wrote has gone since.
fn overtaken(session_id: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::Unavailable,
        format!("session {session_id:?} was written to by another at the same time; try again"),
    )
}
