//! State that a TypeScript program wrote, in each shape that it may have.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Driver, event, held};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, PersistErrorKind, SessionPersistDriver, SessionRecord,
};
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, ValueState};
use serde_json::{Value, json};

fn state(content: Value) -> ValueState {
    let state = json!({ "mine": { "count": 1 }, "_sandboxAgentPersist": content, "other": [1.5, null] });
    let Value::Object(members) = state else { unreachable!("it is an object") };
    ValueState::with_members(members)
}

fn typescript() -> Value {
    json!({
        "sessions": {
            "s": { "id": "s", "agent": "codex", "agentSessionId": "agent-s", "lastConnectionId": "conn-2",
                "createdAt": 1000, "sessionInit": { "cwd": "/repo", "mcpServers": [] }, "later": { "x": [1] } },
            "t": { "id": "t", "agent": "claude", "agentSessionId": "agent-t", "lastConnectionId": "conn-1",
                "createdAt": 500, "destroyedAt": 2000 },
        },
        "events": {
            "s": [
                { "id": "z", "eventIndex": 1, "sessionId": "s", "createdAt": 10, "connectionId": "conn-1",
                    "sender": "client", "payload": { "of": "z" }, "later": { "b": 1, "a": [2.5] }, "more": null },
                { "id": "a", "eventIndex": 2, "sessionId": "s", "createdAt": 10, "connectionId": "conn-1",
                    "sender": "agent", "payload": { "of": "a" } },
            ],
            "t": [],
            "no record": [
                { "id": "m", "eventIndex": 37, "sessionId": "no record", "createdAt": 10, "connectionId": "c",
                    "sender": "agent", "payload": null },
                { "id": "n", "eventIndex": 38, "sessionId": "no record", "createdAt": 10, "connectionId": "c",
                    "sender": "agent", "payload": [] },
            ],
        },
        "version": { "of": "something" },
    })
}

fn with_marks(mut content: Value, marks: Value) -> Value {
    content["evicted"] = marks;
    content
}

