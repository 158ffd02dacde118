//! What a retention deletes, and what it never does.
#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use kit::{Fault, Faulty, Memory, event, fill, held, ids, record};
use sandbox_agent_persist::{
    PersistErrorKind, PruneReport, PruneRule, Retention, SessionFilter, SessionLease, SessionPersistDriver,
    SessionPersistDriverExt, SparedBecause,
};

const DAY: i64 = 24 * 60 * 60 * 1000;
const NOW: i64 = 1_000 * DAY;

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

fn retention() -> Retention {
    Retention::new().at(NOW)
}

/// A session last active so many days ago, with so many events.
async fn add(store: &Memory, id: &str, days_ago: i64, events: u64) {
    let mut record = record(id, NOW - 900 * DAY);
    record.last_activity_at = Some(NOW - days_ago * DAY);
    store.update_session(record).await.unwrap();
    fill(store, id, 1..=events).await;
}

async fn five() -> Memory {
    let store = Memory::new();
    for (id, days_ago, events) in [("c", 30, 3), ("a", 50, 1), ("e", 10, 5), ("b", 40, 2), ("d", 20, 4)] {
        add(&store, id, days_ago, events).await;
    }
    store
}

fn pruned(report: &PruneReport) -> Vec<(&str, PruneRule)> {
    report.pruned.iter().map(|pruned| (pruned.session_id.as_str(), pruned.rule)).collect()
}

#[tokio::test]
async fn nothing_goes_without_a_limit() {
    let store = five().await;
    let report = store.prune(&retention()).await.unwrap();
    assert!(report.pruned.is_empty() && report.spared.is_empty());
    assert_eq!(ids(&store).await.len(), 5);
}

