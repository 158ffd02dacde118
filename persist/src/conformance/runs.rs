//! Sentences 20 and 21: events that stand for a run of indexes.

use super::Harness;
use super::kit::{Outcome, Subject, event, named, run};
use crate::{Inserted, ListEventsRequest, SessionEvent};

/// Sentence 20: an event that stands for a run takes all its indexes: it begins at `first_index`, and the next event after its last. It comes back with its run.
pub async fn a_run_takes_all_its_indexes(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(20, harness).await?;
    let mut held = Vec::new();
    let store = [run("session", 1, 4), event("session", 5), run("session", 6, 7), run("session", 8, 20)];
    for next in store {
        refuses_all_but(next.first_index(), &subject).await?;
        subject.insert(next.clone(), Inserted::Stored, "a run or an event that begins at the next").await?;
        held.push(next);
        subject.holds("session", &held, "after an insert").await?;
    }
    refuses_all_but(21, &subject).await?;

    let known = named("session", 25, &held[2].id).standing_from(21);
    subject.insert(known, Inserted::Duplicate, "a run with a known id").await?;
    let batch =
        vec![event("session", 21), run("session", 22, 24), run("session", 25, 25), run("session", 26, 90)];
    subject.insert_all(batch.clone(), Inserted::Stored, "with runs in it").await?;
    held.extend(batch);
    let torn = vec![run("session", 91, 92), run("session", 94, 95), event("session", 93)];
    let refused = Inserted::Conflict { next_index: 93 };
    subject.insert_all(torn.clone(), refused, "with a run in it that begins after the next").await?;
    held.extend(torn.into_iter().take(1));

    subject.holds("session", &held, "after batches").await?;
    let mut listed = subject.events(ListEventsRequest::new("session").descending()).await?;
    listed.reverse();
    subject.equal(&listed, &held, "list_events, newest first, turned round")?;
    if subject.promised.durable
        && let Some(store) = harness.reopen().await
    {
        subject.on(store)?.holds("session", &held, "opened again").await?;
    }
    Ok(())
}

/// What begins elsewhere than at the next index, or is within a run that is held, is a conflict.
async fn refuses_all_but(next_index: u64, subject: &Subject) -> Outcome {
    let refused = Inserted::Conflict { next_index };
    for (first, last) in [
        (next_index - 1, next_index - 1),
        (next_index - 1, next_index),
        (next_index.saturating_sub(3), next_index + 3),
        (1, next_index + 9),
        (next_index + 1, next_index + 1),
        (next_index + 1, next_index + 4),
    ] {
        if first != next_index {
            let other = named("session", last, &format!("refused {next_index} {first} {last}"));
            let what = format!("a run that begins at {first}");
            subject.insert(other.standing_from(first), refused, &what).await?;
        }
    }
    Ok(())
}

/// Sentence 21: a run is in a list if any of its indexes is within the bounds, and once whatever the pages.
pub async fn a_run_is_listed_once_if_any_index_is_within(harness: &dyn Harness) -> Outcome {
    const LAST: u64 = 9;
    let subject = Subject::new(21, harness).await?;
    let s = "session";
    let held = vec![event(s, 1), run(s, 2, 4), event(s, 5), run(s, 6, 8), event(s, LAST)];
    subject.insert_all(held.clone(), Inserted::Stored, "with runs in it").await?;
    subject.insert(run("all", 1, LAST), Inserted::Stored, "a run that is all there is").await?;

    let bounds = || [None].into_iter().chain((0..=LAST + 1).map(Some));
    for (after, before) in bounds().flat_map(|after| bounds().map(move |before| (after, before))) {
        for limit in [1, 0] {
            let mut request = ListEventsRequest::new(s).limit(limit);
            request.after_index = after;
            request.before_index = before;
            let want: Vec<&SessionEvent> =
                held.iter().filter(|event| event.is_within((after, before))).collect();
            listed(&subject, request.clone(), &want).await?;
            let newest_first: Vec<_> = want.into_iter().rev().collect();
            listed(&subject, request.descending(), &newest_first).await?;
        }
        let mut request = ListEventsRequest::new("all");
        request.after_index = after;
        request.before_index = before;
        let within = run("all", 1, LAST);
        let want: Vec<_> = [&within].into_iter().filter(|run| run.is_within((after, before))).collect();
        listed(&subject, request.clone(), &want).await?;
        listed(&subject, request.descending(), &want).await?;
    }
    Ok(())
}

async fn listed(subject: &Subject, request: ListEventsRequest, want: &[&SessionEvent]) -> Outcome {
    let what = format!("{request:?}, page by page");
    let got = subject.events(request).await?;
    let runs = |events: &[&SessionEvent]| events.iter().map(|event| event.indexes()).collect::<Vec<_>>();
    let got: Vec<_> = got.iter().collect();
    subject.equal(&runs(&got), &runs(want), &format!("the indexes of {what}"))?;
    subject.equal(&got.as_slice(), &want, &what)
}
