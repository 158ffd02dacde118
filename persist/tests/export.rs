//! A session as lines, and back: nothing is lost, and nothing that is not whole is taken.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Fault, Faulty, Memory, fill, fold, held, holding, import, lines, record, run, varied};
use sandbox_agent_persist::{
    ListEventsRequest, SessionPersistDriver, SessionPersistDriverExt, SessionRecord, envelope,
};

#[tokio::test]
async fn what_is_exported_is_imported_as_it_was() {
    let store = varied().await;
    let lines = lines(&store, "s").await;
    assert!(lines.iter().all(|line| !line.contains(['\n', '\r'])));
    let other = Memory::new();
    let imported = import(&other, &lines).await.unwrap();
    assert_eq!(held(&other, "s").await, held(&store, "s").await);
    assert_eq!(other.get_session("s").await.unwrap(), store.get_session("s").await.unwrap());
    let stored = held(&store, "s").await.len() as u64;
    assert_eq!((imported.events, imported.stored, imported.known), (stored, stored, 0));
    assert_eq!((imported.last_index, imported.record_stored), (600, true));
    assert_eq!(kit::lines(&other, "s").await, lines);

    let again = import(&other, &lines).await.unwrap();
    assert_eq!((again.stored, again.known, again.record_stored), (0, stored, false));
}

