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
            let page = self.page(inner.clone()).await?;
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
        let page = self.page(inner.clone().limit(last.place)).await?;
        if page.items.last().is_some_and(|record| record.id == last.record.id) {
            matches.truncate(size);
            let matches = matches.into_iter().map(|found| found.record).collect();
            return Ok(ListPage::new(matches, page.next_cursor));
        }
        // Something came or went in between. So many can't have too many matches, and a page may be short.
        inner.cursor = request.cursor;
        let mut page = self.page(inner.limit(size)).await?;
        page.items.retain(|record| request.filter.matches(record));
        Ok(page)
    }

    /// A page of the store.
    async fn page(&self, request: ListSessionsRequest) -> Result<ListPage<SessionRecord>, PersistError> {
        let page = self.inner.list_sessions(request).await?;
        let records = page.items.into_iter().map(|record| self.transform.record_out(record));
        Ok(ListPage::new(records.collect::<Result<_, _>>()?, page.next_cursor))
    }
}
