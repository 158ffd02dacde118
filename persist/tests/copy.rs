//! Sessions copied from store to store, whatever happens meanwhile.
#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use kit::{
    Fault, Faulty, Memory, Slow, event, fill, fold, held, holding, ids, insert, raw, record, run, varied,
};
use sandbox_agent_persist::{
    PersistErrorKind, SessionCopied, SessionFilter, SessionPersistDriver, SessionPersistDriverExt, copy_all,
    copy_session,
};

async fn same(from: &Memory, to: &Memory, session_id: &str) {
    assert_eq!(held(to, session_id).await, held(from, session_id).await);
    assert_eq!(to.get_session(session_id).await.unwrap(), from.get_session(session_id).await.unwrap());
}

/// 600 events with a record.
async fn long() -> Memory {
    let store = Memory::new();
    store.update_session(record("s", 5)).await.unwrap();
    fill(&store, "s", 1..=600).await;
    store
}

#[tokio::test]
async fn a_copy_is_the_same_and_the_next_one_brings_what_is_new() {
    let (from, to) = (varied().await, Memory::new());
    let copied = copy_session(&from, &to, "s").await.unwrap();
    same(&from, &to, "s").await;
    let count = held(&from, "s").await.len() as u64;
    assert_eq!(figures(&copied), (count, 0, 600, true));
    assert_eq!(figures(&copy_session(&from, &to, "s").await.unwrap()), (0, 600, 600, false));

    fill(&from, "s", 601..=605).await;
    let mut newer = record("s", 5);
    newer.title = Some("Another".to_owned());
    from.update_session(newer).await.unwrap();
    assert_eq!(figures(&copy_session(&from, &to, "s").await.unwrap()), (5, 600, 605, true));
    same(&from, &to, "s").await;
}

fn figures(copied: &SessionCopied) -> (u64, u64, u64, bool) {
    (copied.stored, copied.common_index, copied.last_index, copied.record_stored)
}

