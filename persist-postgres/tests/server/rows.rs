//! What comes back: all that may be stored, as it was, and an error for what no driver wrote.

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, PersistErrorKind, RawValue, Sender, SessionEvent,
    SessionFilter, SessionPersistDriver, SessionRecord,
};
use serde_json::json;

use crate::scratch::{Scratch, event, held, named, stored};

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn any_text_is_a_name_and_names_are_in_the_order_of_their_bytes() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    let mut names =
        ["", "\0", "\0\0", "\u{1}", "\u{1}\u{1}", "\u{2}", "a", "a\0", "a\0b", "A", "b", "ä", "Z", "é", "%"]
            .map(str::to_owned);
    for name in &names {
        let mut record = SessionRecord::new(name, format!("agent {name}"), 1);
        record.agent_session_id = name.clone();
        record.last_connection_id = name.clone();
        record.sandbox_id = Some(name.clone());
        record.title = Some(format!("Über {name}"));
        record.tags = [name.clone(), "all".to_owned()].into();
        record.extra.insert("none\0".to_owned(), json!({"\0": ["\u{0}", 1e300, 0.1, u64::MAX]}));
        store.update_session(record.clone()).await.unwrap();
        assert_eq!(store.get_session(name).await.unwrap(), Some(record.clone()));

        let payload = RawValue::from_string(r#"{ "a" : "\u0000\ud800" , "n":1.0e+2 }"#.to_owned()).unwrap();
        let event = SessionEvent::new(format!("id {name}"), 1, name, -1, name, Sender::Client, payload);
        assert_eq!(store.insert_event(name, event.clone()).await.unwrap(), Inserted::Stored);
        assert_eq!(held(&store, name).await, std::slice::from_ref(&event));
        assert_eq!(store.insert_event(name, event).await.unwrap(), Inserted::Duplicate);

        let filters = [
            SessionFilter::new().agent(&record.agent),
            SessionFilter::new().title(format!("ÜBER {name}")).agent(&record.agent),
            SessionFilter::new().tag("all").tag(name.clone()),
        ];
        for filter in filters {
            let page = store.list_sessions(ListSessionsRequest::new().filter(filter.clone())).await.unwrap();
            assert_eq!(page.items, [record.clone()], "{filter:?}");
        }
    }
    names.sort();
    let mut listed = Vec::new();
    let mut request = ListSessionsRequest::new().limit(2);
    loop {
        let page = store.list_sessions(request.clone()).await.unwrap();
        listed.extend(page.items.into_iter().map(|record| record.id));
        let Some(cursor) = page.next_cursor else { break };
        request = request.cursor(cursor);
    }
    assert_eq!(listed, names);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn titles_are_searched_for_what_they_contain() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    for (created_at, title) in (0..).zip([Some("a\u{1}b"), Some("100% Straße_x"), Some("ΑΣ"), None]) {
        let mut record = SessionRecord::new(format!("{created_at}"), "codex", created_at);
        record.title = title.map(str::to_owned);
        store.update_session(record).await.unwrap();
    }
    let all = store.list_sessions(ListSessionsRequest::new()).await.unwrap().items;
    for text in ["", "\u{1}", "\u{2}", "\0", "% s", "E_X", "ße", "ας", "ασ", "'", "\\", "a.b", "100%"] {
        let filter = SessionFilter::new().title(text);
        let want: Vec<_> = all.iter().filter(|record| filter.matches(record)).cloned().collect();
        let page = store.list_sessions(ListSessionsRequest::new().filter(filter)).await.unwrap();
        assert_eq!(page.items, want, "{text:?}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_run_is_found_from_any_of_its_indexes() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    stored(&store, "s", 1..=4).await;
    let run = named("s", 9, "run").standing_from(5);
    let batch = vec![run.clone(), event("s", 10), named("s", 12, "two").standing_from(11)];
    assert_eq!(store.insert_events("s", batch.clone()).await.unwrap(), Inserted::Stored);
    let all = held(&store, "s").await;
    assert_eq!(all[4..], batch);

    let upkeep = store.upkeep().unwrap();
    for (from, to) in [(1, 5), (6, 9), (0, 2), (2, 20), (13, 14)] {
        assert!(
            !upkeep.fold("s", named("s", to, "fold").standing_from(from)).await.unwrap(),
            "{from} to {to}"
        );
    }
    assert!(!upkeep.fold("s", named("s", 3, "s.4").standing_from(2)).await.unwrap(), "a known id");
    assert!(upkeep.fold("s", named("s", 3, "fold").standing_from(2)).await.unwrap());
    let all = held(&store, "s").await;
    let want: Vec<_> = all.iter().map(|event| event.indexes()).collect();
    assert_eq!(want, [1..=1, 2..=3, 4..=4, 5..=9, 10..=10, 11..=12]);
    for after in 0..=13 {
        for before in 0..=14 {
            let request = ListEventsRequest::new("s").after_index(after).before_index(before);
            let within = all.iter().filter(|event| event.is_within((Some(after), Some(before))));
            let mut within: Vec<_> = within.cloned().collect();
            assert_eq!(store.list_events(request.clone()).await.unwrap().items, within, "{after} {before}");
            within.reverse();
            assert_eq!(store.list_events(request.descending()).await.unwrap().items, within);
        }
    }
    let usage = upkeep.usage("s").await.unwrap();
    let bytes: usize = all.iter().map(|event| event.payload.get().len()).sum();
    assert_eq!((usage.events, usage.bytes), (6, bytes as u64));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_batch_stops_where_one_of_its_events_may_not_follow() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    stored(&store, "s", 1..=3).await;
    stored(&store, "t", 1..=1).await;
    let conflict = |next_index| Inserted::Conflict { next_index };
    for (batch, want, then) in [
        (vec![event("s", 3)], Inserted::Duplicate, 3),
        (vec![named("s", 4, "t.1"), event("s", 4)], Inserted::Duplicate, 3),
        (vec![named("s", 9, "new"), event("s", 4)], conflict(4), 3),
        (vec![event("s", 4), event("s", 5), named("s", 6, "s.2"), event("s", 7)], Inserted::Duplicate, 5),
        (vec![event("s", 6), event("s", 7), event("s", 9)], conflict(8), 7),
        (vec![event("s", 8), event("s", 9), named("s", 10, "s.8")], Inserted::Duplicate, 9),
        (vec![named("s", u64::MAX, "far")], conflict(10), 9),
        (vec![named("s", u64::MAX, "s.1")], Inserted::Duplicate, 9),
        (vec![], Inserted::Stored, 9),
    ] {
        let shown = format!("{:?}", batch.iter().map(|event| &event.id).collect::<Vec<_>>());
        assert_eq!(store.insert_events("s", batch).await.unwrap(), want, "{shown}");
        let indexes: Vec<_> = held(&store, "s").await.iter().map(|event| event.event_index).collect();
        assert_eq!(indexes, (1..=then).collect::<Vec<_>>(), "{shown}");
    }
    let stranger = store.insert_events("s", vec![event("s", 10), event("t", 2)]).await.unwrap_err();
    assert_eq!(stranger.kind(), PersistErrorKind::Other);
    assert_eq!(held(&store, "s").await.len(), 9, "nothing of a batch that can't be meant so");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_batch_larger_than_a_message_should_be_goes_in_parts() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    let large = |index| {
        let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(1_500_000))).unwrap();
        SessionEvent::new(format!("{index}"), index, "s", 0, "c", Sender::Agent, payload)
    };
    let batch: Vec<_> = (1..=9).map(large).collect();
    assert_eq!(store.insert_events("s", batch.clone()).await.unwrap(), Inserted::Stored);
    assert_eq!(held(&store, "s").await, batch);
    let mut batch: Vec<_> = (10..=18).map(large).collect();
    batch[7].id = "3".to_owned();
    assert_eq!(store.insert_events("s", batch).await.unwrap(), Inserted::Duplicate);
    assert_eq!(held(&store, "s").await.len(), 16);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn what_is_too_large_is_told_and_harms_nothing() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    // Nothing that could be packed.
    let mut state = 1_u32;
    let mut letters = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + (state >> 24) as u8 % 90)
    };
    let long: String = (0..10_000).map(|_| letters()).collect();
    let too_large = PersistErrorKind::TooLarge;
    let kinds = [
        store.insert_event("s", named("s", 1, &long)).await.unwrap_err(),
        store.insert_event(&long, named(&long, 1, "e")).await.unwrap_err(),
        store.update_session(SessionRecord::new(&long, "codex", 1)).await.unwrap_err(),
        store.insert_event("s", named("s", u64::MAX, "run").standing_from(1)).await.unwrap_err(),
        store
            .insert_event("s", named("s", i64::MAX.unsigned_abs(), "run").standing_from(1))
            .await
            .unwrap_err(),
    ];
    for error in kinds {
        assert_eq!(error.kind(), too_large, "{error}");
        assert!(
            error.to_string().contains("limit is 2^63") || error.to_string().contains("2,600"),
            "{error}"
        );
    }
    let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(257 << 20))).unwrap();
    let huge = SessionEvent::new("huge", 1, "s", 0, "c", Sender::Agent, payload);
    let error = store.insert_event("s", huge).await.unwrap_err();
    assert_eq!(error.kind(), too_large);
    assert!(error.to_string().contains("event \"huge\""), "{error}");
    stored(&store, "s", 1..=2).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_row_that_no_driver_wrote_is_named() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    stored(&store, "s", 1..=3).await;
    store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
    let kind = PersistErrorKind::Corrupt;
    for change in [
        "payload = '{'",
        "sender = 'nobody'",
        "connection_id = E'\\x01'",
        "event_index = 2, folded_from = -5",
    ] {
        scratch.run(&format!("UPDATE {{s}}.events SET {change} WHERE id = 's.2'")).await;
        let error = store.list_events(ListEventsRequest::new("s")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{change}");
        let shown = error.to_string();
        assert!(shown.contains("event \"s.2\"") && shown.contains(&scratch.schema), "{shown}");
        let page = store.list_events(ListEventsRequest::new("s").after_index(2)).await.unwrap();
        assert_eq!(page.items, [event("s", 3)]);
        let right = "payload = '{}', sender = 'agent', connection_id = 'c', folded_from = NULL";
        scratch.run(&format!("UPDATE {{s}}.events SET {right} WHERE id = 's.2'")).await;
    }
    for change in ["modes = 'x'", "tags = ARRAY[NULL]", "agent = E'a\\x01'", "extra = '[]'"] {
        scratch.run(&format!("UPDATE {{s}}.sessions SET {change}")).await;
        for error in [
            store.get_session("s").await.unwrap_err(),
            store.list_sessions(ListSessionsRequest::new()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{change}");
            assert!(error.to_string().contains("session \"s\""), "{error}");
        }
        scratch.run("UPDATE {s}.sessions SET modes = NULL, tags = '{}', agent = 'codex', extra = NULL").await;
    }
    assert!(store.get_session("s").await.unwrap().is_some());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn the_tables_themselves_refuse_an_index_that_is_taken() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    stored(&store, "s", 1..=1).await;
    let theirs = format!(
        "INSERT INTO \"{}\".events SELECT 'other', session_id, event_index, folded_from, created_at, connection_id,
             sender, payload FROM \"{}\".events",
        scratch.schema, scratch.schema
    );
    let error = crate::scratch::raw().await.batch_execute(&theirs).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "23505", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn one_id_in_many_sessions_at_once_is_stored_once() {
    let scratch = Scratch::new();
    let store = scratch.connect().await;
    for round in 0..20 {
        let mut writes = tokio::task::JoinSet::new();
        for number in 0..6 {
            let store = store.clone();
            writes.spawn(async move {
                let session_id = format!("{round}.{number}");
                let batch = vec![event(&session_id, 1), named(&session_id, 2, &format!("shared {round}"))];
                store.insert_events(&session_id, batch).await.unwrap()
            });
        }
        let mut outcomes = writes.join_all().await;
        outcomes.retain(|outcome| *outcome != Inserted::Duplicate);
        assert_eq!(outcomes, [Inserted::Stored]);
    }
}
