//! Leases of two nodes: who lost one can do no harm.

use std::time::Duration;

use sandbox_agent_persist::{
    Acquired, Inserted, Lease, PersistError, SessionLease, SessionPersistDriver, SessionRecord,
};

use crate::scratch::{Scratch, event, held, in_time, named, stored, until};

const LONG: Duration = Duration::from_secs(600);

async fn granted(store: &dyn SessionLease, holder: &str, ttl: Duration) -> Lease {
    match store.acquire("s", holder, ttl).await.unwrap() {
        Acquired::Granted(lease) => lease,
        Acquired::Held(lease) => panic!("{lease:?}"),
    }
}

fn is_fenced<T: std::fmt::Debug>(outcome: Result<T, PersistError>, holder: &str) {
    let error = outcome.unwrap_err();
    assert!(error.is_fenced(), "{error}");
    assert!(error.to_string().contains(holder), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn who_holds_nothing_writes_nothing() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.connect().await, scratch.connect().await);
    stored(&one, "s", 1..=3).await;
    let lease = granted(&one, "node \0 one", LONG).await;
    assert_eq!(two.acquire("s", "two", LONG).await.unwrap(), Acquired::Held(lease.clone()));
    assert_eq!(two.holder("s").await.unwrap(), Some(lease.clone()));

    let mine = one.fenced(&lease);
    for other in [&one, &two] {
        is_fenced(other.insert_event("s", event("s", 4)).await, "one");
        is_fenced(other.insert_events("s", vec![event("s", 4), event("s", 5)]).await, "one");
        is_fenced(other.update_session(SessionRecord::new("s", "codex", 1)).await, "one");
        is_fenced(other.delete_session("s").await, "one");
        let run = named("s", 3, "run").standing_from(1);
        is_fenced(other.upkeep().unwrap().fold("s", run).await, "one");
        assert_eq!(other.get_session("s").await.unwrap(), None);
        assert_eq!(held(other, "s").await.len(), 3);
        other.delete_session("free").await.unwrap();
        stored(other, "free", 1..=2).await;
    }
    stored(&*mine, "s", 4..=5).await;
    mine.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
    assert!(mine.upkeep().unwrap().fold("s", named("s", 3, "run").standing_from(1)).await.unwrap());
    mine.delete_session("s").await.unwrap();
    assert_eq!(one.holder("s").await.unwrap(), Some(lease.clone()), "until it is released");
    one.release(&lease).await.unwrap();
    let next = granted(&two, "two", LONG).await;
    assert!(next.token > lease.token);
    is_fenced(mine.insert_event("s", event("s", 1)).await, "two");
    is_fenced(one.renew(&lease, LONG).await, "two");
    one.release(&lease).await.unwrap();
    assert_eq!(one.holder("s").await.unwrap(), Some(next), "releasing an old one ends no other");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn an_expired_lease_is_good_until_another_takes_it() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.connect().await, scratch.connect().await);
    let lease = granted(&one, "one", Duration::from_millis(1)).await;
    until("it has expired", async || one.holder("s").await.unwrap().is_none()).await;
    let mine = one.fenced(&lease);
    stored(&*mine, "s", 1..=1).await;
    stored(&two, "s", 2..=2).await;
    let renewed = one.renew(&lease, LONG).await.unwrap();
    assert_eq!((renewed.token, renewed.expires_at > lease.expires_at), (lease.token, true));
    is_fenced(two.insert_event("s", event("s", 3)).await, "one");
    let taken = two.take_over("s", "two", Duration::MAX).await.unwrap();
    is_fenced(mine.insert_event("s", event("s", 3)).await, "two");
    stored(&*two.fenced(&taken), "s", 3..=3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn what_an_old_holder_writes_late_is_refused() {
    let scratch = Scratch::new();
    let nodes = [scratch.connect().await, scratch.connect().await];
    let mut lease = nodes[0].take_over("s", "0", LONG).await.unwrap();
    for round in 0..40 {
        // It writes as fast as it can, and learns of nothing but from the store.
        let mine = nodes[round % 2].fenced(&lease);
        let mut next = 1 + held(&*mine, "s").await.last().map_or(0, |last| last.event_index);
        let writing = tokio::spawn(async move {
            let mut written = 0;
            loop {
                match mine.insert_event("s", named("s", next, &format!("{round}.{written}"))).await {
                    Ok(Inserted::Stored) => (written, next) = (written + 1, next + 1),
                    Ok(Inserted::Conflict { next_index }) => next = next_index,
                    Ok(Inserted::Duplicate) => unreachable!("each id is used once"),
                    Err(error) if error.is_fenced() => return written,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        until("it has written", async || {
            held(&nodes[0], "s").await.last().is_some_and(|last| last.id.starts_with(&format!("{round}.")))
        })
        .await;
        let other = &nodes[(round + 1) % 2];
        let taken = other.take_over("s", &format!("{}", round + 1), LONG).await.unwrap();
        assert!(taken.token > lease.token);
        let seen = held(other, "s").await;
        let written = in_time(writing).await.unwrap();
        assert_eq!(held(other, "s").await, seen, "nothing of the old holder comes after the grant");
        let own = seen.iter().filter(|event| event.id.starts_with(&format!("{round}."))).count();
        assert_eq!(own, written, "and nothing of it that was stored is missing");
        lease = taken;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn of_many_who_ask_at_once_one_is_granted() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    for _ in 0..10 {
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..16 {
            let store = store.clone();
            asking.spawn(async move { store.acquire("s", &format!("node {number}"), LONG).await.unwrap() });
        }
        let asked = asking.join_all().await;
        let granted = asked.iter().filter_map(|acquired| match acquired {
            Acquired::Granted(lease) => Some(lease),
            Acquired::Held(_) => None,
        });
        let granted: Vec<_> = granted.collect();
        assert_eq!(granted.len(), 1);
        let held = asked.iter().filter(|acquired| **acquired == Acquired::Held(granted[0].clone()));
        assert_eq!(held.count(), 15);
        store.release(granted[0]).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn upkeep_forgets_leases_that_expired_long_ago() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    let old = granted(&store, "one", LONG).await;
    scratch.run("UPDATE {s}.leases SET expires_at = expires_at - 2 * 86400 * 1000").await;
    let fresh = store.take_over("fresh", "one", Duration::ZERO).await.unwrap();
    let upkeep = store.upkeep().unwrap();
    upkeep.vacuum().await.unwrap();
    assert!(store.renew(&old, LONG).await.unwrap_err().is_fenced());
    store.renew(&fresh, LONG).await.unwrap();
    assert!(granted(&store, "two", LONG).await.token > fresh.token);
}
