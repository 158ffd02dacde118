//! Lists of sessions, of which the store can't read all that the filter asks for.

use sandbox_agent_persist::{
    Cursor, ListPage, ListSessionsRequest, PersistError, SessionPersistDriver, SessionRecord,
};

use super::Layer;
use crate::Transform;

/// So many records are read in one call at the most, so that each has an end: a page may then be shorter than
/// its limit, with a cursor to go on from.
const MOST_READ: usize = 10_000;
/// The fewest that are asked for at once, when few of them match.
const SMALLEST_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

/// A session that matches, and where the store has it.
struct Match {
    record: SessionRecord,
    /// Where the store's page began.
    page: Option<Cursor>,
    /// Its place in that page, from 1.
    place: usize,
}

impl<D: SessionPersistDriver, T: Transform> Layer<D, T> {
    pub(super) async fn catalogue(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        let filter = self.transform.stored_filter(&request.filter);
        let mut inner = request.clone();
        inner.filter = filter;
        if inner.filter == request.filter {
            return self.page(inner).await;
        }

        let size = request.page_size();
        inner.limit = None;
        inner = inner.limit(size.clamp(SMALLEST_PAGE, LARGEST_PAGE));
        let mut matches: Vec<Match> = Vec::new();
        let mut read = 0;
        let next = loop {
            let page = match self.page(inner.clone()).await {
                // The next page begins with it, and tells of it: nothing that was found is lost.
                Err(error) if error.unreadable().is_some() && inner.cursor != request.cursor => {
                    break inner.cursor.clone();
                }
                page => page?,
            };
            read += page.items.len();
            for (record, place) in page.items.into_iter().zip(1..) {
                if request.filter.matches(&record) {
                    matches.push(Match { record, page: inner.cursor.clone(), place });
                }
            }
            match page.next_cursor {
                // One match more than the page has shows that there is another page.
                Some(cursor) if matches.len() <= size && read < MOST_READ => inner.cursor = Some(cursor),
                next => break next,
            }
        };
        let Some(last) = matches.get(size.saturating_sub(1)).filter(|_| matches.len() > size) else {
            return Ok(ListPage::new(matches.into_iter().map(|found| found.record).collect(), next));
        };

        // The cursors of a store are its own: a page that ends at the last match has the one that is needed.
        inner.cursor.clone_from(&last.page);
        match self.page(inner.clone().limit(last.place)).await {
            Ok(page) if page.items.last().is_some_and(|record| record.id == last.record.id) => {
                matches.truncate(size);
                let matches = matches.into_iter().map(|found| found.record).collect();
                return Ok(ListPage::new(matches, page.next_cursor));
            }
            Err(error) if error.unreadable().is_none() => return Err(error),
            _ => {}
        }
        // Something came or went in between. So many can't have too many matches, and a page may be short.
        inner.cursor = request.cursor;
        let mut page = self.page(inner.limit(size)).await?;
        page.items.retain(|record| request.filter.matches(record));
        Ok(page)
    }

    /// A page of the store. It ends in front of a record that can't be read, and is an error where it begins with one.
    async fn page(&self, mut request: ListSessionsRequest) -> Result<ListPage<SessionRecord>, PersistError> {
        loop {
            let page = self.inner.list_sessions(request.clone()).await?;
            let (read, next_cursor) = (page.items.len(), page.next_cursor);
            let mut records = Vec::with_capacity(read);
            let mut unreadable = None;
            for record in page.items {
                let session_id = record.id.clone();
                match self.transform.record_out(record) {
                    Ok(record) => records.push(record),
                    Err(error) if error.is_unavailable() => return Err(error),
                    Err(error) => {
                        unreadable = Some((session_id, error));
                        break;
                    }
                }
            }
            match unreadable {
                None => return Ok(ListPage::new(records, next_cursor)),
                Some((session_id, error)) if read == 1 => {
                    return Err(error.at_unreadable(session_id, next_cursor));
                }
                // The cursors of a store are its own: the page that ends where one is needed has it.
                Some(_) => request = request.limit(records.len().max(1)),
            }
        }
    }
}
