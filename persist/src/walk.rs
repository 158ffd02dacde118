//! Reads a session's events upwards in pages that fit into memory, whatever is stored or evicted meanwhile.

use crate::{
    ListEventsRequest, PersistError, PersistErrorKind, SessionEvent, SessionPersistDriver, SessionRecord,
    SessionUpkeep, Usage,
};

/// A page is a batch to insert, too.
pub(crate) const PAGE: usize = 256;
/// And so small that it fits into memory, where events are large.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// What the events of a session are like, the first few tell.
const FIRST_PAGE: usize = 16;

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Events in their order. The first one may begin before the place that the walk had come to,
    /// where a run was folded meanwhile; from there on there is no hole.
    Events(Vec<SessionEvent>),
    /// These indexes are gone.
    Evicted { from: u64, to: u64 },
}

/// Goes from one index to another. A call that failed, or was dropped, can be made again.
#[derive(Debug)]
pub(crate) struct Walk {
    session_id: String,
    after: u64,
    until: u64,
    page: usize,
}

impl Walk {
    /// Events after this index, up to that one.
    pub(crate) fn new(session_id: impl Into<String>, after: u64, until: u64) -> Self {
        Self { session_id: session_id.into(), after, until, page: FIRST_PAGE }
    }

    /// Asks for so many events to begin with; of whoever knows what they are like.
    pub(crate) fn pages_of(mut self, events: usize) -> Self {
        self.page = events.clamp(1, PAGE);
        self
    }

    /// The index that it has come to.
    pub(crate) fn at(&self) -> u64 {
        self.after
    }

    /// Whether it has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.after >= self.until
    }

    /// The next part; `None` at the end, and where the session ends before.
    pub(crate) async fn next<D>(&mut self, driver: &D) -> Result<Option<Step>, PersistError>
    where
        D: SessionPersistDriver + ?Sized,
    {
        if self.is_over() {
            return Ok(None);
        }
        let mut request = ListEventsRequest::new(&self.session_id).after_index(self.after).limit(self.page);
        request.before_index = self.until.checked_add(1);
        match driver.list_events(request).await {
            Ok(page) => {
                self.took(page.items).map(|events| (!events.is_empty()).then_some(Step::Events(events)))
            }
            Err(error) => match error.kind() {
                PersistErrorKind::Evicted { to, .. } if to > self.after => {
                    let from = self.after + 1;
                    self.after = to;
                    Ok(Some(Step::Evicted { from, to }))
                }
                _ => Err(error),
            },
        }
    }

    fn took(&mut self, events: Vec<SessionEvent>) -> Result<Vec<SessionEvent>, PersistError> {
        let mut last = self.after;
        for (place, event) in events.iter().enumerate() {
            let follows = match place {
                // Folded meanwhile, or a run that the walk begins within.
                0 => event.first_index() <= last.saturating_add(1) && event.event_index > last,
                _ => event.first_index().checked_sub(1) == Some(last),
            };
            if !follows {
                return Err(PersistError::new(
                    PersistErrorKind::Corrupt,
                    format!(
                        "session {:?}: event {:?} at index {} follows on index {last}; the store has a hole there, restore it from a backup",
                        self.session_id,
                        event.id,
                        event.first_index()
                    ),
                ));
            }
            last = event.event_index;
        }
        self.after = last;
        self.page = next_page(self.page, &events);
        Ok(events)
    }

    /// The error of whoever needs what the session no longer has.
    pub(crate) fn gone(&self, way_out: &str) -> PersistError {
        PersistError::new(
            PersistErrorKind::Other,
            format!(
                "session {:?} ended at index {} and not at {}: it was deleted meanwhile; {way_out}",
                self.session_id, self.after, self.until
            ),
        )
    }
}

/// How many events to ask for after these.
pub(crate) fn next_page(page: usize, events: &[SessionEvent]) -> usize {
    let bytes: usize = events.iter().map(SessionEvent::size).sum();
    let fitting = PAGE_BYTES / (bytes / events.len().max(1) + 1);
    fitting.clamp(1, PAGE).min(2 * page)
}

/// The newest event that the session holds.
pub(crate) async fn newest<D>(driver: &D, session_id: &str) -> Result<Option<SessionEvent>, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let request = ListEventsRequest::new(session_id).descending().limit(1);
    Ok(driver.list_events(request).await?.items.pop())
}

/// The index that the session has come to, be the event held or evicted; 0 where it has none.
pub(crate) async fn last_index<D>(driver: &D, session_id: &str) -> Result<u64, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    if let Some(event) = newest(driver, session_id).await? {
        return Ok(event.event_index);
    }
    match driver.list_events(ListEventsRequest::new(session_id).after_index(0).limit(1)).await {
        Ok(page) => Ok(page.items.last().map_or(0, |event| event.event_index)),
        Err(error) => match error.kind() {
            PersistErrorKind::Evicted { to, .. } => Ok(to),
            _ => Err(error),
        },
    }
}

/// The record, and the index that the session has come to; `None` where there is no such session.
pub(crate) async fn state<D>(
    driver: &D,
    session_id: &str,
) -> Result<Option<(Option<SessionRecord>, u64)>, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    // The record first, so that it tells of no events beyond the index.
    let record = driver.get_session(session_id).await?;
    let last = last_index(driver, session_id).await?;
    // It may have been deleted in between.
    let is_there = last > 0 || (record.is_some() && driver.get_session(session_id).await?.is_some());
    Ok(is_there.then_some((record, last)))
}

/// What the session's events take, be it measured by the store or counted here.
pub(crate) async fn usage<D>(driver: &D, session_id: &str) -> Result<Usage, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    match driver.upkeep() {
        Some(upkeep) => SessionUpkeep::usage(upkeep, session_id).await,
        None => count_usage(driver, session_id).await,
    }
}

/// What the session's events take, counted by reading them; for a driver whose store can't tell.
pub async fn count_usage<D>(driver: &D, session_id: &str) -> Result<Usage, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let mut usage = Usage::default();
    let mut walk = Walk::new(session_id, 0, last_index(driver, session_id).await?);
    while let Some(step) = walk.next(driver).await? {
        if let Step::Events(events) = step {
            usage.events += events.len() as u64;
            usage.bytes += events.iter().map(|event| event.payload.get().len() as u64).sum::<u64>();
        }
    }
    Ok(usage)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{RawValue, Sender};

    fn event(from: u64, to: u64) -> SessionEvent {
        SessionEvent::new("e", to, "s", 0, "c", Sender::Agent, RawValue::NULL.to_owned()).standing_from(from)
    }

    #[test]
    fn a_hole_is_an_error_and_a_run_that_began_before_is_none() {
        let took = |after, events: &[(u64, u64)]| {
            let mut walk = Walk::new("s", after, 100);
            walk.took(events.iter().map(|(from, to)| event(*from, *to)).collect()).map(|_| walk.at())
        };
        assert_eq!(took(0, &[(1, 1), (2, 5), (6, 6)]).unwrap(), 6);
        assert_eq!(took(3, &[(2, 5), (6, 6)]).unwrap(), 6);
        for (after, events) in [
            (0, &[(2, 2)][..]),
            (3, &[(2, 3)]),
            (3, &[(4, 4), (6, 6)]),
            (3, &[(4, 4), (4, 5)]),
            (3, &[(4, 4), (4, 4)]),
        ] {
            let error = took(after, events).unwrap_err();
            assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{events:?}");
        }
    }
}
