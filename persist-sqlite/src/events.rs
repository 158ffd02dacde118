//! Reading events.

use std::path::Path;

use rusqlite::{Connection, params};
use sandbox_agent_persist::{ListEventsRequest, ListPage, Order, PersistError, SessionEvent, Usage};

use crate::error::sqlite;
use crate::readers::one_more;
use crate::rows::{self, event_columns};

/// Up to the event that stands for a run in which the bound is, and else up to the bound.
const BEFORE: &str = "AND event_index <= coalesce(\
    (SELECT iif(folded_from < ?4, event_index, NULL) FROM events \
    WHERE session_id = ?1 AND event_index >= ?4 ORDER BY event_index LIMIT 1), ?4 - 1)";

/// The text for a list in this order, with a bound at its upper end or without: four in all.
pub(crate) fn list_sql(order: Order, before: bool) -> String {
    let direction = match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    };
    format!(
        "SELECT {} FROM events WHERE session_id = ?1 AND event_index > ?2 {} \
         ORDER BY event_index {direction} LIMIT ?3",
        event_columns!(),
        if before { BEFORE } else { "" },
    )
}

pub(crate) fn list(
    connection: &Connection,
    path: &Path,
    request: &ListEventsRequest,
) -> Result<ListPage<SessionEvent>, PersistError> {
    let (after, before) = request.bounds()?;
    let bound = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
    // An index that can't be is read, and so named.
    let after = after.map_or(i64::MIN, bound);
    let before = before.and_then(|before| i64::try_from(before).ok());
    let most = one_more(request.page_size());
    let sql = list_sql(request.order, before.is_some());
    let mut statement = connection.prepare_cached(&sql).map_err(sqlite(path))?;
    let rows = match before {
        Some(before) => statement.query(params![request.session_id, after, most, before]),
        None => statement.query(params![request.session_id, after, most]),
    };
    let events = rows
        .map_err(sqlite(path))?
        .mapped(|row| Ok(rows::event(row, path)))
        .map(|row| row.map_err(sqlite(path))?)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ListPage::of_events(events, request))
}

pub(crate) fn usage(connection: &Connection, path: &Path, session_id: &str) -> Result<Usage, PersistError> {
    let sql = "SELECT count(*), coalesce(sum(octet_length(payload_json)), 0) FROM events \
        WHERE session_id = ?1";
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, i64)> { Ok((row.get(0)?, row.get(1)?)) };
    let (events, bytes) = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([session_id], read))
        .map_err(sqlite(path))?;
    Ok(Usage::new(events.unsigned_abs(), bytes.unsigned_abs()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plans::{self, Plan};

    #[test]
    fn each_list_goes_along_the_index() {
        let file = plans::file();
        for order in [Order::Ascending, Order::Descending] {
            for before in [false, true] {
                let plan = Plan::of(&file, &list_sql(order, before), "events");
                plan.goes_along_an_index();
                assert!(plan.is_search(), "{plan:?}");
            }
        }
    }

    #[test]
    fn a_page_at_any_depth_takes_the_same_steps() {
        let file = plans::file();
        file.execute_batch(
            "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 50000)
             INSERT INTO events SELECT 'e' || n, n * 2, 's', 0, 'c', 'agent', 'null', n * 2 - 1 FROM number",
        )
        .unwrap();
        for order in [Order::Ascending, Order::Descending] {
            for (before, bound) in [(false, None), (true, Some(1_000)), (true, Some(99_000))] {
                let steps = |after: i64| {
                    let mut statement = file.prepare(&list_sql(order, before)).unwrap();
                    match bound {
                        Some(bound) => {
                            plans::steps(&mut statement, params!["s", after, 101, after + bound], 101)
                        }
                        None => plans::steps(&mut statement, params!["s", after, 101], 101),
                    }
                };
                let (first, last) = (steps(0), steps(99_000));
                assert!(first.abs_diff(last) * 10 < first, "{order:?} {bound:?}: {first} {last}");
            }
        }
    }
}
