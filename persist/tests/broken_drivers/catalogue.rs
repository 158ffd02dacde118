//! Lists of sessions, and how they go wrong.

use sandbox_agent_persist::{
    Cursor, ListPage, ListSessionsRequest, Order, PersistError, SessionFilter, SessionRecord,
};

use crate::faults::Fault::{self, *};

pub(crate) fn page(
    fault: Fault,
    mut all: Vec<SessionRecord>,
    request: &ListSessionsRequest,
) -> Result<ListPage<SessionRecord>, PersistError> {
    match fault {
        ListsSessionsById => all.sort_by(|a, b| a.id.cmp(&b.id)),
        _ => all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id))),
    }
    if fault != FiltersAfterTheLimit {
        all.retain(|record| picks(fault, &request.filter, record));
    }
    if request.order == Order::Descending {
        all.reverse();
    }
    let start = match &request.cursor {
        None => 0,
        Some(cursor) => match cursor.session_key() {
            Err(_) if fault == TakesAnyCursor => 0,
            Err(error) => return Err(error),
            Ok((count, _)) if fault == HasCursorsThatCount => count as usize,
            Ok((created_at, id)) => {
                let key = |created_at, id: &str| match fault {
                    ListsSessionsById => (0, id.to_owned()),
                    _ => (created_at, id.to_owned()),
                };
                let at = key(created_at, id);
                let is_before = |record: &&SessionRecord| match request.order {
                    Order::Ascending => key(record.created_at, &record.id) <= at,
                    Order::Descending => key(record.created_at, &record.id) >= at,
                };
                all.iter().take_while(is_before).count()
            }
        },
    };
    let end = all.len().min(start + request.page_size());
    let mut items = all[start..end].to_vec();
    let next_cursor = items.last().filter(|_| end < all.len()).map(|last| match fault {
        HasCursorsThatCount => Cursor::at_session(end as i64, ""),
        _ => Cursor::at_session(last.created_at, &last.id),
    });
    if fault == FiltersAfterTheLimit {
        items.retain(|record| request.filter.matches(record));
    }
    Ok(ListPage::new(items, next_cursor))
}

fn picks(fault: Fault, filter: &SessionFilter, record: &SessionRecord) -> bool {
    let (mut filter, mut record) = (filter.clone(), record.clone());
    match fault {
        IgnoresFilters => return true,
        LowersOnlyAscii => {
            let title = filter.title.take().unwrap_or_default().to_ascii_lowercase();
            let of_record = record.title.clone().unwrap_or_default().to_ascii_lowercase();
            return of_record.contains(&title) && filter.matches(&record);
        }
        PicksAnyTag if !filter.tags.is_empty() => {
            let tags = std::mem::take(&mut filter.tags);
            return tags.iter().any(|tag| record.tags.contains(tag)) && filter.matches(&record);
        }
        ForgetsCreationAsActivity => record.last_activity_at = record.last_activity_at.or(Some(0)),
        _ => {}
    }
    filter.matches(&record)
}
