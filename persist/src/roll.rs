//! Lists the sessions of a store page by page, past those whose record can't be read.

use crate::{Cursor, ListPage, ListSessionsRequest, PersistError, SessionPersistDriver, SessionRecord};

/// A session whose record can't be read, and why.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) session_id: String,
    pub(crate) error: PersistError,
}

/// The page that answers the request; or the session that it begins with, which can't be read, and where the list
/// goes on behind it.
pub(crate) async fn page<D>(
    driver: &D,
    request: &ListSessionsRequest,
) -> Result<Result<ListPage<SessionRecord>, (Passed, Option<Cursor>)>, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    match driver.list_sessions(request.clone()).await {
        Ok(page) => Ok(Ok(page)),
        Err(error) => match error.unreadable().cloned() {
            Some(at) => Ok(Err((Passed { session_id: at.session_id, error }, at.next_cursor))),
            None => Err(error),
        },
    }
}
