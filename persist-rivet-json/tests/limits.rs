//! What goes when the state is full, and in which order.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Driver, PROMPT, RESPONSE, Session, UPDATE, event, held, ids, indexes, limits, raw, update_of};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, PersistErrorKind, Sender, SessionPersistDriver, SessionRecord,
};

async fn evicted(store: &Driver, request: ListEventsRequest) -> PersistErrorKind {
    store.list_events(request).await.unwrap_err().kind()
}

fn up_to(to: u64) -> PersistErrorKind {
    PersistErrorKind::Evicted { from: 1, to }
}

#[tokio::test]
async fn the_oldest_event_of_a_full_session_goes_and_leaves_an_exact_mark() {
    let store = Driver::in_process(limits().max_events_per_session(5));
    let mut session = Session::new(&store, "s");
    session.updates(8).await;
    assert_eq!(session.held().await, [4, 5, 6, 7, 8]);

    let after = |index| ListEventsRequest::new("s").after_index(index);
    assert_eq!(evicted(&store, after(0)).await, up_to(3));
    assert_eq!(evicted(&store, after(2)).await, PersistErrorKind::Evicted { from: 3, to: 3 });
    assert_eq!(store.list_events(after(3)).await.unwrap().items.len(), 5);
    let before = |index| ListEventsRequest::new("s").descending().before_index(index);
    assert_eq!(evicted(&store, before(4)).await, up_to(3));
    assert!(store.list_events(before(1)).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_turn_that_is_longer_than_a_session_may_be_loses_its_beginning() {
    let store = Driver::in_process(limits().max_events_per_session(5));
    let mut session = Session::new(&store, "s");
    session.add(Sender::Client, PROMPT).await;
    session.updates(6).await;
    session.add(Sender::Agent, RESPONSE).await;
    assert_eq!(session.held().await, [4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn bytes_go_from_whoever_stored_first_and_from_a_running_turn_last() {
    let store = Driver::in_process(limits().max_bytes(14_000));
    let large = update_of(1_000);
    let mut running = Session::new(&store, "running");
    running.add(Sender::Client, PROMPT).await;
    let mut idle = Session::new(&store, "idle");
    let mut busy = Session::new(&store, "busy");
    for _ in 0..4 {
        idle.add(Sender::Agent, &large).await;
    }
    while idle.held().await.len() == 4 {
        busy.add(Sender::Agent, &large).await;
    }
    assert_eq!(idle.held().await, [2, 3, 4]);
    assert_eq!(busy.held().await.first(), Some(&1));
    for _ in 0..20 {
        busy.add(Sender::Agent, &large).await;
    }
    assert!(idle.held().await.is_empty());
    assert!(busy.held().await.first() > Some(&1));
    assert_eq!(running.held().await, [1]);
    assert_eq!(evicted(&store, ListEventsRequest::new("idle").after_index(0)).await, up_to(4));
    idle.updates(1).await;
    assert_eq!(idle.held().await, [5]);

    while !busy.held().await.is_empty() {
        assert_eq!(running.held().await.first(), Some(&1));
        running.add(Sender::Agent, &large).await;
    }
    for _ in 0..2 {
        running.add(Sender::Agent, &large).await;
    }
    assert!(running.held().await.first() > Some(&1), "there was nothing else");
    assert_eq!(evicted(&store, ListEventsRequest::new("busy").after_index(0)).await, up_to(busy.last));
}

#[tokio::test]
async fn whole_sessions_go_when_no_event_is_left_and_the_idle_ones_first() {
    let store = Driver::in_process(limits().max_bytes(2_000));
    for (number, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
        store.update_session(SessionRecord::new(id, "codex", number as i64)).await.unwrap();
    }
    let mut a = Session::new(&store, "a");
    a.add(Sender::Client, PROMPT).await;
    let mut c = Session::new(&store, "c");
    c.updates(1).await;

    let mut large = SessionRecord::new("e", "codex", 9);
    let mut left = vec!["a b c d".to_owned()];
    let refused = loop {
        large.title = Some(format!("{}x", large.title.unwrap_or_default()));
        if let Err(error) = store.update_session(large.clone()).await {
            break error;
        }
        let now = ids(&store).await.join(" ");
        if left.last() != Some(&now) {
            left.push(now);
        }
        if left.len() > 2 {
            assert!(a.held().await.is_empty() && c.held().await.is_empty(), "events go first");
        }
    };
    let want = ["a b c d", "a b c d e", "a c d e", "a c e", "a e", "e"];
    assert_eq!(left, want, "b and d were written to before c, and a has a running turn");
    assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
    assert!(refused.to_string().contains("RivetJsonOptions::max_bytes"), "{refused}");
    assert_eq!(ids(&store).await, ["e"]);
    assert_eq!(
        store.get_session("e").await.unwrap().unwrap().title.unwrap().len() + 1,
        large.title.unwrap().len()
    );
}

#[tokio::test]
async fn the_session_idle_for_longest_goes_whole_and_its_indexes_go_on() {
    let store = Driver::in_process(limits().max_sessions(2));
    for (number, id) in ["a", "b"].into_iter().enumerate() {
        store.update_session(SessionRecord::new(id, "codex", number as i64)).await.unwrap();
    }
    let mut b = Session::new(&store, "b");
    b.updates(3).await;
    let mut a = Session::new(&store, "a");
    a.add(Sender::Client, PROMPT).await;

    store.update_session(SessionRecord::new("c", "codex", 9)).await.unwrap();
    assert_eq!(ids(&store).await, ["a", "c"]);
    assert_eq!(evicted(&store, ListEventsRequest::new("b").after_index(0)).await, up_to(3));
    assert!(b.held().await.is_empty());

    b.updates(1).await;
    assert_eq!(b.held().await, [4]);
    assert_eq!(ids(&store).await, ["a"], "a has a running turn, so that c went");

    b.add(Sender::Client, &PROMPT.replace("p-1", "p-9")).await;
    store.update_session(SessionRecord::new("d", "codex", 9)).await.unwrap();
    assert_eq!(ids(&store).await, ["d"], "all run, and a was written to longest ago");
    assert_eq!(b.held().await, [4, 5]);
}

#[tokio::test]
async fn marks_outlive_the_state_and_the_oldest_are_forgotten() {
    let store = Driver::in_process(limits().max_sessions(3));
    for id in ["a", "b", "c", "d", "e", "f", "g"] {
        let stored = store.insert_events(id, vec![event(id, 1, UPDATE), event(id, 2, UPDATE)]).await;
        assert_eq!(stored.unwrap(), Inserted::Stored);
    }
    let json: serde_json::Value = store.content().to_value();
    assert_eq!(json["evicted"], serde_json::json!({ "b": 2, "c": 2, "d": 2 }));

    let mut saved = serde_json::Map::new();
    saved.insert("_sandboxAgentPersist".to_owned(), json);
    let state = sandbox_agent_persist_rivet_json::ValueState::with_members(saved);
    let again = Driver::open_with_options(state, limits().max_sessions(3)).await.unwrap();
    assert_eq!(evicted(&again, ListEventsRequest::new("b").after_index(0)).await, up_to(2));
    for (id, next_index) in [("a", 1), ("b", 3), ("d", 3), ("g", 3)] {
        let refused = again.insert_event(id, event(id, 99, UPDATE)).await.unwrap();
        assert_eq!(refused, Inserted::Conflict { next_index }, "{id}");
    }
    again.delete_session("b").await.unwrap();
    let refused = again.insert_event("b", event("b", 99, UPDATE)).await.unwrap();
    assert_eq!(refused, Inserted::Conflict { next_index: 1 });
}

#[tokio::test]
async fn marks_take_a_small_part_of_the_bytes() {
    let store = Driver::in_process(limits().max_bytes(16 * 1024));
    for number in 0..1_000 {
        let id = format!("session with a long name {number}");
        let record = SessionRecord::new(&id, "codex", number);
        store.update_session(record).await.unwrap();
        let stored = store.insert_event(&id, event(&id, 1, UPDATE)).await.unwrap();
        assert_eq!(stored, Inserted::Stored);
    }
    let mut content = store.content().to_value();
    let sessions = content["sessions"].take();
    let marks = content["evicted"].as_object_mut().unwrap();
    marks.retain(|id, _| sessions.get(id).is_none());
    let (count, bytes) = (marks.len(), content["evicted"].to_string().len());
    assert!(count > 10 && bytes < 1024, "{count} marks of {bytes} bytes");
}

#[tokio::test]
async fn limits_of_nothing_refuse_and_name_themselves() {
    let no_session = Driver::in_process(limits().max_sessions(0));
    let no_event = Driver::in_process(limits().max_events_per_session(0));
    let no_byte = Driver::in_process(limits().max_bytes(0));
    for (store, option) in
        [(&no_session, "max_sessions"), (&no_event, "max_events_per_session"), (&no_byte, "max_bytes")]
    {
        let refused = store.insert_event("s", event("s", 1, UPDATE)).await.unwrap_err();
        assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
        assert!(refused.to_string().contains(&format!("RivetJsonOptions::{option}")), "{refused}");
        assert!(store.content().to_value()["events"].as_object().unwrap().is_empty());
    }
    assert!(no_byte.update_session(SessionRecord::new("s", "codex", 0)).await.is_err());
    let long = "s".repeat(5_000);
    for store in [&no_session, &no_event, &no_byte] {
        let refused = store.insert_event(&long, event(&long, 1, UPDATE)).await.unwrap_err();
        assert!(refused.to_string().len() < 250, "{refused}");
    }
    no_event.update_session(SessionRecord::new("s", "codex", 0)).await.unwrap();
}

#[tokio::test]
async fn a_run_takes_its_indexes_and_no_index_is_beyond_those_of_javascript() {
    let store = Driver::in_process(limits());
    let last = (1 << 53) - 1;
    let all = event("s", u64::MAX, UPDATE).standing_from(1);
    let refused = store.insert_event("s", all).await.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::Other);
    let most = event("s", last, UPDATE).standing_from(1);
    assert_eq!(store.insert_event("s", most).await.unwrap(), Inserted::Stored);
    let next = store.insert_event("s", event("s", last + 1, UPDATE)).await;
    assert_eq!(next.unwrap_err().kind(), PersistErrorKind::Other);
    assert_eq!(indexes(&store, "s").await, [last]);
}

#[tokio::test]
async fn a_folded_run_makes_room_and_one_that_grows_is_refused() {
    let store = Driver::in_process(limits().max_bytes(4_000));
    let mut session = Session::new(&store, "s");
    session.updates(5).await;
    let upkeep = store.upkeep().unwrap();
    let before = store.content().bytes();
    let mut folded = event("s", 4, UPDATE).standing_from(2);
    folded.id = "folded".to_owned();
    assert!(upkeep.fold("s", folded.clone()).await.unwrap());
    assert!(store.content().bytes() < before);
    assert_eq!(indexes(&store, "s").await, [1, 4, 5]);

    folded.id = "larger".to_owned();
    folded.payload = raw(update_of(4_000));
    let refused = upkeep.fold("s", folded).await.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
    assert_eq!(held(&store, "s").await[1].id, "folded");
}

#[tokio::test]
async fn debug_shows_counts_and_no_content() {
    let store = Driver::in_process(limits());
    Session::new(&store, "secret").updates(2).await;
    let shown = format!("{store:?}");
    assert!(shown.contains("sessions: 1, events: 2"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}
