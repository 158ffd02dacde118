//! Writes: each is one statement, which checks the lease that it carries.

use std::collections::HashSet;

use sandbox_agent_persist::{Inserted, PersistError, PersistErrorKind, SessionEvent, SessionRecord, brief};
use tokio_postgres::Row;

use crate::hidden::Hidden;
use crate::reader::bigint;
use crate::rows::SessionRow;
use crate::store::Store;
use crate::text::{restored, stored};

/// Bytes of events that one statement stores. A larger batch goes in parts, so that what a connection
/// keeps as its buffers stays small.
const PART: usize = 4 * 1024 * 1024;

/// Bytes of one event or record. PostgreSQL takes messages and values of 1 GiB, and has some of it
/// several times in memory.
const LARGEST: usize = 256 * 1024 * 1024;

/// What the functions of the schema say became of a write.
enum Outcome {
    Stored,
    Duplicate,
    Conflict,
    Absent,
}

pub(crate) async fn insert(
    store: &Store,
    session_id: &str,
    carried: Option<i64>,
    events: &[SessionEvent],
) -> Result<Inserted, PersistError> {
    for event in events {
        event.check_session(session_id)?;
        check_size(|| format!("event {}", brief(&event.id)), event.size())?;
    }
    let mut rest = events;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(first_part(rest));
        match insert_part(store, session_id, carried, part).await? {
            Inserted::Stored => rest = later,
            stopped => return Ok(stopped),
        }
    }
    Ok(Inserted::Stored)
}

/// How many of the events go first; at least one.
fn first_part(events: &[SessionEvent]) -> usize {
    let mut size = 0;
    let fits = |event: &&SessionEvent| {
        size += event.size();
        size <= PART
    };
    events.iter().take_while(fits).count().max(1)
}

async fn insert_part(
    store: &Store,
    session_id: &str,
    carried: Option<i64>,
    events: &[SessionEvent],
) -> Result<Inserted, PersistError> {
    let ids: Vec<_> = events.iter().map(|event| stored(&event.id)).collect();
    let firsts: Vec<_> = events.iter().map(|event| bigint(event.first_index())).collect();
    let indexes: Vec<_> = events.iter().map(|event| bigint(event.event_index)).collect();
    let times: Vec<_> = events.iter().map(|event| event.created_at).collect();
    let connections: Vec<_> = events.iter().map(|event| stored(&event.connection_id)).collect();
    let senders: Vec<_> = events.iter().map(|event| event.sender.as_str()).collect();
    let payloads: Vec<_> = events.iter().map(|event| event.payload.get()).collect();
    let row = store
        .pool
        .query_one(
            &store.statements.insert_events,
            &[
                &stored(session_id),
                &carried,
                &is_regular(events),
                &Hidden(ids),
                &Hidden(firsts),
                &Hidden(indexes),
                &Hidden(times),
                &Hidden(connections),
                &Hidden(senders),
                &Hidden(payloads),
            ],
        )
        .await?;
    Ok(match outcome(store, session_id, &row)? {
        Outcome::Stored | Outcome::Absent => Inserted::Stored,
        Outcome::Duplicate => Inserted::Duplicate,
        Outcome::Conflict => {
            let next_index: i64 = store.column(&row, 2)?;
            Inserted::Conflict { next_index: next_index.max(1).unsigned_abs() }
        }
    })
}

/// Whether each event begins where the one before ends, and no id is there twice.
fn is_regular(events: &[SessionEvent]) -> bool {
    let follows = |pair: &[SessionEvent]| pair[0].event_index.checked_add(1) == Some(pair[1].first_index());
    let mut ids = HashSet::with_capacity(events.len());
    events.windows(2).all(follows) && events.iter().all(|event| ids.insert(&event.id))
}

pub(crate) async fn update(
    store: &Store,
    carried: Option<i64>,
    record: &SessionRecord,
) -> Result<(), PersistError> {
    let row = SessionRow::from(record);
    check_size(|| format!("the record of session {}", brief(&record.id)), row.size())?;
    let answer = store.pool.query_one(&store.statements.put_session, &row.values(&carried)).await?;
    outcome(store, &record.id, &answer).map(drop)
}

pub(crate) async fn delete(store: &Store, id: &str, carried: Option<i64>) -> Result<(), PersistError> {
    let sql = &store.statements.delete_session;
    let row = store.pool.query_long(sql, &[&stored(id), &carried]).await?;
    row.first().map_or(Ok(()), |row| outcome(store, id, row).map(drop))
}

/// Whether the event came in the place of those that it stands for.
pub(crate) async fn fold(
    store: &Store,
    session_id: &str,
    carried: Option<i64>,
    folded: &SessionEvent,
) -> Result<bool, PersistError> {
    folded.check_session(session_id)?;
    check_size(|| format!("event {}", brief(&folded.id)), folded.size())?;
    let row = store
        .pool
        .query_one(
            &store.statements.fold_events,
            &[
                &stored(session_id),
                &carried,
                &stored(&folded.id),
                &bigint(folded.first_index()),
                &bigint(folded.event_index),
                &folded.created_at,
                &stored(&folded.connection_id),
                &folded.sender.as_str(),
                &Hidden(folded.payload.get()),
            ],
        )
        .await?;
    Ok(matches!(outcome(store, session_id, &row)?, Outcome::Stored))
}

/// The outcome in the first column; `Fenced` names the holder in the second.
fn outcome(store: &Store, session_id: &str, row: &Row) -> Result<Outcome, PersistError> {
    match store.column::<&str>(row, 0)? {
        "fenced" => {
            let holder = store.column::<Option<&str>>(row, 1)?.and_then(restored);
            Err(PersistError::fenced(session_id, holder.as_deref()))
        }
        "duplicate" => Ok(Outcome::Duplicate),
        "conflict" => Ok(Outcome::Conflict),
        "absent" => Ok(Outcome::Absent),
        _ => Ok(Outcome::Stored),
    }
}

fn check_size(what: impl FnOnce() -> String, size: usize) -> Result<(), PersistError> {
    if size <= LARGEST {
        return Ok(());
    }
    let message =
        format!("{} has {size} bytes, and PostgreSQL is given {LARGEST} at most; store less", what());
    Err(PersistError::new(PersistErrorKind::TooLarge, message))
}
