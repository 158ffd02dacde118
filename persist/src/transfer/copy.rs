//! Copies sessions from one store to another.

use std::fmt;

use super::proof::{Sameness, event_at, same_origin, same_session, unproven};
use super::stand_in;
use super::target::Target;
use crate::roll::{self, Passed};
use crate::walk::{self, Step, Walk};
use crate::{
    Cursor, ListPage, ListSessionsRequest, PersistError, PersistErrorKind, SessionFilter,
    SessionPersistDriver, SessionRecord,
};

/// Copies one session as it is now: [`SessionCopy`] without options.
pub async fn copy_session<F, T>(from: &F, to: &T, session_id: &str) -> Result<SessionCopied, PersistError>
where
    F: SessionPersistDriver + ?Sized,
    T: SessionPersistDriver + ?Sized,
{
    SessionCopy::new(from, to).session(session_id).await
}

/// Copies every session that there is now: [`SessionCopy`] without options.
pub async fn copy_all<F, T>(from: &F, to: &T) -> Result<CopyReport, PersistError>
where
    F: SessionPersistDriver + ?Sized,
    T: SessionPersistDriver + ?Sized,
{
    SessionCopy::new(from, to).all().await
}

/// Copies sessions from one store to another, as they are when it begins.
///
/// A copy can be broken off at any point, and made again: it goes on where it was, and brings what is new.
/// That it is the same session on both sides is proven by the newest event that both hold.
///
/// Events come first and the record last. So a session that was copied in part is in no list, nobody
/// resumes it by mistake, and it is known by events without a record. A session that was copied before
/// keeps its old record until the new events are there. Where the copy has been written to since, and
/// so is longer than what it was copied from, it stays as it is.
///
/// Events that the store which they come from has evicted are stood for by one notification
/// ([`EVICTED`](crate::envelope::EVICTED)). A run that was folded after a part of it had been copied is
/// folded in the copy, too, for which that store must have [upkeep](crate::SessionUpkeep).
///
/// ```
/// use sandbox_agent_persist::SessionPersistDriverExt;
/// # use sandbox_agent_persist::{SessionPersistDriver, SessionRecord};
/// # use sandbox_agent_persist_memory::MemorySessionPersistDriver;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sandbox_agent_persist::PersistError> {
/// # let (store, backup) = (MemorySessionPersistDriver::new(), MemorySessionPersistDriver::new());
/// # store.update_session(SessionRecord::new("default", "codex", 0)).await?;
/// let copied = store
///     .copy_to(&backup)
///     .on_progress(|so_far| println!("{}: {} of {}", so_far.session_id, so_far.index, so_far.last_index))
///     .all()
///     .await?;
/// assert_eq!((copied.sessions, copied.failed.len()), (1, 0));
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is copied until `session` or `all` is called"]
pub struct SessionCopy<'a, F: ?Sized, T: ?Sized> {
    from: &'a F,
    to: &'a T,
    among: SessionFilter,
    sameness: Sameness,
    progress: Option<OnProgress<'a>>,
}

type OnProgress<'a> = Box<dyn FnMut(&CopyProgress<'_>) + Send + 'a>;

/// How far the copy of a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress<'a> {
    /// The session.
    pub session_id: &'a str,
    /// It has been copied up to this index.
    pub index: u64,
    /// And is to be up to this one.
    pub last_index: u64,
}

/// What became of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCopied {
    /// The session.
    pub session_id: String,
    /// So many events were stored.
    pub stored: u64,
    /// The index that both had in common when the copy began; 0 where there was nothing of it.
    pub common_index: u64,
    /// The index that the copy has come to, or had already.
    pub last_index: u64,
    /// Whether the record was stored: not where the same one was there, or there is none.
    pub record_stored: bool,
}

/// A session that could not be copied.
#[derive(Debug)]
#[non_exhaustive]
pub struct CopyFailure {
    /// The session.
    pub session_id: String,
    /// Why.
    pub error: PersistError,
}