#[tokio::test]
async fn a_line_is_the_json_of_its_event_unless_that_has_line_breaks() {
    let store = varied().await;
    let lines = lines(&store, "s").await;
    let mut plain = 0;
    for (line, event) in lines[1..].iter().zip(held(&store, "s").await) {
        if !event.payload.get().contains(['\n', '\r']) {
            assert_eq!(*line, serde_json::to_string(&event).unwrap());
            plain += 1;
        }
    }
    assert_eq!(plain + 2, held(&store, "s").await.len());
    assert!(
        lines[0].starts_with(r#"{"format":"sandbox-agent-session","version":1,"sessionId":"s","record":{"#)
    );
    assert!(lines.last().unwrap().starts_with(r#"{"end":{"events":"#));
}

#[tokio::test]
async fn a_session_without_a_record_stays_without() {
    let store = Memory::new();
    fill(&store, "s", 1..=3).await;
    let other = Memory::new();
    let imported = import(&other, &lines(&store, "s").await).await.unwrap();
    assert!(!imported.record_stored);
    assert_eq!(other.get_session("s").await.unwrap(), None);
    assert_eq!(held(&other, "s").await, held(&store, "s").await);

    let store = Memory::new();
    store.update_session(SessionRecord::new("empty", "codex", 1)).await.unwrap();
    import(&other, &lines(&store, "empty").await).await.unwrap();
    assert!(other.get_session("empty").await.unwrap().is_some());

    let error = store.export("unknown").next_line().await.unwrap_err();
    assert!(error.to_string().contains("\"unknown\""), "{error}");
}

#[tokio::test]
async fn one_event_stands_for_those_that_were_evicted() {
    let store = holding(5);
    store.update_session(record("s", 5)).await.unwrap();
    fill(&store, "s", 1..=8).await;
    let lines = lines(&store, "s").await;
    assert_eq!(lines[1], r#"{"evicted":{"from":1,"to":3}}"#);
    let other = Memory::new();
    let imported = import(&other, &lines).await.unwrap();
    assert_eq!((imported.events, imported.stored, imported.last_index), (5, 6, 8));
    let events = held(&other, "s").await;
    assert_eq!(events[0].indexes(), 1..=3);
    let method = envelope::kind(&events[0].payload);
    assert_eq!(method, envelope::Kind::Notification { method: envelope::EVICTED.into() });
    assert_eq!(events[0].created_at, 5);
    assert_eq!(events[1..], held(&store, "s").await);
    assert_eq!(import(&other, &lines).await.unwrap().known, 6);

    // A whole one where the same has been evicted in part, and the other way round.
    let whole = Memory::new();
    whole.update_session(record("s", 5)).await.unwrap();
    fill(&whole, "s", 1..=10).await;
    let more = import(&other, &kit::lines(&whole, "s").await).await.unwrap();
    assert_eq!((more.known, more.stored), (8, 2));
    assert_eq!(import(&whole, &lines).await.unwrap().known, 6);
    assert_eq!(import(&store, &kit::lines(&whole, "s").await).await.unwrap().known, 8);

    // Nothing else is left.
    let store = holding(0);
    let mut all_gone = vec![lines[0].clone(), lines[1].clone()];
    all_gone.push(r#"{"end":{"events":0,"bytes":0,"lastIndex":3}}"#.to_owned());
    assert!(import(&store, &all_gone).await.is_err(), "it holds no event at all");
    assert_eq!(import(&Memory::new(), &all_gone).await.unwrap().stored, 1);
}

#[tokio::test]
async fn a_session_that_is_evicted_whole_is_exported_so() {
    let store = Memory::with_options(sandbox_agent_persist_memory::MemoryOptions::new().max_bytes(3_000));
    store.update_session(record("s", 5)).await.unwrap();
    fill(&store, "s", 1..=3).await;
    fill(&store, "other", 1..=20).await;
    assert!(held(&store, "s").await.is_empty());
    let lines = lines(&store, "s").await;
    assert_eq!(
        lines[1..],
        [r#"{"evicted":{"from":1,"to":3}}"#, r#"{"end":{"events":0,"bytes":0,"lastIndex":3}}"#]
    );
}

#[tokio::test]
async fn what_happens_between_any_two_calls_is_in_the_file_or_an_error() {
    let prepared = || async {
        let store = holding(800);
        store.update_session(record("s", 5)).await.unwrap();
        fill(&store, "s", 1..=600).await;
        store
    };
    let calls = {
        let store = Faulty::new(&prepared().await, Fault::Nothing);
        lines(&store, "s").await;
        store.calls()
    };
    assert!(calls > 5);
    for call in 2..=calls {
        // It grows, and is exported as it was.
        let store = Faulty::meanwhile(&prepared().await, call, |store| async move {
            fill(&store, "s", 601..=610).await;
        });
        let other = Memory::new();
        let last = import(&other, &lines(&store, "s").await).await.unwrap().last_index;
        assert_eq!(last, if call == 2 { 610 } else { 600 });

        // Its oldest go.
        let store = Faulty::meanwhile(&prepared().await, call, |store| async move {
            fill(&store, "s", 601..=1_100).await;
        });
        let lines = lines(&store, "s").await;
        let other = Memory::new();
        import(&other, &lines).await.unwrap();
        let evicted = lines.iter().filter(|line| line.contains("evicted")).count();
        assert_eq!(evicted, usize::from(call < calls), "before call {call}");
        let whole = prepared().await;
        for event in held(&other, "s").await.iter().filter(|event| event.folded_from.is_none()) {
            let after = event.event_index - 1;
            let page = whole.list_events(ListEventsRequest::new("s").after_index(after).limit(1)).await;
            let page = page.unwrap();
            assert!(page.items.first().is_none_or(|same| same == event));
        }

        // It is deleted.
        let store = Faulty::meanwhile(&prepared().await, call, |store| async move {
            store.delete_session("s").await.unwrap();
        });
        let mut export = store.export("s");
        let error = loop {
            match export.next_line().await {
                Ok(line) => assert!(line.is_some(), "it ended as if it were whole"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("deleted meanwhile") || error.contains("no session \"s\""), "{error}");

        // A part of it is folded.
        let store = Faulty::meanwhile(&prepared().await, call, |store| async move {
            fold(&store, run("s", 10, 500)).await;
        });
        let mut export = store.export("s");
        let mut lines = Vec::new();
        match loop {
            match export.next_line().await {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        } {
            Ok(()) => assert_eq!(import(&Memory::new(), &lines).await.unwrap().last_index, 600),
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                assert!(export.next_line().await.unwrap_err().is_unavailable(), "and it stays so");
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_once_is_asked_again() {
    let store = varied().await;
    let want = lines(&store, "s").await;
    for call in 1.. {
        let failing = Faulty::new(&store, Fault::FailsOnce { call, done: false });
        let mut export = failing.export("s");
        let mut got = Vec::new();
        loop {
            match export.next_line().await {
                Ok(Some(line)) => got.push(line),
                Ok(None) => break,
                Err(error) => assert!(error.is_unavailable(), "{error}"),
            }
        }
        assert_eq!(got, want, "failed at call {call}");
        if failing.calls() < call {
            break;
        }
    }
}
