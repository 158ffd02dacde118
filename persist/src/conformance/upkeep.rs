//! Sentences 22 and 23: folding, measuring and giving room back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{JoinSet, yield_now};

use super::Harness;
use super::kit::{Outcome, Subject, event, events, named, raw, run};
use crate::{
    Inserted, ListEventsRequest, ListSessionsRequest, SessionEvent, SessionRecord, SessionUpkeep, Usage,
};

/// Sentence 22: `fold` puts one event in the place of those whose indexes it stands for, all at once: a reader sees either. Where the store does not hold just these indexes, or has the event's id, it changes nothing and gives `false`.
///
/// Of a store without upkeep nothing is asked.
pub async fn a_fold_takes_the_place_of_its_run(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(22, harness).await?;
    let Some(upkeep) = subject.store.upkeep() else { return Ok(()) };
    let s = "session";
    let mut held = events(s, 1..=20);
    subject.insert_all(held.clone(), Inserted::Stored, "new").await?;
    subject.insert_all(events("other", 1..=20), Inserted::Stored, "new").await?;
    subject.update(SessionRecord::new(s, "codex", 1)).await?;

    for (first, last, what) in [
        (5, 8, "in the middle"),
        (1, 3, "at the start"),
        (18, 20, "at the end"),
        (15, 15, "of a single event"),
        (4, 12, "with a run in it"),
        (1, 12, "made of runs"),
    ] {
        refused(&subject, upkeep, &held).await?;
        let at = format!("fold of {first} to {last}, {what}");
        let folded = folded(first, last);
        subject.equal(&subject.ok(upkeep.fold(s, folded.clone()).await, &at)?, &true, &at)?;
        let replaced = replace(&mut held, &folded);
        subject.holds(s, &held, &format!("after a {at}")).await?;

        subject.insert(named(s, 99, &folded.id), Inserted::Duplicate, "with the id of a run").await?;
        for event in replaced {
            if let Inserted::Stored =
                subject.ok(subject.store.insert_event(s, event).await, "insert_event")?
            {
                return subject
                    .broken(format!("{at}: an event that it replaced was stored again, at its index"));
            }
        }
    }
    refused(&subject, upkeep, &held).await?;
    let refused = Inserted::Conflict { next_index: 21 };
    subject.insert(named(s, 20, "late"), refused, "within a run").await?;
    held.push(event(s, 21));
    subject.insert(event(s, 21), Inserted::Stored, "after folds").await?;
    subject.holds(s, &held, "after folds").await?;
    let mut listed = subject.events(ListEventsRequest::new(s).descending().limit(1)).await?;
    listed.reverse();
    subject.equal(&listed, &held, "list_events after folds, newest first, turned round")?;
    subject.holds("other", &events("other", 1..=20), "beside folds").await?;
    subject.record(s, Some(SessionRecord::new(s, "codex", 1))).await?;

    between_pages(&subject, upkeep).await?;
    with_others(&subject, upkeep).await
}

fn folded(first: u64, last: u64) -> SessionEvent {
    named("session", last, &format!("folded {first} to {last}")).standing_from(first)
}

/// Puts the event in the place of those that it stands for, and gives these.
fn replace(held: &mut Vec<SessionEvent>, folded: &SessionEvent) -> Vec<SessionEvent> {
    let at = |index: u64| held.partition_point(|event| event.event_index < index);
    let run = at(folded.first_index())..at(folded.event_index) + 1;
    held.splice(run, [folded.clone()]).collect()
}

/// No fold that does not fit changes anything.
async fn refused(subject: &Subject, upkeep: &dyn SessionUpkeep, held: &[SessionEvent]) -> Outcome {
    let begins = |index| held.iter().any(|event| event.first_index() == index);
    let ends = |index| held.iter().any(|event| event.event_index == index);
    for (first, last) in [(6, 8), (5, 7), (2, 9), (1, 2), (17, 19), (19, 20), (4, 10), (13, 19)] {
        if !begins(first) || !ends(last) {
            let what = format!("fold of {first} to {last}, which cuts a run");
            is_refused(subject, upkeep, folded(first, last), &what).await?;
        }
    }
    let cases = [
        (folded(0, 4), "which begins before the first"),
        (folded(17, 21), "which ends beyond the last"),
        (folded(21, 25), "of what is not there"),
        (
            named("session", 14, &event("session", 13).id).standing_from(13),
            "with the id of an event of its run",
        ),
        (named("session", 14, &event("session", 17).id).standing_from(13), "with the id of another event"),
        (
            named("session", 14, &event("other", 1).id).standing_from(13),
            "with the id of another session's event",
        ),
        (run("unknown", 1, 2), "of a session of which nothing is stored"),
    ];
    for (event, what) in cases {
        is_refused(subject, upkeep, event, &format!("fold {what}")).await?;
    }
    if let Ok(got) = upkeep.fold("session", run("other", 1, 2)).await {
        return subject.broken(format!("fold of another session's event: got {got}, want an error"));
    }
    subject.holds("session", held, "after folds that don't fit").await?;
    subject.holds("unknown", &[], "after a fold").await
}

