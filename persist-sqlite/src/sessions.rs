//! Reading sessions.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use sandbox_agent_persist::{
    Cursor, ListPage, ListSessionsRequest, Order, PersistError, SessionRecord, SessionStatus, fold_case,
};

use crate::error::sqlite;
use crate::readers::one_more;
use crate::rows::{self, session_columns};
use crate::tags;

const GET: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1");

/// What no index serves. It is in each text, so that there are few of these.
const MORE: &str = "(?6 IS NULL OR (archived_at IS NOT NULL) = ?6) \
    AND (?7 IS NULL OR instr(title_folded, ?7)) \
    AND (?8 IS NULL OR NOT EXISTS ( \
        SELECT 1 FROM json_each(?8) AS piece WHERE NOT instr(coalesce(tags_json, ''), piece.value))) \
    AND (?9 IS NULL OR coalesce(last_activity_at, created_at) >= ?9) \
    AND (?10 IS NULL OR coalesce(last_activity_at, created_at) < ?10)";

pub(crate) fn get(
    connection: &Connection,
    path: &Path,
    id: &str,
) -> Result<Option<SessionRecord>, PersistError> {
    connection
        .prepare_cached(GET)
        .and_then(|mut statement| statement.query_row([id], |row| Ok(rows::session(row, path))).optional())
        .map_err(sqlite(path))?
        .transpose()
}

/// What decides which index a list goes along, and so its text. There are 72 of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) order: Order,
    /// It begins at a cursor.
    pub(crate) cursor: bool,
    pub(crate) created_from: bool,
    pub(crate) created_before: bool,
    pub(crate) agent: bool,
    pub(crate) status: Option<SessionStatus>,
}

impl Shape {
    pub(crate) fn sql(self) -> String {
        let (beyond, direction) = match self.order {
            Order::Ascending => (">", "ASC"),
            Order::Descending => ("<", "DESC"),
        };
        let columns = session_columns!();
        let mut sql = format!("SELECT {columns} FROM sessions WHERE {MORE}");
        if self.created_from {
            sql += " AND created_at >= ?1";
        }
        if self.created_before {
            sql += " AND created_at < ?2";
        }
        if self.cursor {
            sql += &format!(" AND (created_at, id) {beyond} (?3, ?4)");
        }
        if self.agent {
            sql += " AND agent = ?5";
        }
        sql += match self.status {
            Some(SessionStatus::Open) => " AND destroyed_at IS NULL",
            Some(SessionStatus::Destroyed) => " AND destroyed_at IS NOT NULL",
            None => "",
        };
        sql + &format!(" ORDER BY created_at {direction}, id {direction} LIMIT ?11")
    }
}

pub(crate) fn list(
    connection: &Connection,
    path: &Path,
    request: &ListSessionsRequest,
) -> Result<ListPage<SessionRecord>, PersistError> {
    let filter = &request.filter;
    let mut at = request.cursor.as_ref().map(Cursor::session_key).transpose()?;
    let (mut created_from, mut created_before) = (filter.created_from, filter.created_before);
    // Of two ends on the side that the list begins from, only the inner one is asked for: SQLite looks up
    // one of them, and would read its way to the other.
    match (request.order, at) {
        (Order::Ascending, Some((created_at, _))) if created_from.is_some_and(|from| created_at < from) => {
            at = None
        }
        (Order::Ascending, Some(_)) => created_from = None,
        (Order::Descending, Some((created_at, _)))
            if created_before.is_some_and(|before| created_at >= before) =>
        {
            at = None
        }
        (Order::Descending, Some(_)) => created_before = None,
        (_, None) => {}
    }
    let shape = Shape {
        order: request.order,
        cursor: at.is_some(),
        created_from: created_from.is_some(),
        created_before: created_before.is_some(),
        agent: filter.agent.is_some(),
        status: filter.status,
    };
    let title = filter.title.as_deref().map(fold_case).filter(|title| !title.is_empty());
    let (created_at, id) = at.unzip();
    let size = request.page_size();
    let values = params![
        created_from,
        created_before,
        created_at,
        id,
        filter.agent,
        filter.archived,
        title,
        tags::pieces(&filter.tags),
        filter.active_from,
        filter.active_before,
        one_more(size),
    ];
    let mut statement = connection.prepare_cached(&shape.sql()).map_err(sqlite(path))?;
    let sessions = statement
        .query_map(values, |row| Ok(rows::session(row, path)))
        .map_err(sqlite(path))?
        .map(|row| row.map_err(sqlite(path))?)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ListPage::first_of(sessions, size, |last| Cursor::at_session(last.created_at, &last.id)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plans::{self, Plan};

    fn shapes() -> impl Iterator<Item = Shape> {
        let flags = (0..16).map(|bits| [1, 2, 4, 8].map(|bit| bits & bit != 0));
        let statuses = [None, Some(SessionStatus::Open), Some(SessionStatus::Destroyed)];
        flags.flat_map(move |[order, cursor, bound, agent]| {
            let order = if order { Order::Ascending } else { Order::Descending };
            statuses.into_iter().flat_map(move |status| {
                // A list that begins at a cursor has no bound on that side.
                [true, false].map(move |bound_at_start| Shape {
                    order,
                    cursor,
                    created_from: if order == Order::Ascending { bound_at_start && !cursor } else { bound },
                    created_before: if order == Order::Ascending { bound } else { bound_at_start && !cursor },
                    agent,
                    status,
                })
            })
        })
    }

    #[test]
    fn there_are_few_texts() {
        let texts: BTreeSet<_> = shapes().map(Shape::sql).collect();
        assert_eq!(texts.len(), 72);
    }

    #[test]
    fn each_list_goes_along_an_index() {
        let file = plans::file();
        for shape in shapes() {
            let plan = Plan::of(&file, &shape.sql(), "sessions");
            plan.goes_along_an_index();
            let looks_up = shape.cursor || shape.created_from || shape.created_before || shape.agent;
            assert_eq!(plan.is_search(), looks_up, "{plan:?}");
            let index = match shape.status {
                _ if shape.agent => "idx_sessions_agent",
                Some(SessionStatus::Open) => "idx_sessions_open",
                Some(SessionStatus::Destroyed) => "idx_sessions_destroyed",
                None => "idx_sessions_created",
            };
            assert!(plan.uses(index), "{shape:?}: {plan:?}");
        }
    }

    #[test]
    fn a_page_at_any_depth_takes_the_same_steps() {
        let file = plans::file();
        file.execute_batch(
            "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 20000)
             INSERT INTO sessions (id, agent, agent_session_id, last_connection_id, created_at, destroyed_at)
             SELECT printf('s%05d', n), iif(n % 2, 'codex', 'claude'), '', '', n / 7, iif(n % 3, NULL, n) FROM number",
        )
        .unwrap();
        for shape in shapes().filter(|shape| shape.cursor && !shape.created_from && !shape.created_before) {
            let steps = |created_at: i64| {
                let mut statement = file.prepare(&shape.sql()).unwrap();
                let agent = shape.agent.then_some("codex");
                let none = None::<i64>;
                let values = params![none, none, created_at, "", agent, none, none, none, none, none, 101];
                plans::steps(&mut statement, values, 101)
            };
            let (at_one_end, at_the_other) = (steps(300), steps(2600));
            assert!(
                at_one_end.abs_diff(at_the_other) * 10 < at_one_end,
                "{shape:?}: {at_one_end} {at_the_other}"
            );
        }
    }
}
