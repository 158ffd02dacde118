//! Sentence 23: measuring and giving room back.

use super::Harness;
use super::kit::{Outcome, Subject, event, events, named, raw, run};
use crate::{Inserted, ListEventsRequest, ListSessionsRequest, SessionRecord, SessionUpkeep, Usage};

/// Sentence 23: `usage` counts the events that the session's lists give, and the bytes of their payloads; of an unknown session, none. `vacuum` changes nothing that a list gives.
///
/// Of a store without upkeep nothing is asked.
pub async fn usage_counts_what_lists_give(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(23, harness).await?;
    let Some(upkeep) = subject.store.upkeep() else { return Ok(()) };
    counts(&subject, upkeep, "session", "of which nothing is stored").await?;

    subject.update(SessionRecord::new("session", "codex", 1)).await?;
    counts(&subject, upkeep, "session", "with a record alone").await?;
    let mut stored = events("session", 1..=130);
    stored[4].payload = raw("\"é😀\\u00e9\"".to_owned());
    stored[5].payload = raw("{ \"spaced\" :\t[ 1 ,\r\n 2 ] }".to_owned());
    subject.insert_all(stored, Inserted::Stored, "new").await?;
    subject.insert(run("session", 131, 150), Inserted::Stored, "a run").await?;
    subject.insert_all(events("other", 1..=3), Inserted::Stored, "new").await?;
    counts(&subject, upkeep, "session", "with events and a run").await?;

    let again = subject.store.insert_event("session", event("session", 9)).await;
    subject.equal(&subject.ok(again, "insert_event")?, &Inserted::Duplicate, "insert_event, again")?;
    counts(&subject, upkeep, "session", "after a duplicate").await?;
    let folded = named("session", 60, "folded 3 to 60").standing_from(3);
    subject.equal(&subject.ok(upkeep.fold("session", folded).await, "fold")?, &true, "fold of 3 to 60")?;
    counts(&subject, upkeep, "session", "after a fold").await?;

    subject.insert_all(events("gone", 1..=40), Inserted::Stored, "new").await?;
    subject.update(SessionRecord::new("gone", "codex", 1)).await?;
    subject.ok(subject.store.delete_session("gone").await, "delete_session")?;
    counts(&subject, upkeep, "gone", "after it was deleted").await?;
    counts(&subject, upkeep, "other", "beside others").await?;
    vacuums(&subject, upkeep).await
}

async fn counts(subject: &Subject, upkeep: &dyn SessionUpkeep, session_id: &str, what: &str) -> Outcome {
    let listed = subject.events(ListEventsRequest::new(session_id)).await?;
    let bytes = listed.iter().map(|event| event.payload.get().len() as u64).sum();
    let want = Usage::new(listed.len() as u64, bytes);
    let what = format!("usage({session_id:?}), {what}");
    subject.equal(&subject.ok(upkeep.usage(session_id).await, &what)?, &want, &what)
}

async fn vacuums(subject: &Subject, upkeep: &dyn SessionUpkeep) -> Outcome {
    let session = subject.events(ListEventsRequest::new("session")).await?;
    let other = subject.events(ListEventsRequest::new("other")).await?;
    let records = subject.sessions(ListSessionsRequest::new()).await?;
    for next in [151, 152] {
        subject.ok(upkeep.vacuum().await, "vacuum")?;
        let known: Vec<_> = events("session", 151..next);
        subject.holds("session", &[session.clone(), known].concat(), "after vacuum").await?;
        subject.holds("other", &other, "after vacuum").await?;
        subject.equal(
            &subject.sessions(ListSessionsRequest::new()).await?,
            &records,
            "list_sessions after vacuum",
        )?;
        subject.insert(event("session", next), Inserted::Stored, "after vacuum").await?;
    }
    counts(subject, upkeep, "session", "after vacuum").await
}
