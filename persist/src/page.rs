//! Listing: what is asked for, and the page that comes back.

use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::{PersistError, PersistErrorKind, SessionEvent, SessionFilter, brief};

/// How many items a page has when no limit is given.
pub const DEFAULT_PAGE: usize = 100;

/// The direction of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// Where the next page begins. Opaque to callers; good only for the list that gave it.
///
/// A cursor holds the key of the last item of its page, not a count of items, so it
/// stays right while others insert and evict.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor that goes on after this event.
    pub fn at_event(event_index: u64) -> Self {
        Self(format!("e{event_index}"))
    }

    /// The cursor that goes on after this session.
    pub fn at_session(created_at: i64, id: &str) -> Self {
        Self(format!("s{created_at}.{id}"))
    }

    /// A cursor that was kept as text, for instance in a link.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to keep.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the event that it stands at; `InvalidCursor` when it stands at none.
    pub fn event_key(&self) -> Result<u64, PersistError> {
        self.0
            .strip_prefix('e')
            .and_then(|index| index.parse().ok())
            .filter(|index| *index > 0 && *self == Self::at_event(*index))
            .ok_or_else(|| self.invalid("events"))
    }

    /// The key `(created_at, id)` of the session that it stands at; `InvalidCursor` when it stands at none.
    pub fn session_key(&self) -> Result<(i64, &str), PersistError> {
        self.0
            .strip_prefix('s')
            .and_then(|key| key.split_once('.'))
            .and_then(|(created_at, id)| Some((created_at.parse().ok()?, id)))
            .filter(|(created_at, id)| *self == Self::at_session(*created_at, id))
            .ok_or_else(|| self.invalid("sessions"))
    }

    fn invalid(&self, what: &str) -> PersistError {
        PersistError::new(
            PersistErrorKind::InvalidCursor,
            format!("{} is no cursor of a list of {what}; list from the start", brief(&self.0)),
        )
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListPage<T> {
    /// The items, in the order that was asked for.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this was the last.
    pub next_cursor: Option<Cursor>,
}

impl<T> ListPage<T> {
    /// A page and where the next one begins.
    pub fn new(items: Vec<T>, next_cursor: Option<Cursor>) -> Self {
        Self { items, next_cursor }
    }

    /// The first `size` of the items, with a cursor at the last of these if there are more.
    /// At most one item more is taken.
    pub fn first_of(
        items: impl IntoIterator<Item = T>,
        size: usize,
        cursor: impl FnOnce(&T) -> Cursor,
    ) -> Self {
        let mut items = items.into_iter();
        let page: Vec<T> = items.by_ref().take(size).collect();
        let next_cursor = match (page.last(), items.next()) {
            (Some(last), Some(_)) => Some(cursor(last)),
            _ => None,
        };
        Self::new(page, next_cursor)
    }
}

impl ListPage<SessionEvent> {
    /// The page that answers this request, of events that are within its bounds and in its order.
    pub fn of_events(events: impl IntoIterator<Item = SessionEvent>, request: &ListEventsRequest) -> Self {
        Self::first_of(events, request.page_size(), |last| request.cursor_at(last))
    }
}

/// Asks for sessions in the order of `(created_at, id)`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ListSessionsRequest {
    /// Which of them; all unless told.
    pub filter: SessionFilter,
    /// The direction; oldest first unless told.
    pub order: Order,
    /// Where to go on.
    pub cursor: Option<Cursor>,
    /// How many at most; [`DEFAULT_PAGE`] unless told.
    pub limit: Option<NonZeroUsize>,
}

impl ListSessionsRequest {
    /// The first page, oldest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those that the filter picks.
    #[must_use]
    pub fn filter(mut self, filter: SessionFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Newest first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.order = Order::Descending;
        self
    }

    /// Goes on from a page's [`next_cursor`](ListPage::next_cursor).
    #[must_use]
    pub fn cursor(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// At most so many; 0 means the default.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = NonZeroUsize::new(limit);
        self
    }

    /// The limit in force.
    pub fn page_size(&self) -> usize {
        self.limit.map_or(DEFAULT_PAGE, NonZeroUsize::get)
    }
}

/// Asks for events of one session in the order of their index.
///
/// An event that stands for a run is in the list if any of its indexes is within the bounds.
/// Without a position an ascending list begins at the oldest event that is held, whatever
/// its index. With one it begins there or fails: see [`SessionPersistDriver::list_events`](crate::SessionPersistDriver::list_events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListEventsRequest {
    /// The session.
    pub session_id: String,
    /// The direction; oldest first unless told.
    pub order: Order,
    /// Where to go on; stronger than the bound on the side that the list begins from.
    pub cursor: Option<Cursor>,
    /// Only events with a larger index.
    pub after_index: Option<u64>,
    /// Only events with a smaller index.
    pub before_index: Option<u64>,
    /// How many at most; [`DEFAULT_PAGE`] unless told.
    pub limit: Option<NonZeroUsize>,
}

