//! Reads: records, and pages of records and events.

use sandbox_agent_persist::{
    Cursor, ListEventsRequest, ListPage, ListSessionsRequest, Order, PersistError, SessionEvent,
    SessionFilter, SessionRecord, SessionStatus,
};
use tokio_postgres::types::{ToSql, Type};

use crate::rows::{self, folded};
use crate::store::Store;
use crate::text::stored;

/// For a list by tags, whose index gives its rows in no order.
const BY_TAGS: &str = "SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on";

pub(crate) async fn session(store: &Store, id: &str) -> Result<Option<SessionRecord>, PersistError> {
    let rows = store.pool.query(&store.statements.get_session, &[&stored(id)]).await?;
    rows.first().map(|row| rows::session(row, &store.place)).transpose()
}

pub(crate) async fn sessions(
    store: &Store,
    request: &ListSessionsRequest,
) -> Result<ListPage<SessionRecord>, PersistError> {
    let at = request.cursor.as_ref().map(Cursor::session_key).transpose()?;
    let (beyond, direction) = match request.order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    let mut picked = Picked::by(&request.filter);
    if let Some((created_at, id)) = at {
        let created_at = picked.value(created_at, Type::INT8);
        let id = picked.value(stored(id).into_owned(), Type::TEXT);
        picked.conditions.push(format!("(created_at, id) {beyond} ({created_at}, {id})"));
    }
    let size = request.page_size();
    let sql = store.statements.sessions(&picked.conditions, direction, one_more(size));
    let setting = (!request.filter.tags.is_empty()).then_some(BY_TAGS);
    let rows = store.pool.query_once(setting, &sql, &picked.values()).await?;
    let items = rows.iter().map(|row| rows::session(row, &store.place)).collect::<Result<Vec<_>, _>>()?;
    Ok(ListPage::first_of(items, size, |last| Cursor::at_session(last.created_at, &last.id)))
}

pub(crate) async fn events(
    store: &Store,
    request: &ListEventsRequest,
) -> Result<ListPage<SessionEvent>, PersistError> {
    let (after, before) = request.bounds()?;
    let (after, before) = (after.map_or(0, bigint), before.map_or(i64::MAX, bigint));
    let sql = match request.order {
        Order::Ascending => &store.statements.events_up,
        Order::Descending => &store.statements.events_down,
    };
    let limit = one_more(request.page_size());
    let rows = store.pool.query(sql, &[&stored(&request.session_id), &after, &before, &limit]).await?;
    // One by one, so that no page is held twice.
    let items = rows.into_iter().map(|row| rows::event(&row, &store.place)).collect::<Result<Vec<_>, _>>()?;
    Ok(ListPage::of_events(items, request))
}

/// What a filter asks for, as SQL; each part means what `SessionFilter::matches` says.
#[derive(Default)]
struct Picked {
    conditions: Vec<String>,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Picked {
    fn by(filter: &SessionFilter) -> Self {
        let mut picked = Self::default();
        if let Some(agent) = &filter.agent {
            let agent = picked.value(stored(agent).into_owned(), Type::TEXT);
            picked.conditions.push(format!("agent = {agent}"));
        }
        picked.null("destroyed_at", filter.status.map(|status| status == SessionStatus::Open));
        picked.null("archived_at", filter.archived.map(|archived| !archived));
        if let Some(text) = &filter.title {
            let text = picked.value(folded(text), Type::BYTEA);
            picked.conditions.push(format!("position({text} IN folded_title) > 0"));
        }
        if !filter.tags.is_empty() {
            let tags: Vec<_> = filter.tags.iter().map(|tag| stored(tag).into_owned()).collect();
            let tags = picked.value(tags, Type::TEXT_ARRAY);
            picked.conditions.push(format!("tags @> {tags}"));
        }
        picked.time("created_at >=", filter.created_from);
        picked.time("created_at <", filter.created_before);
        picked.time("last_active >=", filter.active_from);
        picked.time("last_active <", filter.active_before);
        picked
    }

    fn null(&mut self, column: &str, is_null: Option<bool>) {
        if let Some(is_null) = is_null {
            let not = if is_null { "" } else { "NOT " };
            self.conditions.push(format!("{column} IS {not}NULL"));
        }
    }

    fn time(&mut self, compared: &str, time: Option<i64>) {
        if let Some(time) = time {
            let time = self.value(time, Type::INT8);
            self.conditions.push(format!("{compared} {time}"));
        }
    }

    /// Keeps the value, and gives what stands for it in SQL.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.values.push((Box::new(value), kind));
        format!("${}", self.values.len())
    }

    fn values(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values.iter().map(|(value, kind)| (&**value as _, kind.clone())).collect()
    }
}

/// The index as the column has it; what is larger than any is as large as any.
pub(crate) fn bigint(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// One item more than the page has tells whether there is another page.
fn one_more(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)
}
