//! Payloads that are too large to keep.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Driver, PROMPT, RESPONSE, Session, event, held, limits, raw, update_of};
use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{Sender, SessionPersistDriver, SessionRecord};
use sandbox_agent_persist_rivet_json::{TRUNCATED, Truncated};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MOST: usize = 8 * 1024;

/// What is kept of a payload which is too large.
async fn kept(sender: Sender, payload: &str) -> (Value, Truncated) {
    let store = Driver::in_process(limits().max_bytes(MOST));
    let mut session = Session::new(&store, "s");
    session.add(sender, payload).await;
    let event = held(&store, "s").await.remove(0);
    let truncated = Truncated::of(&event).unwrap();
    assert_eq!(truncated.bytes, payload.len() as u64);
    let hash: String = Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(truncated.sha256, hash);
    (serde_json::from_str(event.payload.get()).unwrap(), truncated)
}

fn long() -> String {
    "x".repeat(MOST)
}

#[tokio::test]
async fn a_notification_becomes_a_note() {
    let (payload, note) = kept(Sender::Agent, &update_of(MOST)).await;
    assert_eq!(payload["jsonrpc"], "2.0");
    assert_eq!(payload["method"], TRUNCATED);
    assert!(payload.get("id").is_none());
    assert_eq!(note.method.as_deref(), Some("session/update"));
}

#[tokio::test]
async fn a_prompt_stays_a_prompt() {
    let prompt = json!({ "jsonrpc": "2.0", "id": 12345678901234567890u64, "method": "session/prompt",
        "params": { "sessionId": "a-1", "prompt": [{ "type": "text", "text": long() }] } });
    let (payload, _) = kept(Sender::Client, &prompt.to_string()).await;
    assert_eq!(payload["id"], prompt["id"]);
    assert_eq!(payload["method"], "session/prompt");
    assert_eq!(payload["params"]["sessionId"], "a-1");
    let text = payload["params"]["prompt"][0]["text"].as_str().unwrap();
    assert!(text.contains(&format!("{} bytes", prompt.to_string().len())), "{text}");
}

#[tokio::test]
async fn a_permission_can_still_be_answered() {
    let options = json!([{ "optionId": "yes", "name": "Yes", "kind": "allow_once" }]);
    let request = json!({ "jsonrpc": "2.0", "id": 3, "method": "session/request_permission", "params": {
        "sessionId": "a-1", "options": options,
        "toolCall": { "toolCallId": "t-1", "title": "Edit", "kind": "edit", "content": [{ "newText": long() }] },
    } });
    let (payload, _) = kept(Sender::Agent, &request.to_string()).await;
    assert_eq!(payload["id"], 3);
    assert_eq!(payload["method"], "session/request_permission");
    assert_eq!(payload["params"]["options"], options);
    assert_eq!(
        payload["params"]["toolCall"],
        json!({ "toolCallId": "t-1", "title": "Edit", "kind": "edit" })
    );
}

#[tokio::test]
async fn a_response_says_what_it_came_to() {
    let result = json!({ "stopReason": "end_turn", "_meta": { "more": long() } });
    let response = json!({ "jsonrpc": "2.0", "id": "p-1", "result": result });
    let (payload, _) = kept(Sender::Agent, &response.to_string()).await;
    assert_eq!(payload["id"], "p-1");
    assert_eq!(payload["result"]["stopReason"], "end_turn");
    assert!(payload["result"]["_meta"]["more"].is_null());

    let error = json!({ "code": -32000, "message": format!("no: {}", long()), "data": long() });
    let response = json!({ "jsonrpc": "2.0", "id": "p-1", "error": error });
    let (payload, _) = kept(Sender::Agent, &response.to_string()).await;
    assert_eq!(payload["error"]["code"], -32000);
    assert!(payload["error"]["message"].as_str().unwrap().starts_with("no: xxx"));

    let response = json!({ "jsonrpc": "2.0", "id": "p-1", "result": long() });
    let (payload, _) = kept(Sender::Agent, &response.to_string()).await;
    assert!(payload["result"].is_object());
}

