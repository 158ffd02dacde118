//! The session that events are brought to: takes those that are new, and compares the others.

use super::proof::Sameness;
use super::stand_in;
use crate::walk::{Step, Walk, last_index};
use crate::{Inserted, PersistError, PersistErrorKind, SessionEvent, SessionPersistDriver, SessionUpkeep};

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Put {
    /// So many were stored.
    pub(crate) stored: u64,
    /// So many were there already.
    pub(crate) known: u64,
}

#[derive(Debug)]
pub(crate) struct Target {
    session_id: String,
    sameness: Sameness,
    /// The next index, as far as it is known.
    next: Option<u64>,
}

impl Target {
    pub(crate) fn new(session_id: impl Into<String>, sameness: Sameness) -> Self {
        Self { session_id: session_id.into(), sameness, next: None }
    }

    /// The index that the session has come to.
    pub(crate) async fn last_index<D>(&mut self, driver: &D) -> Result<u64, PersistError>
    where
        D: SessionPersistDriver + ?Sized,
    {
        Ok(self.next(driver).await?.saturating_sub(1))
    }

    async fn next<D>(&mut self, driver: &D) -> Result<u64, PersistError>
    where
        D: SessionPersistDriver + ?Sized,
    {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let next = last_index(driver, &self.session_id).await?.saturating_add(1);
        self.next = Some(next);
        Ok(next)
    }

    /// Sees to it that the session has these events, which follow on each other. A call that failed, or was
    /// dropped, can be made again with the same events.
    pub(crate) async fn put<D>(&mut self, driver: &D, events: &[SessionEvent]) -> Result<Put, PersistError>
    where
        D: SessionPersistDriver + ?Sized,
    {
        let mut put = Put::default();
        let mut left = events;
        loop {
            let next = self.next(driver).await?;
            let begun = left.partition_point(|event| event.first_index() < next);
            if begun > 0 {
                self.compare(driver, &left[..begun], next).await?;
                let known = left.partition_point(|event| event.event_index < next);
                put.known += known as u64;
                left = &left[known..];
            }
            let Some(first) = left.first() else {
                return Ok(put);
            };
            let taken = match first.first_index() < next {
                true => self.insert_rest(driver, first, next).await?,
                false => driver.insert_events(&self.session_id, left.to_vec()).await?,
            };
            match taken {
                Inserted::Stored if first.first_index() < next => {
                    self.next = Some(first.event_index.saturating_add(1));
                    put.stored += 1;
                    left = &left[1..];
                }
                Inserted::Stored => {
                    let last = left.last().map_or(next, |last| last.event_index.saturating_add(1));
                    self.next = Some(last);
                    put.stored += left.len() as u64;
                    return Ok(put);
                }
                refused => {
                    // Somebody else brings the same session here, or it is not the same.
                    self.next = None;
                    let now = self.next(driver).await?;
                    self.check_progress(next, now, first, refused)?;
                }
            }
        }
    }

    fn check_progress(
        &self,
        before: u64,
        now: u64,
        first: &SessionEvent,
        refused: Inserted,
    ) -> Result<(), PersistError> {
        if now > before {
            return Ok(());
        }
        let (session, id) = (&self.session_id, &first.id);
        let message = match refused {
            Inserted::Duplicate => format!(
                "event {id:?} is in the store already, in another session than {session:?}; delete that one, or import this one under another id"
            ),
            _ => format!(
                "session {session:?} takes no event at index {}: it was deleted meanwhile, or begins later; start again",
                first.first_index()
            ),
        };
        Err(PersistError::new(PersistErrorKind::Other, message))
    }