#[tokio::test]
async fn state_of_the_present_shape_opens_and_comes_back_with_all_that_is_unknown() {
    let state = state(typescript());
    let store = Driver::open(state.clone()).await.unwrap();
    assert_eq!(state.value()["_sandboxAgentPersist"], typescript(), "nothing is changed by opening");

    let mut t = SessionRecord::new("t", "claude", 500);
    t.agent_session_id = "agent-t".to_owned();
    t.last_connection_id = "conn-1".to_owned();
    t.destroyed_at = Some(2000);
    let mut s = SessionRecord::new("s", "codex", 1000);
    s.agent_session_id = "agent-s".to_owned();
    s.last_connection_id = "conn-2".to_owned();
    s.session_init = Some(json!({ "cwd": "/repo", "mcpServers": [] }));
    s.extra.insert("later".to_owned(), json!({ "x": [1] }));
    let page = store.list_sessions(ListSessionsRequest::new()).await.unwrap();
    assert_eq!(page.items, [t.clone(), s]);
    let payloads: Vec<_> = held(&store, "s").await.iter().map(|event| event.payload.to_string()).collect();
    assert_eq!(payloads, [r#"{"of":"z"}"#, r#"{"of":"a"}"#]);
    let begin = store.list_events(ListEventsRequest::new("no record").after_index(0)).await.unwrap_err();
    assert_eq!(begin.kind(), PersistErrorKind::Evicted { from: 1, to: 36 });

    store.update_session(t).await.unwrap();
    assert_eq!(state.value()["_sandboxAgentPersist"], with_marks(typescript(), json!({})));
    assert_eq!(state.value()["mine"], json!({ "count": 1 }));
    assert_eq!(state.value()["other"], json!([1.5, null]));

    let inserted = store.insert_event("s", event("s", 3, r#"{"of":"new"}"#)).await.unwrap();
    assert_eq!(inserted, Inserted::Stored);
    let mut want = with_marks(typescript(), json!({}));
    want["events"]["s"].as_array_mut().unwrap().push(json!({ "id": "s.3", "eventIndex": 3, "sessionId": "s",
        "createdAt": 0, "connectionId": "c", "sender": "agent", "payload": { "of": "new" } }));
    assert_eq!(state.value()["_sandboxAgentPersist"], want);
}

#[tokio::test]
async fn runs_and_marks_come_back() {
    let mut content = typescript();
    content["events"]["s"][1]["eventIndex"] = json!(9);
    content["events"]["s"][1]["foldedFrom"] = json!(2);
    let content = with_marks(content, json!({ "gone": 5, "t": 7, "s": 1 }));
    let state = state(content.clone());
    let store = Driver::open(state.clone()).await.unwrap();
    assert_eq!(held(&store, "s").await[1].indexes(), 2..=9);
    for (session, next_index) in [("s", 10), ("t", 8), ("gone", 6), ("new", 1)] {
        let refused = store.insert_event(session, event(session, 99, "null")).await.unwrap();
        assert_eq!(refused, Inserted::Conflict { next_index }, "{session}");
    }
    store.delete_session("no record").await.unwrap();
    let mut want = content;
    want["events"].as_object_mut().unwrap().remove("no record");
    // What the first event tells needs no mark.
    want["evicted"].as_object_mut().unwrap().remove("s");
    assert_eq!(state.value()["_sandboxAgentPersist"], want);
}

fn old(id: Value, time: i64) -> Value {
    json!({ "id": id, "sessionId": "s", "createdAt": time, "connectionId": "c", "sender": "agent",
        "payload": { "of": id } })
}

async fn numbered(events: Value) -> Vec<(String, u64)> {
    let count = events.as_array().unwrap().len();
    let state = state(json!({ "sessions": {}, "events": { "s": events } }));
    let store = Driver::open(state).await.unwrap();
    let held = held(&store, "s").await;
    assert_eq!(held.len(), count, "nothing is lost");
    let next = held.last().unwrap().event_index + 1;
    let inserted = store.insert_event("s", event("s", next, "null")).await.unwrap();
    assert_eq!(inserted, Inserted::Stored);
    held.into_iter().map(|event| (event.id, event.event_index)).collect()
}

fn want(events: &[(&str, u64)]) -> Vec<(String, u64)> {
    events.iter().map(|(id, index)| ((*id).to_owned(), *index)).collect()
}

#[tokio::test]
async fn events_without_an_index_are_numbered_in_the_order_of_their_time() {
    let events = [("late", 30), ("z", 20), ("first", 10), ("a", 20)].map(|(id, time)| old(json!(id), time));
    assert_eq!(numbered(json!(events)).await, want(&[("first", 1), ("z", 2), ("a", 3), ("late", 4)]));
}

#[tokio::test]
async fn holes_doubles_and_what_is_no_index_are_numbered_anew() {
    let events = [("x", json!(1)), ("y", json!(4)), ("z", json!(4)), ("w", json!(2.0)), ("v", json!("5"))];
    let events = events.map(|(id, index)| {
        let mut event = old(json!(id), 1);
        event["eventIndex"] = index;
        event
    });
    let all = [("v", 1), ("x", 2), ("w", 3), ("y", 4), ("z", 5)];
    assert_eq!(numbered(json!(events)).await, want(&all));
}

#[tokio::test]
async fn ids_become_text_and_unique() {
    let events = [json!(9), json!(10), json!("10"), json!("x"), json!("x")].map(|id| old(id, 1));
    let all = [("9", 1), ("10", 2), ("10#2", 3), ("x", 4), ("x#2", 5)];
    assert_eq!(numbered(json!(events)).await, want(&all));
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_left_alone() {
    let event = |member: &str, value: Value| {
        let mut event = old(json!("x"), 1);
        event[member] = value;
        json!({ "events": { "s": [old(json!("a"), 1), event] } })
    };
    for (content, place) in [
        (json!([]), "_sandboxAgentPersist can't"),
        (json!({ "sessions": [] }), ".sessions can't"),
        (json!({ "events": { "s": {} } }), r#".events["s"] can't"#),
        (json!({ "sessions": { "s": { "id": "s" } } }), r#".sessions["s"] can't"#),
        (json!({ "sessions": { "s": SessionRecord::new("t", "codex", 0) } }), r#".sessions["s"] can't"#),
        (json!({ "evicted": { "s": -1 } }), r#".evicted["s"] can't"#),
        (event("id", Value::Null), r#".events["s"][1] can't"#),
        (event("id", json!("\u{0}")), ""),
        (event("sessionId", json!("t")), r#".events["s"][1] can't"#),
        (event("sender", json!("server")), r#".events["s"][1] can't"#),
        (event("createdAt", json!(0.5)), r#".events["s"][1] can't"#),
        (json!({ "events": { "s": [7] } }), r#".events["s"][0] can't"#),
    ] {
        let state = state(content.clone());
        let opened = Driver::open(state.clone()).await;
        if place.is_empty() {
            opened.unwrap();
            continue;
        }
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{content}");
        let message = error.to_string();
        assert!(message.contains(place) && message.contains("repair it"), "{message}");
        assert_eq!(state.value()["_sandboxAgentPersist"], content);
    }
}

#[tokio::test]
async fn nothing_there_is_an_empty_store() {
    for content in
        [json!(null), json!({}), json!({ "sessions": null, "events": { "s": null }, "evicted": {} })]
    {
        let store = Driver::open(state(content)).await.unwrap();
        assert!(held(&store, "s").await.is_empty());
        let inserted = store.insert_event("s", event("s", 1, "null")).await.unwrap();
        assert_eq!(inserted, Inserted::Stored);
    }
}

#[tokio::test]
async fn the_key_may_be_another() {
    let state = ValueState::new();
    let options = RivetJsonOptions::new().key("mine");
    let store = Driver::open_with_options(state.clone(), options).await.unwrap();
    store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
    let second = Driver::open(state.clone()).await.unwrap();
    second.update_session(SessionRecord::new("t", "codex", 1)).await.unwrap();
    assert_eq!(state.value()["mine"]["sessions"]["s"]["agent"], "codex");
    assert_eq!(state.value()["_sandboxAgentPersist"]["sessions"]["t"]["agent"], "codex");
}
