//! Sentences 25, 26 and 29 to 31: who has a lease.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::Harness;
use super::kit::{Outcome, event};
use super::tenure::{LONG, Tenure, tenures};
use crate::{Acquired, Inserted, SessionRecord};

/// Sentence 25: `acquire` grants a lease to one holder at a time. Another one is told who has it, until it is released or has expired. The same holder is granted a new one in place of its own.
///
/// Of a store without leases nothing is asked.
pub async fn one_holder_at_a_time_is_granted(harness: &dyn Harness) -> Outcome {
    let Some(tenures) = tenures(25, harness).await? else { return Ok(()) };
    let [a, b] = &tenures;
    let lease = a.granted("s", "a", LONG).await?;
    let other = b.granted("other", "b", LONG).await?;
    b.refused("s", "b", &lease).await?;
    a.refused("other", "a", &other).await?;
    a.refused("s", "A", &lease).await?;

    let again = a.granted("s", "a", LONG).await?;
    b.refused("s", "b", &again).await?;
    a.released(&again).await?;
    let lease = b.granted("s", "b", LONG).await?;
    a.refused("s", "a", &lease).await?;

    let (_, short) = a.expired("short", "a").await?;
    let lease = b.granted("short", "b", LONG).await?;
    a.subject.equal(&(lease.token > short.token), &true, "a larger token after the end of a lease")?;
    a.refused("short", "a", &lease).await?;
    of_many_at_once_one_is_granted(&tenures).await
}

async fn of_many_at_once_one_is_granted(tenures: &[Tenure; 2]) -> Outcome {
    const WISHES: usize = 16;
    let subject = &tenures[0].subject;
    for round in 0..10 {
        let s = format!("wanted {}", round / 2);
        let start = Arc::new(Barrier::new(WISHES));
        let mut wishes = JoinSet::new();
        for number in 0..WISHES {
            let (s, start) = (s.clone(), start.clone());
            let tenure = tenures[number % 2].clone();
            wishes.spawn(async move {
                start.wait().await;
                tenure.acquired(&s, &format!("holder {number}"), LONG).await
            });
        }
        let (mut granted, mut held) = (Vec::new(), Vec::new());
        while let Some(wish) = wishes.join_next().await {
            match wish {
                Ok(outcome) => match outcome? {
                    Acquired::Granted(lease) => granted.push(lease),
                    Acquired::Held(lease) => held.push(lease),
                },
                Err(_) => return subject.broken("acquire panicked"),
            }
        }
        let [lease] = granted.as_slice() else {
            return subject
                .broken(format!("of {WISHES} that acquire at once these were granted: {granted:?}"));
        };
        for other in held {
            subject.equal(&other, lease, "the lease that who came second is told of")?;
        }
        tenures[round % 2].released(lease).await?;
    }
    Ok(())
}

/// Sentence 26: each grant has a larger token than all before, also those of released, expired and deleted ones.
///
/// Of a store without leases nothing is asked.
pub async fn each_grant_has_a_larger_token(harness: &dyn Harness) -> Outcome {
    let Some([a, b]) = tenures(26, harness).await? else { return Ok(()) };
    let mut tokens = Vec::new();
    for s in ["s", "other", "s", "third"] {
        let first = a.granted(s, "a", LONG).await?;
        let again = a.granted(s, "a", LONG).await?;
        let taken = b.taken(s, "b", LONG).await?;
        b.released(&taken).await?;
        let (after, expired) = b.expired(s, "c").await?;
        let fenced = a.granted(s, "d", LONG).await?;
        tokens.extend([first.token, again.token, taken.token]);
        tokens.extend(after.into_iter().map(|lease| lease.token));
        tokens.extend([expired.token, fenced.token]);

        let store = a.fenced(&fenced)?;
        a.subject.ok(store.update_session(SessionRecord::new(s, "codex", 1)).await, "update_session")?;
        let inserted = store.insert_event(s, event(s, 1)).await;
        a.subject.equal(&a.subject.ok(inserted, "insert_event")?, &Inserted::Stored, "insert_event")?;
        a.subject.ok(store.delete_session(s).await, "delete_session by who has the lease")?;
        let after_deletion = b.taken(s, "e", LONG).await?;
        tokens.push(after_deletion.token);
        b.released(&after_deletion).await?;
        tokens.push(a.granted(s, "f", LONG).await?.token);
        let last = b.taken(s, "g", LONG).await?;
        tokens.push(last.token);
        b.released(&last).await?;
    }
    match tokens.is_sorted_by(|a, b| a < b) {
        true => Ok(()),
        false => a.subject.broken(format!("the tokens, in the order of their grants: {tokens:?}")),
    }
}

