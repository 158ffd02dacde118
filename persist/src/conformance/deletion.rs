//! Sentences 15 to 17: deletion and eviction.

use super::kit::{Outcome, Subject, event, events, indexes};
use super::{EVICTS_BY, HOLDS, Harness};
use crate::{Inserted, ListEventsRequest, ListSessionsRequest, PersistErrorKind, SessionRecord};

/// Sentence 15: `delete_session` removes the record and all its events, touches no other session, and is no error for an unknown id. A session that comes again under the id begins at 1.
pub async fn deletion_takes_one_session_whole(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(15, harness).await?;
    let record = |id: &str| SessionRecord::new(id, "codex", 1);
    for id in ["gone", "gone.1", "kept"] {
        subject.update(record(id)).await?;
        subject.insert_all(events(id, 1..=5), Inserted::Stored, "new").await?;
    }
    subject.insert_all(events("no record", 1..=2), Inserted::Stored, "new").await?;

    for id in ["gone", "no record", "gone", "never there"] {
        subject.ok(subject.store.delete_session(id).await, &format!("delete_session({id:?})"))?;
        subject.record(id, None).await?;
        subject.holds(id, &[], "after it was deleted").await?;
    }
    let listed = subject.sessions(ListSessionsRequest::new()).await?;
    let want = vec![record("gone.1"), record("kept")];
    subject.equal(&listed, &want, "list_sessions after a deletion")?;
    subject.holds("gone.1", &events("gone.1", 1..=5), "beside a deleted one").await?;
    subject.holds("kept", &events("kept", 1..=5), "beside a deleted one").await?;

    let again = events("gone", 1..=2);
    subject.insert_all(again.clone(), Inserted::Stored, "of a session that was deleted").await?;
    subject.holds("gone", &again, "begun again").await
}

/// Sentence 16: a store that evicts drops only the oldest events of a session, or a session whole, and never gives an index out again.
///
/// One that does not evict must hold them all.
pub async fn eviction_takes_only_the_oldest(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(16, harness).await?;
    let oldest = fill(&subject).await?;
    if !subject.promised.evicts {
        return subject.equal(&oldest, &1, "the oldest event of a store that evicts nothing");
    }
    let held = EVICTS_BY - oldest + 1;
    if oldest == 1 || held < HOLDS {
        return subject.broken(format!(
            "of {EVICTS_BY} events {held} are held; set the harness's limits to hold {HOLDS} and to evict by {EVICTS_BY}"
        ));
    }
    let want = events("session", oldest..=EVICTS_BY);
    subject.holds("session", &want, "after evictions").await?;

    let next_index = EVICTS_BY + 1;
    for index in [1, oldest - 1] {
        let late = super::kit::named("session", index, &format!("late {index}"));
        let refused = Inserted::Conflict { next_index };
        subject.insert(late, refused, "which was evicted").await?;
    }
    subject.insert(event("session", next_index), Inserted::Stored, "after evictions").await
}

/// Sentence 17: a list that is asked to begin at an evicted event, by `after_index`, `before_index` or cursor, is an `Evicted { from, to }` error. With no position given, the list begins or ends at the oldest event held.
pub async fn an_evicted_position_is_an_error(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(17, harness).await?;
    if !subject.promised.evicts {
        return Ok(());
    }
    let all = || ListEventsRequest::new("session");
    subject.insert_all(events("session", 1..=3), Inserted::Stored, "new").await?;
    let cursor = subject.page(all().limit(1)).await?.next_cursor;
    let oldest = fill(&subject).await?;
    let gone = oldest - 1;
    if gone < 3 {
        return subject.broken(format!("of {EVICTS_BY} events only {gone} were evicted"));
    }

    let mut positions = vec![
        (all().after_index(0), 1, "after_index 0"),
        (all().after_index(gone - 1), gone, "after_index before the last that is gone"),
    ];
    if let Some(cursor) = cursor {
        positions.push((all().cursor(cursor), 2, "a cursor at 1"));
    }
    for (request, from, what) in positions {
        let want = PersistErrorKind::Evicted { from, to: gone };
        subject.error(subject.store.list_events(request).await, want, what)?;
    }
    let request = all().descending().before_index(oldest);
    match subject.store.list_events(request).await {
        Err(error) if matches!(error.kind(), PersistErrorKind::Evicted { to, .. } if to == gone) => {}
        got => {
            return subject.broken(format!(
                "newest first, before_index {oldest}: got {got:?}, want Evicted up to {gone}"
            ));
        }
    }

    let page = subject.page(all().after_index(gone).limit(1)).await?;
    subject.equal(&indexes(&page.items), &vec![oldest], "after_index at the last that is gone")?;
    let request = all().descending().before_index(oldest + 1);
    let page = subject.page(request).await?;
    subject.equal(&indexes(&page.items), &vec![oldest], "before_index after the oldest held")?;
    let want: Vec<_> = (oldest..=EVICTS_BY).collect();
    let listed = subject.events(all()).await?;
    subject.equal(&indexes(&listed), &want, "no position, oldest first")?;
    let mut listed = subject.events(all().descending()).await?;
    listed.reverse();
    subject.equal(&indexes(&listed), &want, "no position, newest first, turned round")
}

/// Inserts up to [`EVICTS_BY`] events and gives the index of the oldest held.
async fn fill(subject: &Subject) -> Outcome<u64> {
    let newest = ListEventsRequest::new("session").descending().limit(1);
    let mut next = indexes(&subject.page(newest).await?.items).first().map_or(1, |last| last + 1);
    while next <= EVICTS_BY {
        let last = (next + 99).min(EVICTS_BY);
        subject.insert_all(events("session", next..=last), Inserted::Stored, "new").await?;
        next = last + 1;
    }
    let oldest = subject.page(ListEventsRequest::new("session").limit(1)).await?;
    match indexes(&oldest.items).first() {
        Some(index) => Ok(*index),
        None => subject.broken(format!("of {EVICTS_BY} events none is held")),
    }
}