impl ListEventsRequest {
    /// The first page, oldest first.
    pub fn new(session_id: impl Into<String>) -> Self {
        Self {
            session_id: session_id.into(),
            order: Order::Ascending,
            cursor: None,
            after_index: None,
            before_index: None,
            limit: None,
        }
    }

    /// Newest first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.order = Order::Descending;
        self
    }

    /// Goes on from a page's [`next_cursor`](ListPage::next_cursor).
    #[must_use]
    pub fn cursor(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// Only events with a larger index.
    #[must_use]
    pub fn after_index(mut self, index: u64) -> Self {
        self.after_index = Some(index);
        self
    }

    /// Only events with a smaller index.
    #[must_use]
    pub fn before_index(mut self, index: u64) -> Self {
        self.before_index = Some(index);
        self
    }

    /// At most so many; 0 means the default.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = NonZeroUsize::new(limit);
        self
    }

    /// The limit in force.
    pub fn page_size(&self) -> usize {
        self.limit.map_or(DEFAULT_PAGE, NonZeroUsize::get)
    }

    /// The cursor that goes on behind this event, in the direction of the list.
    pub fn cursor_at(&self, last: &SessionEvent) -> Cursor {
        Cursor::at_event(match self.order {
            Order::Ascending => last.event_index,
            Order::Descending => last.first_index(),
        })
    }

    /// Cursor and bounds taken together: the exclusive bounds `(after, before)` in force.
    /// What a driver's query needs, whatever the direction.
    pub fn bounds(&self) -> Result<(Option<u64>, Option<u64>), PersistError> {
        let at = self.cursor.as_ref().map(Cursor::event_key).transpose()?;
        Ok(match self.order {
            Order::Ascending => (at.or(self.after_index), self.before_index),
            Order::Descending => (self.after_index, at.or(self.before_index)),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gives_its_key_back() {
        for index in [1, 42, u64::MAX] {
            assert_eq!(Cursor::at_event(index).event_key().unwrap(), index);
        }
        for (created_at, id) in [(0, ""), (-5, "a.b"), (i64::MAX, "ü.s1.x"), (i64::MIN, "-1")] {
            let cursor = Cursor::at_session(created_at, id);
            assert_eq!(cursor.session_key().unwrap(), (created_at, id));
        }
    }

    #[test]
    fn a_cursor_of_another_list_or_shape_is_invalid() {
        let refused = |error: PersistError| assert_eq!(error.kind(), PersistErrorKind::InvalidCursor);
        for text in ["", "e", "e0", "e+1", "e01", "e-1", "e 1", "1", "s1.a", "e18446744073709551616"] {
            refused(Cursor::from_text(text).event_key().unwrap_err());
        }
        for text in ["", "s", "s.", "s1", "s+1.a", "s01.a", "s-0.a", "e1", "sx.a"] {
            refused(Cursor::from_text(text).session_key().unwrap_err());
        }
        let long = "é".repeat(1000);
        let error = Cursor::from_text(long).event_key().unwrap_err();
        assert!(error.to_string().chars().count() < 150, "{error}");
    }

    #[test]
    fn a_cursor_is_plain_text_in_json() {
        let cursor = Cursor::at_event(7);
        let json = serde_json::to_string(&cursor).unwrap();
        assert_eq!(json, format!("\"{cursor}\""));
        assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
    }

    #[test]
    fn a_cursor_takes_the_place_of_the_bound_that_the_list_begins_from() {
        let request = ListEventsRequest::new("s").after_index(2).before_index(9);
        assert_eq!(request.bounds().unwrap(), (Some(2), Some(9)));
        let request = request.cursor(Cursor::at_event(5));
        assert_eq!(request.bounds().unwrap(), (Some(5), Some(9)));
        assert_eq!(request.descending().bounds().unwrap(), (Some(2), Some(5)));
    }

    #[test]
    fn no_limit_and_zero_are_the_default() {
        assert_eq!(ListEventsRequest::new("s").page_size(), DEFAULT_PAGE);
        assert_eq!(ListSessionsRequest::new().limit(0).page_size(), DEFAULT_PAGE);
        assert_eq!(ListSessionsRequest::new().limit(3).page_size(), 3);
    }
}
