//! Sentence 18: durability.

use super::Harness;
use super::kit::{Outcome, Subject, events};
use crate::{Inserted, SessionRecord};

/// Sentence 18: with `durable`, what an insert or update returned for is there when the store is opened again without having been closed.
pub async fn what_returned_survives_reopening(harness: &dyn Harness) -> Outcome {
    let first = Subject::new(18, harness).await?;
    if !first.promised.durable {
        return Ok(());
    }
    let mut subject = first.clone();
    // The handles before stay open, as those of a process that died would have.
    let mut open = vec![first];
    for round in 1..=3 {
        let record = SessionRecord::new("session", "codex", round);
        let last = round.unsigned_abs() * 10;
        let mut new = events("session", last - 9..=last);
        let alone = new.split_off(9);
        subject.update(record.clone()).await?;
        subject.insert_all(new, Inserted::Stored, "after an opening").await?;
        for event in alone {
            subject.insert(event, Inserted::Stored, "after an opening").await?;
        }

        let Some(store) = harness.reopen().await else {
            return subject.broken("the harness of a durable store must give one from reopen()");
        };
        subject = subject.on(store)?;
        subject.record("session", Some(record)).await?;
        subject.holds("session", &events("session", 1..=last), "opened again").await?;
        open.push(subject.clone());
    }
    Ok(())
}
