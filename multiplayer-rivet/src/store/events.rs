//! Reading events.

use sandbox_agent_persist::{ListEventsRequest, ListPage, Order, PersistError, SessionEvent, Usage};

use super::database::{Database, Statement, Value};
use super::limits::{READ, READ_ROWS};
use super::rows::{Head, Joined, Row};

/// Up to the event that stands for a run in which the bound is, and else up to the bound.
const BEFORE: &str = "AND event_index <= coalesce((SELECT iif(folded_from < ?5, event_index, NULL) \
    FROM sandbox_agent_events WHERE session_id = ?1 AND event_index >= ?5 ORDER BY event_index LIMIT 1), ?5 - 1)";

/// The first events within the bounds, as many as go together, with the number of all that were asked for.
pub(super) fn list_sql(order: Order, before: bool) -> String {
    let direction = match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    };
    let before = if before { BEFORE } else { "" };
    format!(
        "WITH page AS (SELECT event_index AS at, sum(bytes) OVER (ORDER BY event_index {direction}) - bytes AS ahead \
             FROM (SELECT event_index, bytes FROM sandbox_agent_events \
                 WHERE session_id = ?1 AND event_index > ?2 {before} ORDER BY event_index {direction} LIMIT ?3)) \
         SELECT (SELECT count(*) FROM page), id, event.event_index, folded_from, bytes, created_at, connection_id, \
             sender, coalesce(payload, text) \
         FROM page JOIN sandbox_agent_events AS event ON event.session_id = ?1 AND event.event_index = at \
         LEFT JOIN sandbox_agent_pieces AS piece \
             ON payload IS NULL AND piece.session_id = ?1 AND piece.event_index = at \
         WHERE ahead < ?4 ORDER BY at {direction}, place"
    )
}

pub(super) async fn list(
    database: &Database,
    request: &ListEventsRequest,
) -> Result<ListPage<SessionEvent>, PersistError> {
    let (mut after, mut before) = request.bounds()?;
    let wanted = request.page_size().saturating_add(1);
    let mut events = Vec::new();
    loop {
        let most = (wanted - events.len()).min(READ_ROWS);
        let (found, there) = read(database, request, after, before, most).await?;
        let read = found.len();
        events.extend(found);
        let Some(last) = events.last() else { break };
        match request.order {
            Order::Ascending => after = Some(last.event_index),
            Order::Descending => before = Some(last.first_index()),
        }
        if events.len() >= wanted || (read == there && there < most) {
            break;
        }
    }
    Ok(ListPage::of_events(events, request))
}

/// Some of the events, and how many there are of those that were asked for.
async fn read(
    database: &Database,
    request: &ListEventsRequest,
    after: Option<u64>,
    before: Option<u64>,
    most: usize,
) -> Result<(Vec<SessionEvent>, usize), PersistError> {
    // No event has what can't be an index.
    let bound = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
    let before = before.and_then(|before| i64::try_from(before).ok());
    let session_id = request.session_id.as_str();
    let mut values: Vec<Value> = vec![
        session_id.into(),
        after.map_or(0, bound).into(),
        i64::try_from(most).unwrap_or(i64::MAX).into(),
        i64::try_from(READ).unwrap_or(i64::MAX).into(),
    ];
    values.extend(before.map(Value::from));
    let statement = Statement::new(list_sql(request.order, before.is_some()), values);
    let mut joined = Joined::new();
    let mut there = 0;
    for values in database.read(statement).await? {
        let mut row = Row::new(database, values);
        there = usize::try_from(row.index()?).unwrap_or(usize::MAX);
        joined.push(Head::read(&mut row)?, &row.text()?);
    }
    let events = joined.into_items().into_iter();
    let events = events.map(|(head, payload)| head.with_payload(database, session_id, payload));
    Ok((events.collect::<Result<_, _>>()?, there))
}

/// The index that the session has come to; 0 when it has no event.
pub(super) async fn last_index(database: &Database, session_id: &str) -> Result<u64, PersistError> {
    let sql = "SELECT coalesce(max(event_index), 0) FROM sandbox_agent_events WHERE session_id = ?1";
    let mut rows = database.read(Statement::new(sql, [session_id.into()])).await?.into_iter();
    rows.next().map_or(Ok(0), |values| Row::new(database, values).index())
}

pub(super) async fn usage(database: &Database, session_id: &str) -> Result<Usage, PersistError> {
    let sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM sandbox_agent_events WHERE session_id = ?1";
    let mut rows = database.read(Statement::new(sql, [session_id.into()])).await?.into_iter();
    let Some(values) = rows.next() else { return Ok(Usage::default()) };
    let mut row = Row::new(database, values);
    Ok(Usage::new(row.index()?, row.index()?))
}