/// Sentence 29: `take_over` grants the lease at once, whoever has it.
///
/// Of a store without leases nothing is asked.
pub async fn a_take_over_is_granted_at_once(harness: &dyn Harness) -> Outcome {
    let Some([a, b]) = tenures(29, harness).await? else { return Ok(()) };
    let first = a.granted("s", "a", LONG).await?;
    let other = a.granted("other", "a", LONG).await?;
    let taken = b.taken("s", "b", LONG).await?;
    a.subject.equal(
        &(taken.token > first.token),
        &true,
        "a larger token than that which it took the place of",
    )?;
    for tenure in [&a, &b] {
        tenure.held("s", Some(&taken), "after a take-over").await?;
        tenure.held("other", Some(&other), "after a take-over of another one").await?;
    }
    a.refused("s", "a", &taken).await?;
    a.writes(&taken, "who took over").await?;

    let own = b.taken("s", "b", LONG).await?;
    a.held("s", Some(&own), "after one of one's own").await?;
    let free = a.taken("free", "a", LONG).await?;
    b.held("free", Some(&free), "of what nobody had").await?;
    b.released(&free).await?;
    let again = b.taken("free", "b", LONG).await?;
    a.held("free", Some(&again), "of what was released").await
}

/// Sentence 30: `renew` gives the same lease, to end `ttl` from now, and is a `Fenced` error when it was released or another one took its place. `release` ends a lease, and does nothing to another one.
///
/// Of a store without leases nothing is asked.
pub async fn a_lease_is_renewed_and_released(harness: &dyn Harness) -> Outcome {
    let Some([a, b]) = tenures(30, harness).await? else { return Ok(()) };
    let subject = &a.subject;
    let first = a.granted("s", "a", LONG / 2).await?;
    let renewed = b.renewed(&first, LONG).await?;
    b.held("s", Some(&renewed), "after it was renewed").await?;
    a.writes(&first, "who renewed, by the lease as it was").await?;
    a.writes(&renewed, "who renewed").await?;
    let gained = renewed.expires_at - first.expires_at;
    let at_least = i64::try_from(LONG.as_millis()).unwrap_or(i64::MAX) / 2 - 1;
    if gained < at_least {
        return subject.broken(format!(
            "renew to twice its time: the end moved by {gained} ms, want {at_least} at least"
        ));
    }

    // One that has expired is still whoever's had it, until another one takes its place.
    let (_, expired) = a.expired("expired", "a").await?;
    let back = a.renewed(&expired, LONG).await?;
    b.held("expired", Some(&back), "renewed after its end").await?;
    b.refused("expired", "b", &back).await?;

    let taken = b.taken("s", "b", LONG).await?;
    a.not_renewed(&renewed, "another one took the place of").await?;
    a.released(&renewed).await?;
    b.held("s", Some(&taken), "after the release of an earlier one").await?;
    let own = b.granted("s", "b", LONG).await?;
    b.not_renewed(&taken, "a new one of the same holder took the place of").await?;
    b.released(&taken).await?;
    a.held("s", Some(&own), "after the release of an earlier one of the same holder").await?;

    for _ in 0..2 {
        b.released(&own).await?;
        a.held("s", None, "after its release").await?;
    }
    b.not_renewed(&own, "was released, which").await?;
    b.held("s", None, "after it could not be renewed").await?;
    let next = a.granted("s", "a", LONG).await?;
    b.released(&own).await?;
    b.not_renewed(&own, "was released, and another one took the place of,").await?;
    b.held("s", Some(&next), "after the release of one that is long over").await?;
    a.held("expired", Some(&back), "beside others").await
}

/// Sentence 31: `holder` gives the lease in force, and `None` where there is none.
///
/// Of a store without leases nothing is asked.
pub async fn the_holder_is_whoever_has_the_lease(harness: &dyn Harness) -> Outcome {
    let Some(tenures) = tenures(31, harness).await? else { return Ok(()) };
    let [a, b] = &tenures;
    let everywhere = async |want, what: &str| {
        a.held("s", want, what).await?;
        b.held("s", want, what).await?;
        a.held("other", None, "of a session that nobody has").await
    };
    everywhere(None, "of which nothing is stored").await?;
    let odd = a.granted("s", "näme 'of' \"a\" 🦀", LONG).await?;
    everywhere(Some(&odd), "once it was acquired").await?;
    let again = b.granted("s", &odd.holder, LONG).await?;
    everywhere(Some(&again), "once the same holder acquired it again").await?;
    b.refused("s", "b", &again).await?;
    everywhere(Some(&again), "after another one's wish").await?;
    let taken = b.taken("s", "b", LONG / 2).await?;
    everywhere(Some(&taken), "once it was taken over").await?;
    let renewed = a.renewed(&taken, LONG).await?;
    everywhere(Some(&renewed), "once it was renewed").await?;
    a.writes(&renewed, "its holder").await?;
    everywhere(Some(&renewed), "after writes").await?;
    a.released(&renewed).await?;
    everywhere(None, "once it was released").await?;
    a.expired("s", "a").await?;
    everywhere(None, "once it has expired").await
}