async fn is_refused(
    subject: &Subject,
    upkeep: &dyn SessionUpkeep,
    event: SessionEvent,
    what: &str,
) -> Outcome {
    let session_id = event.session_id.clone();
    subject.equal(&subject.ok(upkeep.fold(&session_id, event).await, what)?, &false, what)
}

/// A cursor goes on behind a run that was folded over it, and repeats just that.
async fn between_pages(subject: &Subject, upkeep: &dyn SessionUpkeep) -> Outcome {
    let s = "paged";
    subject.insert_all(events(s, 1..=12), Inserted::Stored, "new").await?;
    let up = ListEventsRequest::new(s).limit(5);
    let down = up.clone().descending();
    let (first_up, first_down) = (subject.page(up.clone()).await?, subject.page(down.clone()).await?);
    let folded = named(s, 9, "over both cursors").standing_from(4);
    let done = subject.ok(upkeep.fold(s, folded.clone()).await, "fold between pages")?;
    subject.equal(&done, &true, "fold between pages")?;
    for (request, page, behind) in [
        (up, first_up, [folded.clone(), event(s, 10), event(s, 11), event(s, 12)]),
        (down, first_down, [folded, event(s, 3), event(s, 2), event(s, 1)]),
    ] {
        let Some(cursor) = page.next_cursor else {
            return subject.broken("a page of 5 in a list of 12 has no next_cursor");
        };
        let rest = subject.events(request.cursor(cursor)).await?;
        subject.equal(
            &rest,
            &behind.to_vec(),
            "what comes after a page, once a run was folded over its end",
        )?;
    }
    Ok(())
}

/// Whoever reads while others fold and insert sees whole sessions.
async fn with_others(subject: &Subject, upkeep: &dyn SessionUpkeep) -> Outcome {
    const FIRST: u64 = 128;
    const LAST: u64 = 160;
    let s = "busy";
    subject.insert_all(events(s, 1..=FIRST), Inserted::Stored, "new").await?;
    let done = Arc::new(AtomicBool::new(false));
    let mut others = JoinSet::new();
    for _ in 0..3 {
        let (subject, done) = (subject.clone(), done.clone());
        others.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                is_whole(&subject, s, FIRST).await?;
                yield_now().await;
            }
            Ok(())
        });
    }
    let inserting = subject.clone();
    others.spawn(async move {
        for index in FIRST + 1..=LAST {
            inserting.insert(event(s, index), Inserted::Stored, "while others fold").await?;
        }
        Ok(())
    });

    // First two events each, then two of these runs, and so on: many folds, so that readers meet some,
    // and a reader for each.
    let mut held = events(s, 1..=LAST);
    let widths = (1..=7).map(|halves| 1 << halves);
    for (first, last) in
        widths.flat_map(|width| (1..FIRST).step_by(width).zip((0..=FIRST).step_by(width).skip(1)))
    {
        let folded = named(s, last, &format!("busy {first} to {last}")).standing_from(first);
        let what = format!("fold of {first} to {last} while others read and insert");
        let (got, seen) = tokio::join!(upkeep.fold(s, folded.clone()), is_whole(subject, s, FIRST));
        subject.equal(&subject.ok(got, &what)?, &true, &what)?;
        seen?;
        replace(&mut held, &folded);
    }
    done.store(true, Ordering::Relaxed);
    while let Some(other) = others.join_next().await {
        match other {
            Ok(outcome) => outcome?,
            Err(_) => return subject.broken("a call panicked while others folded"),
        }
    }
    subject.holds(s, &held, "after folds and inserts at once").await
}

async fn is_whole(subject: &Subject, session_id: &str, last: u64) -> Outcome {
    let page = subject.page(ListEventsRequest::new(session_id).limit(usize::MAX)).await?;
    let mut next = 1;
    for event in &page.items {
        if event.first_index() != next {
            let runs: Vec<_> = page.items.iter().map(SessionEvent::indexes).collect();
            return subject
                .broken(format!("list_events while others fold: no event begins at {next}: {runs:?}"));
        }
        next = event.event_index + 1;
    }
    if next > last {
        return Ok(());
    }
    subject.broken(format!("list_events while others fold: ends before {next}, and {last} events were there"))
}

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
    subject.equal(
        &subject.ok(upkeep.fold("session", folded(3, 60)).await, "fold")?,
        &true,
        "fold of 3 to 60",
    )?;
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