#[tokio::test]
async fn age_is_that_of_the_last_activity_noted_or_of_the_newest_event_or_of_the_creation() {
    let store = Memory::new();
    add(&store, "noted", 31, 0).await;
    add(&store, "noted lately", 29, 0).await;
    for (id, created, newest) in
        [("told", 90, Some(31)), ("told lately", 90, Some(29)), ("made", 31, None), ("made lately", 29, None)]
    {
        store.update_session(record(id, NOW - created * DAY)).await.unwrap();
        if let Some(newest) = newest {
            let mut event = event(id, 1);
            event.created_at = NOW - newest * DAY;
            kit::insert(&store, [event]).await;
        }
    }
    let report = store.prune(&retention().older_than(days(30))).await.unwrap();
    let mut gone: Vec<_> = pruned(&report).into_iter().map(|(id, _)| id).collect();
    gone.sort_unstable();
    assert_eq!(gone, ["made", "noted", "told"]);
    assert_eq!(report.kept, 3);
    assert!(held(&store, "told").await.is_empty());
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_deletes_nothing() {
    for limits in [
        retention().older_than(days(25)),
        retention().max_sessions(2),
        retention().max_bytes(500),
        retention().older_than(days(45)).max_sessions(3).max_bytes(500).keep_newest(1),
    ] {
        let store = five().await;
        let dry = store.prune(&limits.clone().vacuum().dry_run()).await.unwrap();
        assert!(dry.dry_run && !dry.vacuumed);
        assert_eq!(ids(&store).await.len(), 5);
        let real = store.prune(&limits).await.unwrap();
        assert!(!real.pruned.is_empty());
        assert_eq!(real.pruned, dry.pruned);
        assert_eq!(real.kept, dry.kept);
        assert_eq!(ids(&store).await.len(), real.kept);
    }
}

#[tokio::test]
async fn the_report_names_each_session_with_its_figures_and_the_rule() {
    let store = five().await;
    let one = event("a", 1).payload.get().len() as u64;
    let limits = retention().older_than(days(45)).max_sessions(4).max_bytes(5 * one);
    let report = store.prune(&limits).await.unwrap();
    // One by age, which leaves no more than four, and then the oldest by their bytes.
    let rules =
        [("a", PruneRule::Age), ("b", PruneRule::Bytes), ("c", PruneRule::Bytes), ("d", PruneRule::Bytes)];
    assert_eq!(pruned(&report), rules);
    assert_eq!(report.pruned[1].events, 2);
    assert_eq!(report.pruned[1].bytes, 2 * one);
    assert_eq!(report.pruned[1].last_active, NOW - 40 * DAY);
    assert_eq!((report.events(), report.bytes()), (10, 10 * one));
    assert_eq!(ids(&store).await, ["e"]);

    let store = five().await;
    let report = store.prune(&retention().max_sessions(3)).await.unwrap();
    assert_eq!(pruned(&report), [("a", PruneRule::Count), ("b", PruneRule::Count)]);
}

#[tokio::test]
async fn the_newest_stay_whatever_the_limits_say() {
    let store = five().await;
    let limits = retention().older_than(days(1)).max_sessions(0).max_bytes(0);
    let report = store.prune(&limits.clone().keep_newest(2)).await.unwrap();
    assert_eq!(report.kept, 2);
    assert_eq!(ids(&store).await, ["d", "e"]);
    assert_eq!(store.prune(&limits.clone().keep_newest(9)).await.unwrap().kept, 2);
    assert_eq!(store.prune(&limits).await.unwrap().kept, 0);
}

#[tokio::test]
async fn a_session_that_runs_stays_and_another_gives_its_room() {
    let store = five().await;
    let mut lately = event("a", 2);
    lately.created_at = NOW - 59 * 60 * 1000;
    kit::insert(&store, [lately]).await;
    let _ = store.acquire("b", "somebody", Duration::from_secs(60)).await.unwrap();

    let limits = retention().max_sessions(2);
    let dry = store.prune(&limits.clone().dry_run()).await.unwrap();
    let report = store.prune(&limits).await.unwrap();
    assert_eq!(dry.pruned, report.pruned);
    assert_eq!(pruned(&report).iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["c", "d", "e"]);
    assert!(matches!(report.spared[0].because, SparedBecause::Active), "{report:?}");
    assert!(matches!(report.spared[1].because, SparedBecause::Leased), "{report:?}");
    assert_eq!(report.kept, 2);

    let short = Duration::from_secs(58 * 60);
    let report = store.prune(&retention().max_sessions(1).guard(short)).await.unwrap();
    assert_eq!(pruned(&report), [("a", PruneRule::Count)]);
}

#[tokio::test]
async fn only_those_among_are_looked_at() {
    let store = five().await;
    let mut destroyed = store.get_session("c").await.unwrap().unwrap();
    destroyed.destroyed_at = Some(NOW - 30 * DAY);
    store.update_session(destroyed).await.unwrap();
    let limits = retention().older_than(days(1)).among(SessionFilter::new().destroyed());
    let report = store.prune(&limits).await.unwrap();
    assert_eq!(pruned(&report), [("c", PruneRule::Age)]);
    assert_eq!(ids(&store).await.len(), 4);
}

#[tokio::test]
async fn what_comes_to_life_or_goes_between_any_two_calls_is_no_error() {
    let limits = retention().older_than(days(35));
    let calls = {
        let store = Faulty::new(&five().await, Fault::Nothing);
        store.prune(&limits).await.unwrap();
        store.calls()
    };
    let mut stayed = 0;
    for call in 1..=calls {
        let store = five().await;
        let woken = Faulty::meanwhile(&store, call, |store| async move {
            let mut event = event("b", 3);
            event.created_at = NOW;
            let _ = store.insert_event("b", event).await.unwrap();
        });
        let report = woken.prune(&limits).await.unwrap();
        let deleted = pruned(&report).contains(&("b", PruneRule::Age));
        if !deleted {
            stayed += 1;
            assert_eq!(held(&store, "b").await.len(), 3, "woken before call {call}");
            assert!(matches!(report.spared[0].because, SparedBecause::Active), "{report:?}");
        }

        // Longer ago than the guard period, and not so long ago as the limit.
        let store = five().await;
        let woken = Faulty::meanwhile(&store, call, |store| async move {
            let mut event = event("b", 3);
            event.created_at = NOW - DAY;
            let _ = store.insert_event("b", event).await.unwrap();
        });
        woken.prune(&limits).await.unwrap();
        assert!(call == calls || held(&store, "b").await.len() == 3, "woken before call {call}");

        // It is not one of those that were asked for any more.
        let store = five().await;
        let archived = Faulty::meanwhile(&store, call, |store| async move {
            let mut record = store.get_session("b").await.unwrap().unwrap();
            record.archived_at = Some(NOW);
            store.update_session(record).await.unwrap();
        });
        archived.prune(&limits.clone().among(SessionFilter::new().archived(false))).await.unwrap();
        let looked_at_again = calls - 3;
        assert_eq!(
            held(&store, "b").await.len() == 2,
            call <= looked_at_again,
            "archived before call {call}"
        );

        let store = five().await;
        let gone = Faulty::meanwhile(&store, call, |store| async move {
            store.delete_session("b").await.unwrap();
        });
        let report = gone.prune(&limits).await.unwrap();
        assert!(report.spared.is_empty(), "gone before call {call}: {report:?}");
        assert_eq!(report.kept, 3);
        assert_eq!(ids(&store).await.len(), 3);

        let store = five().await;
        let acquired = Faulty::meanwhile(&store, call, |store| async move {
            let _ = store.acquire("b", "somebody", Duration::from_secs(60)).await.unwrap();
        });
        let report = acquired.prune(&limits).await.unwrap();
        let there = store.get_session("b").await.unwrap().is_some();
        let named = report.spared.iter().any(|spared| matches!(spared.because, SparedBecause::Leased));
        assert_eq!(there, named, "acquired before call {call}: {report:?}");
    }
    // All calls but the deletion itself, which comes last.
    assert_eq!(stayed, calls - 1);
}

#[tokio::test]
async fn a_store_without_upkeep_has_its_events_counted() {
    let store = five().await;
    let plain = Faulty::new(&store, Fault::Nothing).without_upkeep();
    for id in ["a", "e", "unknown"] {
        assert_eq!(plain.usage_of(id).await.unwrap(), store.usage_of(id).await.unwrap());
    }
    let limits = retention().max_bytes(500).dry_run();
    assert_eq!(plain.prune(&limits).await.unwrap().pruned, store.prune(&limits).await.unwrap().pruned);
    assert!(!plain.prune(&retention().max_sessions(4).vacuum()).await.unwrap().vacuumed);
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_is_pruned_by_the_next() {
    let limits = retention().older_than(days(25)).max_bytes(800);
    let whole = {
        let store = five().await;
        store.prune(&limits).await.unwrap();
        ids(&store).await
    };
    for done in [false, true] {
        for call in 1.. {
            let store = five().await;
            let failing = Faulty::new(&store, Fault::FailsFrom { call, done });
            match failing.prune(&limits).await {
                Ok(_) => break,
                Err(error) => assert!(error.is_unavailable(), "{error}"),
            }
            store.prune(&limits).await.unwrap();
            assert_eq!(ids(&store).await, whole, "failed at call {call}");
        }
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_named_and_the_others_go() {
    let store = five().await;
    let mut unnoted = store.get_session("b").await.unwrap().unwrap();
    unnoted.last_activity_at = None;
    for record in [unnoted, store.get_session("b").await.unwrap().unwrap()] {
        store.update_session(record).await.unwrap();
        let broken = Faulty::new(&store, Fault::Broken("b", PersistErrorKind::Corrupt));
        let report = broken.prune(&retention().older_than(days(25)).dry_run()).await.unwrap();
        assert_eq!(pruned(&report), [("a", PruneRule::Age), ("c", PruneRule::Age)]);
        assert_eq!(report.spared[0].session_id, "b");
        let SparedBecause::Failed(error) = &report.spared[0].because else { panic!("{report:?}") };
        assert_eq!(error.kind(), PersistErrorKind::Corrupt);
        assert_eq!(report.kept, 3);
    }
}

#[tokio::test]
async fn room_is_given_back_if_asked_for_and_something_went() {
    let store = Faulty::new(&five().await, Fault::Nothing);
    assert!(!store.prune(&retention().max_sessions(5).vacuum()).await.unwrap().vacuumed);
    assert!(!store.prune(&retention().max_sessions(4)).await.unwrap().vacuumed);
    assert_eq!(store.vacuums.load(SeqCst), 0);
    assert!(store.prune(&retention().max_sessions(3).vacuum()).await.unwrap().vacuumed);
    assert_eq!(store.vacuums.load(SeqCst), 1);
}
