//! Sentence 24: following.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Harness;
use super::kit::{Outcome, Subject, event, events, handles, named, polled, run};
use crate::{Inserted, PersistError, SessionFollow, SessionPersistDriver};

/// How long whoever waits may stay without being told; far more than any store needs.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Sentence 24: `changed` returns once the session has an event after `after_index`, whoever stored it through whichever handle or process, and at once when it has one already. It gives an index that the session has come to.
///
/// Of a store that can't be followed nothing is asked.
pub async fn whoever_waits_is_told(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(24, harness).await?;
    if subject.store.follow().is_none() {
        return Ok(());
    }
    let handles = handles(&subject, harness).await?;
    what_is_there_is_told_at_once(&handles).await?;
    for (place, waiter) in handles.iter().enumerate() {
        for (other, writer) in handles.iter().enumerate() {
            waits_for_its_own(waiter, writer, &format!("waited for {place} {other}")).await?;
        }
    }
    dropped_calls_do_no_harm(&handles).await?;
    many_wait_at_once(&handles).await
}

async fn what_is_there_is_told_at_once(handles: &[Subject]) -> Outcome {
    let subject = &handles[0];
    subject.insert_all(events("there", 1..=5), Inserted::Stored, "new").await?;
    subject.insert(run("there", 6, 9), Inserted::Stored, "a run").await?;
    for handle in handles {
        for after in 0..9 {
            told(handle, "there", after, 9, changed(handle, "there", after)?).await?;
        }
    }
    Ok(())
}

/// It waits while nothing is stored that it waits for, and is told when it is.
async fn waits_for_its_own(waiter: &Subject, writer: &Subject, s: &str) -> Outcome {
    for last in 0..4 {
        let mut waiting = changed(waiter, s, last)?;
        let others = async {
            for index in 1..=5 {
                let other = format!("beside {s} at {last}");
                writer.insert(event(&other, index), Inserted::Stored, "of another session").await?;
                polled(2).await;
            }
            let refused = Inserted::Conflict { next_index: last + 1 };
            writer.insert(event(s, last + 7), refused, "which is not the next").await?;
            if let Some(upkeep) = writer.store.upkeep()
                && last == 3
            {
                let folded = named(s, 2, &format!("folded {s}")).standing_from(1);
                writer.equal(&writer.ok(upkeep.fold(s, folded).await, "fold")?, &true, "fold of 1 to 2")?;
            }
            polled(10).await;
            Ok(())
        };
        still_waits(waiter, &mut waiting, others).await?;
        writer.insert(event(s, last + 1), Inserted::Stored, "which is waited for").await?;
        told(waiter, s, last, last + 1, waiting).await?;
    }
    Ok(())
}

/// Nobody is told of anything while this goes on.
async fn still_waits(
    waiter: &Subject,
    waiting: &mut Waiting,
    meanwhile: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::select! {
        biased;
        early = waiting => waiter.broken(format!(
            "changed, of a session without an event after that index: returned {early:?}"
        )),
        outcome = meanwhile => outcome,
    }
}

async fn dropped_calls_do_no_harm(handles: &[Subject]) -> Outcome {
    let s = "dropped";
    for (last, (waiter, writer)) in (0..30).zip(handles.iter().zip(handles.iter().rev()).cycle()) {
        let (mut kept, mut dropped) = (changed(waiter, s, last)?, changed(waiter, s, last)?);
        let meanwhile = async {
            polled(last % 5).await;
            Ok(())
        };
        still_waits(waiter, &mut kept, still_waits(waiter, &mut dropped, meanwhile)).await?;
        drop(dropped);
        writer.insert(event(s, last + 1), Inserted::Stored, "after a dropped call").await?;
        told(waiter, s, last, last + 1, kept).await?;
    }
    Ok(())
}

async fn many_wait_at_once(handles: &[Subject]) -> Outcome {
    const SESSIONS: usize = 20;
    const EACH: usize = 6;
    let all_wait = Arc::new(Barrier::new(SESSIONS * EACH + 1));
    let mut waiters = JoinSet::new();
    for number in 0..SESSIONS {
        for (place, handle) in (0..EACH).zip(handles.iter().cycle()) {
            let (s, handle) = (format!("many {number}"), handle.clone());
            let all_wait = all_wait.clone();
            waiters.spawn(async move {
                // Some follow every event, and some wait for the last one alone.
                let first = if place % 2 == 0 { 0 } else { 2 };
                let mut waiting = changed(&handle, &s, first)?;
                let begun = still_waits(&handle, &mut waiting, async {
                    polled(3).await;
                    Ok(())
                });
                let begun = begun.await;
                all_wait.wait().await;
                begun?;
                told(&handle, &s, first, 3, waiting).await?;
                for after in first + 1..3 {
                    told(&handle, &s, after, 3, changed(&handle, &s, after)?).await?;
                }
                Ok(())
            });
        }
    }
    all_wait.wait().await;
    for index in 1..=3 {
        for (number, handle) in (0..SESSIONS).zip(handles.iter().cycle()) {
            let s = format!("many {number}");
            handle.insert(event(&s, index), Inserted::Stored, "with many that wait").await?;
        }
    }
    while let Some(waiter) = waiters.join_next().await {
        match waiter {
            Ok(outcome) => outcome?,
            Err(_) => return handles[0].broken("changed panicked"),
        }
    }
    Ok(())
}

type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<u64, PersistError>> + Send>>;

fn changed(subject: &Subject, session_id: &str, after_index: u64) -> Outcome<Waiting> {
    if subject.store.follow().is_none() {
        return subject.broken("another handle can't be followed");
    }
    let (store, session_id) = (subject.store.clone(), session_id.to_owned());
    Ok(Box::pin(async move { follow(&store)?.changed(&session_id, after_index).await }))
}

fn follow(store: &Arc<dyn SessionPersistDriver>) -> Result<&dyn SessionFollow, PersistError> {
    let gone = || PersistError::new(crate::PersistErrorKind::Other, "follow() gives nothing any more");
    store.follow().ok_or_else(gone)
}

async fn told(subject: &Subject, session_id: &str, after: u64, last: u64, waiting: Waiting) -> Outcome {
    let what = format!("changed({session_id:?}, {after}), and the session's last index is at most {last}");
    let Ok(told) = timeout(TOLD_WITHIN, waiting).await else {
        return subject.broken(format!("{what}: still waits {TOLD_WITHIN:?} after the insert"));
    };
    let got = subject.ok(told, &what)?;
    if got > after && got <= last {
        return Ok(());
    }
    subject.broken(format!("{what}: got {got}"))
}
