//! Sentences 10 and 11: many calls at once, and calls that are dropped.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::Harness;
use super::kit::{Outcome, Subject, event, handles, named, polled};
use crate::{Inserted, ListEventsRequest};

/// Sentence 10: of many inserts at once with the same index, exactly one is `Stored`.
///
/// Needs a runtime of several threads to prove much.
pub async fn of_many_at_once_exactly_one_is_stored(harness: &dyn Harness) -> Outcome {
    const WRITERS: usize = 24;
    let subject = Subject::new(10, harness).await?;
    let handles = handles(&subject, harness).await?;

    let mut winners = Vec::new();
    for index in 1..=15 {
        let start = Arc::new(Barrier::new(WRITERS));
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let event = named("session", index, &format!("{index}.{number}"));
            let store = handles[number % handles.len()].store.clone();
            let start = start.clone();
            writers.spawn(async move {
                start.wait().await;
                let inserted = store.insert_event("session", event.clone()).await;
                (event, inserted)
            });
        }
        let mut stored = Vec::new();
        while let Some(written) = writers.join_next().await {
            let Ok((event, inserted)) = written else {
                return subject.broken("insert_event panicked");
            };
            match subject.ok(inserted, "insert_event among many")? {
                Inserted::Stored => stored.push(event),
                lost => {
                    let next_index = index + 1;
                    let want = Inserted::Conflict { next_index };
                    subject.equal(&lost, &want, "insert_event that was not the first")?;
                }
            }
        }
        let what = format!("how many of {WRITERS} inserts at index {index} were stored");
        subject.equal(&stored.len(), &1, &what)?;
        winners.append(&mut stored);
    }
    subject.holds("session", &winners, "after many inserts at once").await
}

/// Sentence 11: a call that is dropped before it returned has stored its events whole, as a prefix, or not at all.
pub async fn a_dropped_call_leaves_nothing_torn(harness: &dyn Harness) -> Outcome {
    const ROUNDS: u64 = 40;
    const BATCH: u64 = 5;
    let subject = Subject::new(11, harness).await?;
    let mut next_index = 1;
    for round in 0..ROUNDS {
        let batch: Vec<_> = (0..BATCH)
            .map(|place| named("session", next_index + place, &format!("{round}.{place}")))
            .collect();
        // Dropped after one poll, two polls, …: each leaves it at another of its awaits.
        let insert = subject.store.insert_events("session", batch.clone());
        let polls = round % 8;
        tokio::select! {
            biased;
            inserted = insert => {
                let inserted = subject.ok(inserted, "insert_events")?;
                subject.equal(&inserted, &Inserted::Stored, "insert_events, not dropped")?;
            }
            () = polled(polls) => {}
        }

        // What is still on its way comes to nothing once another event has its index.
        next_index = settle(&subject, next_index, round).await?;
        let listed = subject.events(ListEventsRequest::new("session")).await?;
        let held: HashMap<_, _> = listed.iter().map(|event| (&event.id, event)).collect();
        let kept = batch.iter().take_while(|event| held.contains_key(&event.id)).count();
        for (place, event) in batch.iter().enumerate() {
            let held = held.get(&event.id).copied();
            let want = (place < kept).then_some(event);
            subject.equal(&held, &want, "an event of a dropped call, whose first were stored")?;
            let (index, want) = match want {
                Some(_) => (next_index, Inserted::Duplicate),
                None => (next_index, Inserted::Stored),
            };
            let again = named("session", index, &event.id);
            subject.insert(again, want, "an event of a dropped call, again").await?;
            next_index += u64::from(want == Inserted::Stored);
        }
    }
    let listed = subject.events(ListEventsRequest::new("session")).await?;
    let got: Vec<_> = listed.iter().map(|event| event.event_index).collect();
    let want: Vec<_> = (1..next_index).collect();
    subject.equal(&got, &want, "the indexes after dropped calls")
}

/// Stores an event wherever it fits, and gives the index after it.
async fn settle(subject: &Subject, mut next_index: u64, round: u64) -> Outcome<u64> {
    let id = event("settled", round).id;
    for _ in 0..100 {
        let probe = named("session", next_index, &id);
        let inserted = subject.store.insert_event("session", probe).await;
        match subject.ok(inserted, "insert_event after a dropped call")? {
            Inserted::Stored => return Ok(next_index + 1),
            Inserted::Conflict { next_index: next } => next_index = next,
            Inserted::Duplicate => return subject.broken("a new id was a duplicate"),
        }
    }
    subject.broken("insert_event after a dropped call: a hundred conflicts, and nobody else writes")
}