impl From<Passed> for CopyFailure {
    fn from(Passed { session_id, error }: Passed) -> Self {
        Self { session_id, error }
    }
}

/// What became of all sessions.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it tells of sessions that could not be copied"]
pub struct CopyReport {
    /// So many have been copied, now or before.
    pub sessions: u64,
    /// So many events were stored.
    pub stored: u64,
    /// So many sessions were deleted before their turn came.
    pub gone: u64,
    /// Those that could not be copied.
    pub failed: Vec<CopyFailure>,
}

impl<F: ?Sized, T: ?Sized> fmt::Debug for SessionCopy<'_, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCopy").field("among", &self.among).finish_non_exhaustive()
    }
}

impl<'a, F, T> SessionCopy<'a, F, T>
where
    F: SessionPersistDriver + ?Sized,
    T: SessionPersistDriver + ?Sized,
{
    /// From one store to another.
    pub fn new(from: &'a F, to: &'a T) -> Self {
        Self { from, to, among: SessionFilter::new(), sameness: Sameness::Whole, progress: None }
    }

    /// Of [`all`](Self::all) only those that this picks.
    pub fn among(mut self, filter: SessionFilter) -> Self {
        self.among = filter;
        self
    }

    /// Takes two events for one even if their payloads differ: for a store that changes what it is given, such
    /// as one that redacts it. Otherwise a copy that goes on takes the two for different sessions.
    pub fn payloads_may_differ(mut self) -> Self {
        self.sameness = Sameness::ButPayload;
        self
    }

    /// Calls this after each batch of events, and once for a session that has nothing new.
    pub fn on_progress(mut self, progress: impl FnMut(&CopyProgress<'_>) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Copies one session, with or without a record.
    ///
    /// # Errors
    /// Those of either store; and `Other`, where the session is unknown, was deleted meanwhile, or is another one
    /// than that which has its id in the store that it is to go to.
    ///
    /// # Cancellation
    /// Dropped, it has copied a part, and can be called again.
    pub async fn session(mut self, session_id: &str) -> Result<SessionCopied, PersistError> {
        let copied = self.copy(session_id).await?;
        copied.ok_or_else(|| {
            PersistError::new(
                PersistErrorKind::Other,
                format!("there is no session {session_id:?} to copy; list those that there are"),
            )
        })
    }

    /// Copies every session that has a record, as far as they were created when it began, oldest first.
    /// One that fails is named in the report, and the others are copied all the same; so is one whose record
    /// can't be read, where the store's lists [go on behind it](PersistError::unreadable).
    ///
    /// # Errors
    /// `Unavailable`, and any error of listing. Called again, it goes on.
    ///
    /// # Cancellation
    /// Dropped, it has copied some of the sessions, one of them in part, and can be called again.
    pub async fn all(mut self) -> Result<CopyReport, PersistError> {
        let from = self.from;
        let mut report = CopyReport::default();
        let mut request = ListSessionsRequest::new().filter(self.among.clone());
        let newest = newest(from, request.clone(), &mut report.failed).await?;
        let Some(newest) = newest.as_ref().map(key) else {
            return Ok(report);
        };
        loop {
            let page = match roll::page(from, &request).await? {
                Ok(page) => page,
                Err((passed, behind)) => {
                    // Those that came after the newest that can be read are named already.
                    if report.failed.iter().all(|failed| failed.session_id != passed.session_id) {
                        report.failed.push(passed.into());
                    }
                    ListPage::new(Vec::new(), behind)
                }
            };
            for record in page.items.iter().take_while(|record| key(record) <= newest) {
                match self.copy(&record.id).await {
                    Ok(Some(copied)) => {
                        report.sessions += 1;
                        report.stored += copied.stored;
                    }
                    Ok(None) => report.gone += 1,
                    Err(error) if error.is_unavailable() => return Err(error),
                    Err(error) => {
                        report.failed.push(CopyFailure { session_id: record.id.clone(), error });
                    }
                }
            }
            match page.next_cursor.filter(|cursor| is_before(cursor, newest)) {
                Some(cursor) => request.cursor = Some(cursor),
                None => return Ok(report),
            }
        }
    }

    /// `None` where there is no such session.
    async fn copy(&mut self, session_id: &str) -> Result<Option<SessionCopied>, PersistError> {
        let (from, to) = (self.from, self.to);
        let Some((record, until)) = walk::state(from, session_id).await? else {
            return Ok(None);
        };
        let mut target = Target::new(session_id, self.sameness);
        let held = target.last_index(to).await?;
        let common = until.min(held);
        let old_record = to.get_session(session_id).await?;
        let is_new = held == 0 && old_record.is_none();
        let records = record.as_ref().zip(old_record.as_ref());
        let is_proven = common > 0 && same_session(from, to, session_id, common, self.sameness).await?;
        if !is_proven && !is_new && !records.is_some_and(|(ours, theirs)| same_origin(ours, theirs)) {
            return Err(unproven(session_id));
        }

        self.report(session_id, common, until);
        let mut walk = Walk::new(session_id, place_before(from, session_id, common).await?, until);
        let mut stored = 0;
        while let Some(step) = walk.next(from).await? {
            let events = match step {
                Step::Events(events) => events,
                Step::Evicted { from, to } => {
                    let time = record.as_ref().map_or(0, |record| record.created_at);
                    vec![stand_in::evicted(session_id, from, to, time)]
                }
            };
            stored += target.put(to, &events).await?.stored;
            self.report(session_id, walk.at(), until);
        }
        if !walk.is_over() {
            return Err(walk.gone("what was copied of it has no record; delete it there"));
        }

        let mut copied = SessionCopied {
            session_id: session_id.to_owned(),
            stored,
            common_index: common,
            last_index: walk.at().max(held),
            record_stored: false,
        };
        if let Some(record) = record
            && (held <= until || old_record.is_none())
            && old_record.as_ref() != Some(&record)
        {
            to.update_session(record).await?;
            copied.record_stored = true;
        }
        Ok(Some(copied))
    }

    fn report(&mut self, session_id: &str, index: u64, last_index: u64) {
        if let Some(progress) = &mut self.progress {
            progress(&CopyProgress { session_id, index, last_index });
        }
    }
}

/// The session that was created last, of those that can be read.
async fn newest<F>(
    from: &F,
    request: ListSessionsRequest,
    failed: &mut Vec<CopyFailure>,
) -> Result<Option<SessionRecord>, PersistError>
where
    F: SessionPersistDriver + ?Sized,
{
    let mut request = request.descending().limit(1);
    loop {
        let mut page = match roll::page(from, &request).await? {
            Ok(page) => page,
            Err((passed, behind)) => {
                failed.push(passed.into());
                ListPage::new(Vec::new(), behind)
            }
        };
        match (page.items.pop(), page.next_cursor) {
            // A page may be shorter than its limit, and go on all the same.
            (None, Some(cursor)) => request.cursor = Some(cursor),
            (newest, _) => return Ok(newest),
        }
    }
}

/// The place to copy from: before the event that has the last common index, which may stand for more.
async fn place_before<F>(from: &F, session_id: &str, common: u64) -> Result<u64, PersistError>
where
    F: SessionPersistDriver + ?Sized,
{
    if common == 0 {
        return Ok(0);
    }
    let event = event_at(from, session_id, common).await?;
    Ok(event.map_or(common, |event| event.first_index().saturating_sub(1)))
}

fn key(record: &SessionRecord) -> (i64, &str) {
    (record.created_at, &record.id)
}

fn is_before(cursor: &Cursor, newest: (i64, &str)) -> bool {
    // A driver may have cursors of its own; these lead on.
    cursor.session_key().map_or(true, |key| key < newest)
}