#[tokio::test]
async fn what_is_no_message_becomes_a_note() {
    for payload in [
        json!(long()),
        json!([long()]),
        json!({ "id": long(), "method": "session/prompt" }),
        json!({ "method": long() }),
    ] {
        let (kept, note) = kept(Sender::Agent, &payload.to_string()).await;
        assert_eq!(kept["method"], TRUNCATED);
        assert_eq!(note.method, None);
    }
}

#[tokio::test]
async fn the_stub_is_of_the_same_kind_with_the_same_id() {
    for payload in [
        r#"{"id": 1.50 ,"method":"session/prompt","x":"L"}"#,
        r#"{"id":"\u00e9","result":{"x":"L"}}"#,
        r#"{"id":[1, 2],"error":{"x":"L"}}"#,
        r#"{"id":1,"result":null,"error":null,"x":"L"}"#,
    ] {
        let store = Driver::in_process(limits().max_bytes(MOST));
        let payload = raw(payload.replace('L', &long()));
        Session::new(&store, "s").add(Sender::Agent, payload.get()).await;
        let kept = held(&store, "s").await.remove(0).payload;
        let (Kind::Request { id: want, .. } | Kind::Response { id: want }) = envelope::kind(&payload) else {
            unreachable!("each has an id")
        };
        match (envelope::kind(&kept), envelope::kind(&payload)) {
            (Kind::Request { id, method }, Kind::Request { method: of, .. }) => {
                assert_eq!((id, method), (want, of));
            }
            (Kind::Response { id }, Kind::Response { .. }) => assert_eq!(id, want),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_response_that_was_too_large_ends_its_turn() {
    let store = Driver::in_process(limits().max_bytes(MOST));
    let mut first = Session::new(&store, "first");
    first.add(Sender::Client, PROMPT).await;
    first.add(Sender::Agent, &RESPONSE.replace("end_turn", &long())).await;
    let mut other = Session::new(&store, "other");
    other.updates(5).await;
    while first.held().await.len() == 2 {
        other.updates(1).await;
    }
    assert_eq!(other.held().await.first(), Some(&1), "the turn of the first is over, so that it goes first");
}

#[tokio::test]
async fn an_event_that_fits_by_itself_drives_out_events_and_no_session() {
    for size in (0..MOST).rev() {
        let store = Driver::in_process(limits().max_bytes(MOST));
        for id in ["a", "b"] {
            store.update_session(SessionRecord::new(id, "codex", 0)).await.unwrap();
        }
        let mut a = Session::new(&store, "a");
        a.updates(20).await;
        Session::new(&store, "b").add(Sender::Agent, &update_of(size)).await;
        assert_eq!(kit::ids(&store).await, ["a", "b"]);
        let stored = held(&store, "b").await.remove(0);
        if Truncated::of(&stored).is_none() {
            assert_eq!(stored.payload.get(), update_of(size));
            assert!(a.held().await.is_empty(), "the largest that fits takes the place of all");
            return assert!(size > MOST - 1_000, "{size}");
        }
    }
}

#[tokio::test]
async fn what_no_reader_takes_back_is_not_kept() {
    let store = Driver::in_process(limits());
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut session = Session::new(&store, "s");
    session.add(Sender::Agent, &deep(100)).await;
    session.add(Sender::Agent, &deep(101)).await;
    session.add(Sender::Agent, &deep(100_000)).await;
    let kept = held(&store, "s").await;
    assert_eq!(kept[0].payload.get(), deep(100));
    assert_eq!(Truncated::of(&kept[1]).unwrap().bytes, 202);
    assert_eq!(Truncated::of(&kept[2]).unwrap().bytes, 200_000);
}

#[test]
fn what_is_whole_is_no_note() {
    for payload in [
        kit::UPDATE.to_owned(),
        format!(r#"{{"method":"session/update","params":{{"text":"{TRUNCATED}"}}}}"#),
        format!(r#"{{"method":"{TRUNCATED}"}}"#),
        format!(r#"{{"method":"{TRUNCATED}","params":{{"bytes":"many","sha256":""}}}}"#),
        format!(r#"["{TRUNCATED}"]"#),
    ] {
        assert_eq!(Truncated::of(&event("s", 1, &payload)), None, "{payload}");
    }
}