    /// Stores the part of the run that is beyond what the session has.
    async fn insert_rest<D>(
        &self,
        driver: &D,
        run: &SessionEvent,
        next: u64,
    ) -> Result<Inserted, PersistError>
    where
        D: SessionPersistDriver + ?Sized,
    {
        if stand_in::is_evicted(run) {
            let rest = stand_in::evicted(&self.session_id, next, run.event_index, run.created_at);
            return driver.insert_event(&self.session_id, rest).await;
        }
        if driver.upkeep().is_none() {
            return Err(PersistError::new(
                PersistErrorKind::Other,
                format!(
                    "events {} to {} of session {:?} were folded after a part of them had come here, and this store can't fold; delete the session here and start again",
                    run.first_index(),
                    run.event_index,
                    self.session_id
                ),
            ));
        }
        let inserted = driver.insert_event(&self.session_id, stand_in::rest(run, next)).await?;
        if inserted == Inserted::Stored {
            self.fold(driver, run).await?;
        }
        Ok(inserted)
    }

    /// Puts the run in the place of its parts. Where the store does not hold just these, they stay: the rest,
    /// which is among them, has all that the run says.
    async fn fold<D>(&self, driver: &D, run: &SessionEvent) -> Result<(), PersistError>
    where
        D: SessionPersistDriver + ?Sized,
    {
        if let Some(upkeep) = driver.upkeep() {
            SessionUpkeep::fold(upkeep, &self.session_id, run.clone()).await?;
        }
        Ok(())
    }

    /// Compares events, which all begin before `next`, with what the session has in their place.
    ///
    /// What can't be compared is taken to be the same: an event that is evicted or folded on one side.
    async fn compare<D>(&self, driver: &D, ours: &[SessionEvent], next: u64) -> Result<(), PersistError>
    where
        D: SessionPersistDriver + ?Sized,
    {
        let (Some(first), Some(last)) = (ours.first(), ours.last()) else {
            return Ok(());
        };
        let until = last.event_index.min(next.saturating_sub(1));
        let after = first.first_index().saturating_sub(1);
        let mut walk = Walk::new(&self.session_id, after, until).pages_of(ours.len());
        let mut ours = ours.iter().peekable();
        while let Some(step) = walk.next(driver).await? {
            // Those in the place of evicted ones are passed over by the next that is held.
            let Step::Events(events) = step else { continue };
            for theirs in events {
                // Those that several of theirs stood for.
                while ours.next_if(|event| event.event_index < theirs.first_index()).is_some() {}
                // Those that this one of theirs stands for.
                while let Some(event) = ours.next_if(|event| contains(&theirs, event)) {
                    self.check_same(event, &theirs)?;
                }
                if let Some(event) = ours.peek().filter(|event| overlaps(event, &theirs)) {
                    return Err(self.differs(event, &theirs));
                }
                if let Some(event) = ours.next_if(|event| stand_in::is_rest(&theirs, event)) {
                    self.fold(driver, event).await?;
                }
            }
        }
        Ok(())
    }

    fn check_same(&self, ours: &SessionEvent, theirs: &SessionEvent) -> Result<(), PersistError> {
        let comparable = ours.indexes() == theirs.indexes();
        if !comparable
            || stand_in::is_evicted(ours)
            || stand_in::is_evicted(theirs)
            || self.sameness.of(ours, theirs)
        {
            return Ok(());
        }
        Err(self.differs(ours, theirs))
    }

    fn differs(&self, ours: &SessionEvent, theirs: &SessionEvent) -> PersistError {
        PersistError::new(
            PersistErrorKind::Other,
            format!(
                "session {:?} has another event {:?} at index {} than the {:?} which is to come there; \
                 it is not the same session: delete it, or take another id",
                self.session_id, theirs.id, theirs.event_index, ours.id
            ),
        )
    }
}

/// Whether the two have indexes in common and each has others, which no folding brings about.
fn overlaps(ours: &SessionEvent, theirs: &SessionEvent) -> bool {
    ours.first_index() <= theirs.event_index
        && theirs.first_index() <= ours.event_index
        && !contains(ours, theirs)
        && !contains(theirs, ours)
        && !stand_in::is_evicted(ours)
        && !stand_in::is_evicted(theirs)
}

fn contains(wide: &SessionEvent, narrow: &SessionEvent) -> bool {
    wide.first_index() <= narrow.first_index() && narrow.event_index <= wide.event_index
}
