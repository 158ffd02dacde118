//! Records.

use sandbox_agent_persist::{
    Cursor, ListPage, ListSessionsRequest, Order, PersistError, PersistErrorKind, SessionRecord,
    SessionStatus,
};

use super::batch::length;
use super::chain::Chain;
use super::database::{Database, Statement, Value};
use super::limits::{LARGEST, NAMES, READ, READ_ROWS};
use super::pieces::Stored;
use super::rows::{self, Joined, Row};

/// The index at which the pieces of a record are.
const RECORD: i64 = 0;

pub(super) async fn get(database: &Database, id: &str) -> Result<Option<SessionRecord>, PersistError> {
    let sql = "SELECT coalesce(body, text) FROM sandbox_agent_sessions LEFT JOIN sandbox_agent_pieces \
        ON body IS NULL AND session_id = ?1 AND event_index = 0 WHERE id = ?1 ORDER BY place";
    let rows = database.read(Statement::new(sql, [id.into()])).await?;
    let pieces = rows.into_iter().map(|values| Row::new(database, values).text());
    let body = pieces.collect::<Result<Vec<_>, _>>()?.concat();
    if body.is_empty() { Ok(None) } else { rows::record(database, id, &body).map(Some) }
}

pub(super) async fn update(database: &Database, record: &SessionRecord) -> Result<(), PersistError> {
    let body = serde_json::to_string(record).map_err(|error| {
        let message = format!("the record of session {:?} is no JSON: {error}", record.id);
        PersistError::new(PersistErrorKind::Other, message).with_source(error)
    })?;
    let names = record.id.len() + record.agent.len();
    if names > NAMES || body.len() > LARGEST {
        return Err(PersistError::new(
            PersistErrorKind::TooLarge,
            format!(
                "the record of session {:.100?} has {names} bytes of id and agent and {} in all; an actor's \
                 database takes {NAMES} and {LARGEST}",
                record.id,
                body.len()
            ),
        ));
    }
    let stored = Stored::of(&body);
    let mut chain = Chain::default();
    let sql = "INSERT INTO sandbox_agent_sessions \
        (id, created_at, destroyed_at, archived_at, active_at, agent, bytes, body) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, \
        destroyed_at = excluded.destroyed_at, archived_at = excluded.archived_at, active_at = excluded.active_at, \
        agent = excluded.agent, bytes = excluded.bytes, body = excluded.body";
    let values = [
        record.id.as_str().into(),
        record.created_at.into(),
        record.destroyed_at.into(),
        record.archived_at.into(),
        record.last_active().into(),
        record.agent.as_str().into(),
        length(&body).into(),
        stored.inline().into(),
    ];
    chain.push(Statement::new(sql, values), 1);
    chain.push_pieces(&record.id, RECORD, stored.pieces());
    let clear = "DELETE FROM sandbox_agent_pieces WHERE session_id = ?1 AND event_index = 0";
    let clear = Statement::new(clear, [record.id.as_str().into()]);
    database.write([vec![clear], chain.into_statements()].concat()).await.map(drop)
}

pub(super) async fn delete(database: &Database, id: &str) -> Result<(), PersistError> {
    // The pieces first, so that no event's trigger has anything to do.
    let rows = [
        "DELETE FROM sandbox_agent_pieces WHERE session_id = ?1",
        "DELETE FROM sandbox_agent_events WHERE session_id = ?1",
        "DELETE FROM sandbox_agent_sessions WHERE id = ?1",
    ];
    database.write(rows.map(|rows| Statement::new(rows, [id.into()])).to_vec()).await.map(drop)
}

/// The first records behind the cursor that have what is asked of columns, as many as go together, with
/// the number of all that were asked for.
pub(super) fn list_sql(order: Order, cursor: bool) -> String {
    let (beyond, direction) = match order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    let cursor = if cursor { format!("AND (created_at, id) {beyond} (?10, ?11)") } else { String::new() };
    let in_order = format!("ORDER BY created_at {direction}, id {direction}");
    format!(
        "WITH page AS (SELECT created_at, id, sum(bytes) OVER ({in_order}) - bytes AS ahead FROM \
             (SELECT created_at, id, bytes FROM sandbox_agent_sessions \
                 WHERE (?3 IS NULL OR created_at >= ?3) AND (?4 IS NULL OR created_at < ?4) \
                 AND (?5 IS NULL OR active_at >= ?5) AND (?6 IS NULL OR active_at < ?6) \
                 AND (?7 IS NULL OR agent = ?7) AND (?8 IS NULL OR (destroyed_at IS NOT NULL) = ?8) \
                 AND (?9 IS NULL OR (archived_at IS NOT NULL) = ?9) {cursor} {in_order} LIMIT ?1)) \
         SELECT (SELECT count(*) FROM page), page.id, coalesce(body, text) \
         FROM page JOIN sandbox_agent_sessions AS session ON session.id = page.id \
         LEFT JOIN sandbox_agent_pieces AS piece \
             ON body IS NULL AND piece.session_id = page.id AND event_index = 0 \
         WHERE ahead < ?2 ORDER BY page.created_at {direction}, page.id {direction}, place"
    )
}

pub(super) async fn list(
    database: &Database,
    request: &ListSessionsRequest,
) -> Result<ListPage<SessionRecord>, PersistError> {
    let size = request.page_size();
    let mut at = request.cursor.as_ref().map(Cursor::session_key).transpose()?;
    let mut records: Vec<SessionRecord> = Vec::new();
    let mut last;
    while records.len() <= size {
        let most = (size - records.len()).saturating_add(1).min(READ_ROWS);
        let (found, there) = read(database, request, at, most).await?;
        let is_all = found.len() == there && there < most;
        last = found.last().map(|record| (record.created_at, record.id.clone()));
        // Title and tags are looked for here: a statement may have no room for them.
        records.extend(found.into_iter().filter(|record| request.filter.matches(record)));
        at = last.as_ref().map(|(created_at, id)| (*created_at, id.as_str()));
        if is_all || at.is_none() {
            break;
        }
    }
    Ok(ListPage::first_of(records, size, |last| Cursor::at_session(last.created_at, &last.id)))
}

/// Some of the records, and how many there are of those that were asked for.
async fn read(
    database: &Database,
    request: &ListSessionsRequest,
    at: Option<(i64, &str)>,
    most: usize,
) -> Result<(Vec<SessionRecord>, usize), PersistError> {
    let filter = &request.filter;
    let number = |number: usize| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let mut values = vec![
        number(most),
        number(READ),
        filter.created_from.into(),
        filter.created_before.into(),
        filter.active_from.into(),
        filter.active_before.into(),
        filter.agent.as_deref().into(),
        filter.status.map(|status| status == SessionStatus::Destroyed).into(),
        filter.archived.into(),
    ];
    if let Some((created_at, id)) = at {
        values.extend([created_at.into(), id.into()]);
    }
    let mut joined = Joined::new();
    let mut there = 0;
    for values in database.read(Statement::new(list_sql(request.order, at.is_some()), values)).await? {
        let mut row = Row::new(database, values);
        there = usize::try_from(row.index()?).unwrap_or(usize::MAX);
        joined.push(row.text()?, &row.text()?);
    }
    let records = joined.into_items().into_iter();
    let records = records.map(|(id, body)| rows::record(database, &id, &body));
    Ok((records.collect::<Result<_, _>>()?, there))
}
