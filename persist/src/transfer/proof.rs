//! Proves that two stores hold the same session, by the newest event that both have.

use super::stand_in;
use crate::walk::next_page;
use crate::{
    ListEventsRequest, PersistError, PersistErrorKind, SessionEvent, SessionPersistDriver, SessionRecord,
};

/// Mostly the newest one tells.
const FIRST_PAGE: usize = 4;

/// The events of a session, newest first.
struct Backwards<'a, D: ?Sized> {
    driver: &'a D,
    request: ListEventsRequest,
    /// Those that were read, the newest last.
    events: Vec<SessionEvent>,
    page: usize,
    at_start: bool,
}

impl<'a, D: SessionPersistDriver + ?Sized> Backwards<'a, D> {
    /// From this index downwards.
    fn new(driver: &'a D, session_id: &str, from: u64) -> Self {
        let mut request = ListEventsRequest::new(session_id).descending();
        request.before_index = from.checked_add(1);
        Self { driver, request, events: Vec::new(), page: FIRST_PAGE, at_start: false }
    }

    async fn newest(&mut self) -> Result<Option<&SessionEvent>, PersistError> {
        while self.events.is_empty() && !self.at_start {
            let request = self.request.clone().limit(self.page);
            match self.driver.list_events(request).await {
                Ok(page) => {
                    self.page = next_page(self.page, &page.items);
                    self.request.before_index = page.items.last().map(SessionEvent::first_index);
                    self.at_start = page.next_cursor.is_none() || self.request.before_index.is_none();
                    self.events = page.items;
                    self.events.reverse();
                }
                Err(error) if error.is_evicted() => self.at_start = true,
                Err(error) => return Err(error),
            }
        }
        Ok(self.events.last())
    }

    fn pass(&mut self) {
        self.events.pop();
    }
}

/// What of two events must be the same for them to be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// All of it.
    #[default]
    Whole,
    /// All but the payload, which one of the stores changes.
    ButPayload,
}

impl Sameness {
    pub(crate) fn of(self, ours: &SessionEvent, theirs: &SessionEvent) -> bool {
        match self {
            Self::Whole => ours == theirs,
            Self::ButPayload => {
                let SessionEvent { id, event_index, session_id, created_at, connection_id, sender, .. } =
                    ours;
                (id, event_index, ours.folded_from, session_id, created_at, connection_id, sender)
                    == (
                        &theirs.id,
                        &theirs.event_index,
                        theirs.folded_from,
                        &theirs.session_id,
                        &theirs.created_at,
                        &theirs.connection_id,
                        &theirs.sender,
                    )
            }
        }
    }
}

/// Whether the newest event that both hold as it is, at this index or before, is the same. `false` where there
/// is none, because what one has was evicted or folded in the other; it is an error where it is another one.
pub(crate) async fn same_session<F, T>(
    from: &F,
    to: &T,
    session_id: &str,
    index: u64,
    sameness: Sameness,
) -> Result<bool, PersistError>
where
    F: SessionPersistDriver + ?Sized,
    T: SessionPersistDriver + ?Sized,
{
    let mut ours = Backwards::new(from, session_id, index);
    let mut theirs = Backwards::new(to, session_id, index);
    loop {
        let (Some(our), Some(their)) = (ours.newest().await?, theirs.newest().await?) else {
            return Ok(false);
        };
        let comparable = our.indexes() == their.indexes();
        if comparable && !stand_in::is_evicted(our) && !stand_in::is_evicted(their) {
            if sameness.of(our, their) {
                return Ok(true);
            }
            return Err(PersistError::new(
                PersistErrorKind::Other,
                format!(
                    "both stores have a session {session_id:?}, but not the same one: at index {} they hold \
                     the events {:?} and {:?}; delete one of them",
                    our.event_index, our.id, their.id
                ),
            ));
        }
        // A run on one side is passed when all its parts on the other side are.
        let (our_first, their_first) = (our.first_index(), their.first_index());
        if our_first >= their_first {
            ours.pass();
        }
        if their_first >= our_first {
            theirs.pass();
        }
    }
}

/// The event that has this index, or the newest before it.
pub(crate) async fn event_at<D>(
    driver: &D,
    session_id: &str,
    index: u64,
) -> Result<Option<SessionEvent>, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    Ok(Backwards::new(driver, session_id, index).newest().await?.cloned())
}

/// Whether both records are of the same creation.
pub(crate) fn same_origin(ours: &SessionRecord, theirs: &SessionRecord) -> bool {
    (ours.created_at, &ours.agent) == (theirs.created_at, &theirs.agent)
}

/// The error where a session is there, and neither an event nor the record shows which one.
pub(crate) fn unproven(session_id: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::Other,
        format!(
            "session {session_id:?} is there already, and nothing shows that it is the same one; delete it there, or take another id"
        ),
    )
}
