//! Sentences 27 and 28: what a lease keeps others from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::yield_now;

use super::kit::{Outcome, Subject, event, events, named};
use super::tenure::{LONG, Tenure, tenures};
use super::{HOLDS, Harness};
use crate::{Inserted, ListEventsRequest, SessionEvent, SessionPersistDriver, SessionRecord};

/// Sentence 27: while a lease is in force, a write to its session through anything but the driver of `fenced` for that lease is a `Fenced` error, whatever else would come of it, and changes nothing: insert, update, fold and delete. Other sessions and reads are free.
///
/// Of a store without leases nothing is asked.
pub async fn a_lease_in_force_fences_others(harness: &dyn Harness) -> Outcome {
    let Some(tenures) = tenures(27, harness).await? else { return Ok(()) };
    let [a, b] = &tenures;
    // One session has nothing when the lease begins, the other one has all.
    fill(&a.subject, "filled").await?;
    fill(&a.subject, "free").await?;
    let elsewhere = b.granted("elsewhere", "b", LONG).await?;
    for s in ["empty", "filled"] {
        let lease = a.granted(s, "a", LONG).await?;
        let free_at = if s == "empty" { 1 } else { 4 };
        for tenure in &tenures {
            for (store, who) in [
                (tenure.subject.store.clone(), "a plain handle"),
                (tenure.fenced(&elsewhere)?, "the driver for another session's lease"),
            ] {
                is_kept_out(tenure, store, s, free_at, who).await?;
            }
        }
        let own = a.subject.on(a.fenced(&lease)?)?;
        let other = b.subject.on(b.fenced(&lease)?)?;
        fill(&own, s).await?;
        own.holds(s, &events(s, 1..=free_at + 2), "written by who has the lease").await?;
        may_do_all(&other, s, free_at + 3).await?;
        is_free(&own, "free", "by the driver for another one's lease").await?;
        is_free(&b.subject, "free", "beside leases").await?;
        let deleted = own.store.delete_session(s).await;
        own.ok(deleted, "delete_session by who has the lease")?;
        b.subject.holds(s, &[], "deleted by who has the lease").await?;
    }
    Ok(())
}

/// Sentence 28: a write through the driver of `fenced` for a lease that was released, or that another one took the place of, is a `Fenced` error and changes nothing. One that has expired is good for as long as nobody takes it.
///
/// Of a store without leases nothing is asked.
pub async fn a_lease_that_is_over_writes_nothing(harness: &dyn Harness) -> Outcome {
    let Some([a, b]) = tenures(28, harness).await? else { return Ok(()) };
    let s = "filled";
    fill(&a.subject, s).await?;
    let first = a.granted(s, "a", LONG).await?;
    let store = a.fenced(&first)?;
    let second = a.granted(s, "a", LONG).await?;
    is_kept_out(&a, store.clone(), s, 4, "the driver for an earlier lease of the same holder").await?;
    let taken = b.taken(s, "b", LONG).await?;
    is_kept_out(&a, a.fenced(&second)?, s, 4, "the driver for a lease that was taken over").await?;
    is_kept_out(&b, b.fenced(&first)?, s, 4, "a driver made late, for a lease that is over").await?;
    b.released(&taken).await?;
    for (lease, who) in [
        (&first, "the driver for a lease before the last one, which was released"),
        (&second, "the driver for a lease that was taken over, and the next one released"),
        (&taken, "the driver for a lease that was released"),
    ] {
        is_kept_out(&a, b.fenced(lease)?, s, 4, who).await?;
    }
    is_kept_out(&a, store, s, 4, "the driver for an earlier lease, kept all the time").await?;
    fill(&b.subject, s).await?;

    let (_, expired) = a.expired(s, "a").await?;
    let own = a.subject.on(a.fenced(&expired)?)?;
    fill(&own, s).await?;
    own.holds(s, &events(s, 1..=9), "written after the lease expired").await?;
    let next = b.granted(s, "b", LONG).await?;
    is_kept_out(&a, own.store.clone(), s, 10, "the driver for a lease that expired and was granted anew")
        .await?;
    b.writes(&next, "who has the lease now").await?;
    b.released(&next).await?;
    let (_, short) = b.expired(s, "c").await?;
    is_kept_out(&a, own.store, s, 11, "the driver for a lease before one that expired").await?;
    b.writes(&short, "whose lease expired, and nobody took it").await?;
    nothing_comes_after_a_take_over(&a, &b).await
}

/// Three events and a record.
async fn fill(subject: &Subject, s: &str) -> Outcome {
    let newest = ListEventsRequest::new(s).descending().limit(1);
    let next = subject.page(newest).await?.items.first().map_or(1, |last| last.event_index + 1);
    subject.insert(event(s, next), Inserted::Stored, "of a session that may be written").await?;
    let batch = events(s, next + 1..=next + 2);
    subject.insert_all(batch, Inserted::Stored, "of a session that may be written").await?;
    subject.update(SessionRecord::new(s, "codex", 1)).await
}