#[tokio::test]
async fn any_driver_can_be_either_side() {
    let (from, to): (Arc<dyn SessionPersistDriver>, Arc<dyn SessionPersistDriver>) =
        (Arc::new(varied().await), Arc::new(Memory::new()));
    // On another thread, so that the calls must be Send.
    let (on, onto) = (from.clone(), to.clone());
    let copy = tokio::spawn(async move { on.copy_to(&*onto).on_progress(|_| ()).all().await });
    assert_eq!(copy.await.unwrap().unwrap().sessions, 1);
    assert_eq!(held(&*to, "s").await, held(&*from, "s").await);
    let file = from.clone();
    let lines = tokio::spawn(async move {
        let mut export = file.export("s");
        while let Some(line) = export.next_line().await.unwrap() {
            let _ = file.import().line(&line).await;
        }
        file.prune(&sandbox_agent_persist::Retention::new()).await.map(drop)
    });
    lines.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_copy_that_is_broken_off_at_any_call_of_either_side_goes_on() {
    let from = varied().await;
    for (source_fails, done) in [(true, false), (true, true), (false, false), (false, true)] {
        for call in 1.. {
            let to = Memory::new();
            let fault = Fault::FailsFrom { call, done };
            let result = match source_fails {
                true => copy_session(&Faulty::new(&from, fault), &to, "s").await,
                false => copy_session(&from, &Faulty::new(&to, fault), "s").await,
            };
            let is_whole = held(&to, "s").await == held(&from, "s").await;
            assert!(is_whole || to.get_session("s").await.unwrap().is_none(), "the record came first");
            copy_session(&from, &to, "s").await.unwrap();
            same(&from, &to, "s").await;
            match result {
                Ok(_) => break,
                Err(error) => assert!(error.is_unavailable(), "call {call}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_copy_that_is_dropped_at_any_await_goes_on() {
    let from = Slow(Memory::new());
    from.0.update_session(record("s", 5)).await.unwrap();
    fill(&from.0, "s", 1..=40).await;
    let whole = held(&from.0, "s").await;
    for polls in 1.. {
        let to = Slow(Memory::new());
        let mut copy = Box::pin(copy_session(&from, &to, "s"));
        let mut done = false;
        for _ in 0..polls {
            done = done || poll_once(&mut copy).await;
        }
        drop(copy);
        assert_eq!(held(&to.0, "s").await, whole[..held(&to.0, "s").await.len()]);
        copy_session(&from, &to, "s").await.unwrap();
        same(&from.0, &to.0, "s").await;
        if done {
            break;
        }
    }
}

async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

#[tokio::test]
async fn a_session_that_grows_meanwhile_is_copied_as_it_was() {
    for call in 3..10 {
        let store = long().await;
        let from = Faulty::meanwhile(&store, call, |store| async move { fill(&store, "s", 601..=620).await });
        let to = Memory::new();
        assert_eq!(copy_session(&from, &to, "s").await.unwrap().last_index, 600, "before call {call}");
        assert_eq!(held(&to, "s").await.len(), 600);
        copy_session(&from, &to, "s").await.unwrap();
        same(&store, &to, "s").await;
    }
}

#[tokio::test]
async fn what_is_deleted_meanwhile_has_no_record_in_the_copy() {
    let calls = {
        let from = Faulty::new(&long().await, Fault::Nothing);
        copy_session(&from, &Memory::new(), "s").await.unwrap();
        from.calls()
    };
    for call in 1..=calls {
        let from = Faulty::meanwhile(&long().await, call, |store| async move {
            store.delete_session("s").await.unwrap();
        });
        let to = Memory::new();
        let error = copy_session(&from, &to, "s").await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Other);
        let said = error.to_string();
        assert!(said.contains("deleted meanwhile") || said.contains("no session \"s\""), "{error}");
        assert_eq!(to.get_session("s").await.unwrap(), None);
    }
    let error = copy_session(&Memory::new(), &Memory::new(), "unknown").await.unwrap_err();
    assert!(error.to_string().contains("\"unknown\""), "{error}");
}

#[tokio::test]
async fn evicted_events_are_stood_for_whenever_they_go() {
    for call in 1..10 {
        let store = holding(700);
        store.update_session(record("s", 5)).await.unwrap();
        fill(&store, "s", 1..=650).await;
        let from =
            Faulty::meanwhile(&store, call, |store| async move { fill(&store, "s", 651..=1_000).await });
        let to = Memory::new();
        copy_session(&from, &to, "s").await.unwrap();
        copy_session(&from, &to, "s").await.unwrap();
        let copied = held(&to, "s").await;
        let mut next = 1;
        for event in &copied {
            assert_eq!(event.first_index(), next, "before call {call}");
            next = event.event_index + 1;
        }
        assert_eq!(next, 1_001);
        let ours = held(&store, "s").await;
        assert_eq!(copied[copied.len() - ours.len()..], ours);
        assert!(copied.iter().filter(|event| event.folded_from.is_some()).count() <= 1);
    }
}

#[tokio::test]
async fn a_copy_that_had_come_to_an_evicted_index_goes_on_behind_it() {
    let from = holding(50);
    from.update_session(record("s", 5)).await.unwrap();
    fill(&from, "s", 1..=30).await;
    let to = Memory::new();
    copy_session(&from, &to, "s").await.unwrap();
    fill(&from, "s", 31..=200).await;
    // Nothing is left of what both have; the record says that it is the same.
    assert_eq!(copy_session(&from, &to, "s").await.unwrap().stored, 51);
    assert_eq!(held(&to, "s").await[30].indexes(), 31..=150);
    assert_eq!(copy_session(&from, &to, "s").await.unwrap().stored, 0);

    // Without one, nothing does.
    let to = Memory::new();
    fill(&to, "s", 1..=30).await;
    let error = copy_session(&from, &to, "s").await.unwrap_err();
    assert!(error.to_string().contains("nothing shows"), "{error}");
}

#[tokio::test]
async fn a_run_that_is_folded_after_a_part_of_it_was_copied_is_folded_in_the_copy() {
    for done in [false, true] {
        for call in 1.. {
            let from = long().await;
            let to = Memory::new();
            copy_session(&from, &to, "s").await.unwrap();
            fill(&from, "s", 601..=610).await;
            fold(&from, run("s", 580, 610)).await;
            fill(&from, "s", 611..=620).await;
            let failing = Faulty::new(&to, Fault::FailsFrom { call, done });
            let failed = copy_session(&from, &failing, "s").await.is_err();
            copy_session(&from, &to, "s").await.unwrap();
            assert_eq!(held(&to, "s").await, held(&from, "s").await, "failed at call {call}");
            if !failed {
                break;
            }
        }
    }
    // Folded between any two calls.
    for call in 2..10 {
        let store = long().await;
        let from =
            Faulty::meanwhile(&store, call, |store| async move { fold(&store, run("s", 10, 590)).await });
        let to = Memory::new();
        copy_session(&from, &to, "s").await.unwrap();
        let copied = held(&to, "s").await;
        assert_eq!(copied.last(), held(&store, "s").await.last());
        let is_folded = copied.len() == 20;
        assert!(is_folded || copied.len() == 600, "before call {call}: {}", copied.len());
        copy_session(&from, &to, "s").await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_cannot_fold_says_so() {
    let from = long().await;
    let store = Memory::new();
    let to = Faulty::new(&store, Fault::Nothing).without_upkeep();
    copy_session(&from, &to, "s").await.unwrap();
    fold(&from, run("s", 580, 600)).await;
    assert_eq!(copy_session(&from, &to, "s").await.unwrap().stored, 0, "it has the parts of the run");
    fill(&from, "s", 601..=610).await;
    fold(&from, run("s", 580, 610)).await;
    let error = copy_session(&from, &to, "s").await.unwrap_err();
    assert!(error.to_string().contains("events 580 to 610"), "{error}");
    assert_eq!(held(&store, "s").await.len(), 600);
}

#[tokio::test]
async fn another_session_of_the_same_id_is_left_alone() {
    let from = long().await;
    for (index, length) in [(600, 600), (400, 400), (600, 700)] {
        let to = Memory::new();
        to.update_session(record("s", 5)).await.unwrap();
        fill(&to, "s", 1..index).await;
        let mut other = event("s", index);
        other.payload = raw("{}");
        insert(&to, [other]).await;
        fill(&to, "s", index + 1..=length).await;
        let before = held(&to, "s").await;
        let error = copy_session(&from, &to, "s").await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Other);
        assert!(error.to_string().contains("not the same one"), "{error}");
        assert_eq!(held(&to, "s").await, before);
    }
    // With a record only, and without one.
    let to = Memory::new();
    to.update_session(record("s", 6)).await.unwrap();
    assert!(copy_session(&from, &to, "s").await.unwrap_err().to_string().contains("nothing shows"));
    let (empty, to) = (Memory::new(), Memory::new());
    empty.update_session(record("s", 5)).await.unwrap();
    fill(&to, "s", 1..=3).await;
    assert!(copy_session(&empty, &to, "s").await.unwrap_err().to_string().contains("nothing shows"));
}

#[tokio::test]
async fn a_copy_that_went_on_by_itself_stays_as_it_is() {
    let from = long().await;
    let to = Memory::new();
    copy_session(&from, &to, "s").await.unwrap();
    fill(&to, "s", 601..=610).await;
    let mut newer = record("s", 5);
    newer.title = Some("Another".to_owned());
    to.update_session(newer.clone()).await.unwrap();
    assert_eq!(figures(&copy_session(&from, &to, "s").await.unwrap()), (0, 600, 610, false));
    assert_eq!(to.get_session("s").await.unwrap(), Some(newer));
    // Once both went on, they are two.
    let mut other = event("s", 601);
    other.id = "another".to_owned();
    insert(&from, [other]).await;
    let error = copy_session(&from, &to, "s").await.unwrap_err();
    assert!(error.to_string().contains("index 601"), "{error}");
}

#[tokio::test]
async fn two_copies_at_once_make_one() {
    let from = Slow(varied().await);
    let to = Slow(Memory::new());
    let (one, two, three) =
        tokio::join!(copy_session(&from, &to, "s"), copy_session(&from, &to, "s"), copy_all(&from, &to));
    one.unwrap();
    two.unwrap();
    assert!(three.unwrap().failed.is_empty());
    same(&from.0, &to.0, "s").await;
}

#[tokio::test]
async fn all_sessions_are_copied_but_those_that_fail_or_are_gone() {
    let from = Memory::new();
    for number in 0..250 {
        let id = format!("s{number:03}");
        from.update_session(record(&id, number / 7)).await.unwrap();
        fill(&from, &id, 1..=3).await;
    }
    let to = Memory::new();
    let mut other = record("s100", 1);
    other.agent = "another".to_owned();
    to.update_session(other).await.unwrap();
    let gone = Faulty::meanwhile(&from, 20, |store| async move {
        store.delete_session("s050").await.unwrap();
        // Not there when it began.
        store.update_session(record("later", 900)).await.unwrap();
    });
    let report = copy_all(&gone, &to).await.unwrap();
    assert_eq!((report.sessions, report.gone, report.stored), (248, 1, 3 * 248));
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].session_id, "s100");
    assert!(to.get_session("later").await.unwrap().is_none());
    same(&from, &to, "s249").await;

    to.delete_session("s100").await.unwrap();
    let report = copy_all(&from, &to).await.unwrap();
    assert_eq!((report.sessions, report.stored, report.failed.len()), (250, 3, 0));
    assert_eq!(ids(&to).await, ids(&from).await);

    let some = Memory::new();
    let filter = SessionFilter::new().created_before(1);
    assert_eq!(from.copy_to(&some).among(filter).all().await.unwrap().sessions, 7);
    assert_eq!(copy_all(&Memory::new(), &some).await.unwrap().sessions, 0);
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_is_copied_whole_by_the_next() {
    let from = Memory::new();
    for id in ["a", "b", "c"] {
        from.update_session(record(id, 1)).await.unwrap();
        fill(&from, id, 1..=20).await;
    }
    for call in 1.. {
        let to = Memory::new();
        let failing = Faulty::new(&to, Fault::FailsFrom { call, done: true });
        let result = copy_all(&from, &failing).await;
        assert!(copy_all(&from, &to).await.unwrap().failed.is_empty());
        for id in ["a", "b", "c"] {
            same(&from, &to, id).await;
        }
        match result {
            Ok(_) => break,
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
}

#[tokio::test]
async fn progress_is_told_up_to_the_end() {
    let from = long().await;
    let to = Memory::new();
    let mut told = Vec::new();
    let copy = from.copy_to(&to).on_progress(|so_far| {
        assert_eq!((so_far.session_id, so_far.last_index), ("s", 600));
        told.push(so_far.index);
    });
    copy.session("s").await.unwrap();
    assert_eq!((told.first(), told.last()), (Some(&0), Some(&600)));
    assert!(told.is_sorted() && told.len() > 3, "{told:?}");
}

#[tokio::test]
async fn large_events_are_read_in_small_pages() {
    let from = Memory::new();
    for index in 1..=40 {
        let mut event = event("s", index);
        event.payload = raw(format!("\"{}\"", "x".repeat(1 << 20)));
        insert(&from, [event]).await;
    }
    let source = Faulty::new(&from, Fault::Nothing);
    let to = Memory::new();
    copy_session(&source, &to, "s").await.unwrap();
    assert_eq!(source.largest_page.load(SeqCst), 16, "the first page");
    source.largest_page.store(0, SeqCst);
    assert_eq!(held(&to, "s").await.len(), 40);
    // All but the first.
    fill(&from, "t", 1..=600).await;
    copy_session(&source, &to, "t").await.unwrap();
    assert_eq!(source.largest_page.load(SeqCst), 256);
    assert!(source.calls() > 14, "{}", source.calls());
}

#[tokio::test]
async fn the_proof_goes_back_behind_what_was_folded() {
    let from = long().await;
    let to = Memory::new();
    fill(&to, "s", 1..=590).await;
    for first in (21..600).step_by(10) {
        fold(&from, run("s", first, first + 9)).await;
    }
    fill(&from, "s", 601..=610).await;
    // No record says that it is the same, and the last event that both hold as it is, is at 20.
    assert_eq!(copy_session(&from, &to, "s").await.unwrap().stored, 11);
    assert_eq!(held(&to, "s").await.last(), held(&from, "s").await.last());

    let other = Memory::new();
    fill(&other, "s", 1..=19).await;
    let mut differs = event("s", 20);
    differs.payload = raw("{}");
    insert(&other, [differs]).await;
    fill(&other, "s", 21..=590).await;
    let error = copy_session(&from, &other, "s").await.unwrap_err();
    assert!(error.to_string().contains("at index 20"), "{error}");
}

#[tokio::test]
async fn runs_that_were_folded_otherwise_are_a_difference() {
    for theirs in [(5, 12), (12, 18)] {
        let (from, to) = (Memory::new(), Memory::new());
        for store in [&from, &to] {
            fill(store, "s", 1..=18).await;
        }
        fold(&to, run("s", theirs.0, theirs.1)).await;
        fill(&from, "s", 19..=20).await;
        fold(&from, run("s", 10, 19)).await;
        let result = copy_session(&from, &to, "s").await;
        match theirs {
            // Within it: folded anew in the copy.
            (12, 18) => assert_eq!(held(&to, "s").await.last(), held(&from, "s").await.last()),
            _ => assert!(result.unwrap_err().to_string().contains("another event"), "{theirs:?}"),
        }
    }
}

#[tokio::test]
async fn an_event_that_stands_for_evicted_ones_differs_from_none() {
    let evicting = holding(20);
    fill(&evicting, "s", 1..=21).await;
    let to = Memory::new();
    copy_session(&evicting, &to, "s").await.unwrap();
    // The same place, told by another record: the time is another.
    evicting.update_session(record("s", 5)).await.unwrap();
    assert_eq!(copy_session(&evicting, &to, "s").await.unwrap().stored, 0);
    // And the whole one.
    let whole = Memory::new();
    fill(&whole, "s", 1..=22).await;
    kit::import(&to, &kit::lines(&whole, "s").await).await.unwrap();
    assert_eq!(held(&to, "s").await.len(), 22);
    kit::import(&whole, &kit::lines(&evicting, "s").await).await.unwrap();

    // One that begins within what is there stands for the rest, in a store that can't fold.
    fill(&evicting, "s", 22..=50).await;
    let plain = Faulty::new(&whole, Fault::Nothing).without_upkeep();
    kit::import(&plain, &kit::lines(&evicting, "s").await).await.unwrap();
    assert_eq!(held(&whole, "s").await[22].indexes(), 23..=30);
    assert_eq!(held(&whole, "s").await.len(), 22 + 1 + 20);
}