/// Every write of this session is a `Fenced` error, and what it has stays.
async fn is_kept_out(
    tenure: &Tenure,
    store: Arc<dyn SessionPersistDriver>,
    s: &str,
    next: u64,
    who: &str,
) -> Outcome {
    let subject = &tenure.subject;
    let held = subject.events(ListEventsRequest::new(s)).await?;
    let record = subject.ok(subject.store.get_session(s).await, "get_session")?;
    let id = format!("kept out {next}");
    let what = |call: &str| format!("{call} of {s:?}, which another lease fences, by {who}");

    let event = named(s, next, &id);
    tenure.is_fenced(store.insert_event(s, event).await, &what("insert_event"))?;
    let hole = named(s, next + 5, &id);
    tenure.is_fenced(store.insert_event(s, hole).await, &what("insert_event beyond the next index"))?;
    if let Some(known) = held.last() {
        let again = store.insert_event(s, known.clone()).await;
        tenure.is_fenced(again, &what("insert_event of a known event"))?;
    }
    let batch = vec![named(s, next, &id), named(s, next + 1, &format!("{id}, the second"))];
    tenure.is_fenced(store.insert_events(s, batch).await, &what("insert_events"))?;
    let update = SessionRecord::new(s, "kept out", 2);
    tenure.is_fenced(store.update_session(update).await, &what("update_session"))?;
    if let (Some(upkeep), [first, .., last]) = (store.upkeep(), held.as_slice()) {
        let folded = named(s, last.event_index, &id).standing_from(first.first_index());
        tenure.is_fenced(upkeep.fold(s, folded).await, &what("fold"))?;
    }
    tenure.is_fenced(store.delete_session(s).await, &what("delete_session"))?;

    let kept = |what| format!("{what} by {who}");
    let reader = subject.on(store)?;
    for reader in [subject, &reader] {
        reader.holds(s, &held, &kept("after writes that were refused")).await?;
        reader.record(s, record.clone()).await?;
    }
    Ok(())
}

/// Whoever has the lease folds, by whichever handle.
async fn may_do_all(own: &Subject, s: &str, next: u64) -> Outcome {
    own.insert(event(s, next), Inserted::Stored, "by who has the lease, through another handle").await?;
    if let Some(upkeep) = own.store.upkeep() {
        let folded = named(s, 2, &format!("folded {s}")).standing_from(1);
        let got = own.ok(upkeep.fold(s, folded.clone()).await, "fold by who has the lease")?;
        own.equal(&got, &true, "fold by who has the lease")?;
        let held: Vec<SessionEvent> = [vec![folded], events(s, 3..=next)].concat();
        own.holds(s, &held, "after a fold by who has the lease").await?;
    }
    Ok(())
}

async fn is_free(subject: &Subject, s: &str, what: &str) -> Outcome {
    fill(subject, s).await?;
    subject.record(s, Some(SessionRecord::new(s, "codex", 1))).await?;
    let upkeep = subject.store.upkeep();
    let listed = subject.events(ListEventsRequest::new(s)).await?;
    if let (Some(upkeep), [.., before, last]) = (upkeep, listed.as_slice()) {
        let id = format!("folded {s} at {}", last.event_index);
        let folded = named(s, last.event_index, &id).standing_from(before.first_index());
        subject.equal(&subject.ok(upkeep.fold(s, folded).await, what)?, &true, &format!("fold {what}"))?;
    }
    subject.ok(subject.store.delete_session("nothing").await, &format!("delete_session {what}"))
}

/// When `take_over` returned, all that the holder before ever stores is stored.
async fn nothing_comes_after_a_take_over(a: &Tenure, b: &Tenure) -> Outcome {
    for round in 0..8 {
        let s = format!("raced for {round}");
        let lease = a.granted(&s, "a", LONG).await?;
        let writer = a.subject.on(a.fenced(&lease)?)?;
        let (begun, writing) = (Arc::new(AtomicBool::new(false)), s.clone());
        let told = begun.clone();
        let writes = tokio::spawn(async move {
            for attempt in 1.. {
                if attempt > 3 + round {
                    told.store(true, Ordering::Relaxed);
                }
                // No more than a store that evicts must hold; after that the last one again.
                let index = attempt.min(HOLDS);
                match writer.store.insert_event(&writing, event(&writing, index)).await {
                    Ok(Inserted::Stored) if attempt <= HOLDS => {}
                    Ok(Inserted::Duplicate) if attempt > HOLDS => {}
                    Err(error) if error.is_fenced() => return Ok(attempt.min(HOLDS + 1)),
                    got => {
                        return writer.broken(format!("insert_event at {index} of a fenced driver: {got:?}"));
                    }
                }
                yield_now().await;
            }
            writer.broken("no insert by whose lease was taken over was refused")
        });
        while !begun.load(Ordering::Relaxed) && !writes.is_finished() {
            yield_now().await;
        }
        let taken = b.taken(&s, "b", LONG).await?;
        let at_once = b.subject.events(ListEventsRequest::new(&s)).await?;
        let next = match writes.await {
            Ok(outcome) => outcome?,
            Err(_) => return a.subject.broken("insert_event panicked"),
        };
        b.subject.holds(&s, &at_once, "once the last holder is fenced, and as take_over left it").await?;
        let stored = events(&s, 1..next);
        b.subject.holds(&s, &stored, "which is what was stored before the take-over").await?;
        b.writes(&taken, "who took over").await?;
    }
    Ok(())
}
