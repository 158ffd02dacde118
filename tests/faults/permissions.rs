//! A permission request is shown, answered once, and never forgotten.

use futures::StreamExt;
use sandbox_agent_sdk::persist::envelope::{self, Kind};
use sandbox_agent_sdk::persist::{Inserted, RawValue, Sender};
use sandbox_agent_sdk::{
    EventView, MemorySessionPersistDriver, PermissionPolicy, PermissionReply, SandboxAgent, SessionEvent,
    SessionEventExt, SessionPersistDriver, SessionState, TurnEvent,
};
use sandbox_agent_testkit::{On, Sandbox};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{recorded, request, said, stored};
use crate::{PATIENCE, limits, sandbox, sdk_on, server, session};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_shows_every_permission_request_as_one() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    for round in 0..100 {
        let mut turn = session.prompt("stream 200; ask Push");
        let mut shown = 0;
        loop {
            match turn.next().await.unwrap().unwrap() {
                TurnEvent::Permission(asked) => {
                    shown += 1;
                    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
                }
                TurnEvent::Event(event) if matches!(event.view(), EventView::PermissionRequest(_)) => {
                    panic!("in round {round} it was a plain event: nobody would answer it");
                }
                TurnEvent::Finished(_) => break,
                _ => {}
            }
        }
        assert_eq!(shown, 1, "in round {round}");
    }
}

#[tokio::test]
async fn a_kind_of_option_that_is_not_known_hides_no_other() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let ask = |id: u64, options: serde_json::Value| {
        let params = json!({ "sessionId": "x", "toolCall": { "toolCallId": "t" }, "options": options });
        json!({ "jsonrpc": "2.0", "id": id, "method": "session/request_permission", "params": params })
    };
    let known = json!({ "optionId": "y", "name": "yes", "kind": "allow_once" });
    let strange = json!({ "optionId": "w", "name": "this week", "kind": "allow_week" });
    let turn = session.prompt(format!("raw {}\nthink 60000", ask(7_001, json!([strange, known]))));
    let mut requests = session.permission_requests();
    let asked = timeout(PATIENCE, requests.next()).await.unwrap().unwrap();
    assert_eq!(asked.options.len(), 1);
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    let process = server(&session);
    let answered = |sandbox: &Sandbox, id: u64, of: fn(&serde_json::Value) -> bool| {
        sandbox.received(&process).iter().any(|envelope| envelope["id"] == id && of(envelope))
    };
    let chosen = |envelope: &serde_json::Value| envelope["result"]["outcome"]["optionId"] == "y";
    sandbox.wait_for(|sandbox| answered(sandbox, 7_001, chosen)).await.unwrap();
    turn.cancel().await.unwrap();

    // One without any that is known is refused, so that the agent does not wait.
    session.prompt(format!("raw {}", ask(7_002, json!([strange])))).await.unwrap();
    let refused = |envelope: &serde_json::Value| envelope["error"]["code"] == -32602;
    sandbox.wait_for(|sandbox| answered(sandbox, 7_002, refused)).await.unwrap();
}

#[tokio::test]
async fn request_ids_of_two_processes_differ() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let ask = json!({
        "jsonrpc": "2.0", "id": 0, "method": "session/request_permission",
        "params": {
            "sessionId": "x",
            "toolCall": { "toolCallId": "t" },
            "options": [{ "optionId": "y", "name": "yes", "kind": "allow_once" }],
        },
    });
    let mut ids = Vec::new();
    for _ in 0..2 {
        let turn = session.prompt(format!("raw {ask}\nthink 60000"));
        let asked = session.permission_requests().next().await.unwrap();
        session.respond(&asked.id, PermissionReply::Once).await.unwrap();
        ids.push(asked.id);
        sandbox.faults().kill_agent(&server(&session), 1).unwrap();
        assert!(turn.await.unwrap_err().is_agent_gone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn an_answer_by_policy_that_did_not_arrive_is_sent_again() {
    let sandbox = sandbox().await;
    let sdk = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    let session = sdk.create_session(request("one").permissions(PermissionPolicy::Allow)).await.unwrap();
    // The prompt passes; the POST after it is the answer.
    sandbox.faults().next(On::rpc("session/prompt")).delay(std::time::Duration::ZERO);
    sandbox.faults().next(On::post()).answer(503, "text/plain", "one moment");
    timeout(PATIENCE, session.prompt("ask Push")).await.unwrap().unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    assert!(said(&recorded(&session).await).starts_with("permission: allow"));
    assert!(session.pending_permissions().is_empty());
}

#[tokio::test]
async fn a_request_whose_answer_arrived_is_gone_although_the_call_was_dropped() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("ask Push; think 60000");
    let asked = session.permission_requests().next().await.unwrap();
    sandbox.faults().next(On::post()).hang();
    let server = server(&session);
    let arrived = sandbox.wait_for(|sandbox| {
        sandbox.received(&server).iter().any(|envelope| envelope["result"]["outcome"].is_object())
    });
    tokio::select! {
        answered = session.respond(&asked.id, PermissionReply::Once) => panic!("no POST ended: {answered:?}"),
        arrived = arrived => arrived.unwrap(),
    }
    let allowed = |event: TurnEvent| event.text().is_some_and(|text| text.starts_with("permission: allow"));
    while !allowed(turn.next().await.unwrap().unwrap()) {}
    assert!(session.pending_permissions().is_empty(), "the agent has its answer");
}

#[tokio::test]
async fn a_request_that_another_sdk_answered_is_not_listed_any_more() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdks = [sdk_on(&sandbox, driver.clone(), limits()).await, sdk_on(&sandbox, driver, limits()).await];
    let one = sdks[0].create_session(request("one")).await.unwrap();
    let other = sdks[1].resume_or_create_session(request("one")).await.unwrap();
    let turn = one.prompt("ask Push; say done");
    let (mut here, mut there) = (one.permission_requests(), other.permission_requests());
    let asked = timeout(PATIENCE, here.next()).await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, there.next()).await.unwrap().unwrap().id, asked.id);
    one.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    let mut state = other.state();
    let answered = state.wait_for(|state| *state != SessionState::WaitingForPermission);
    timeout(PATIENCE, answered).await.expect("somebody answered").unwrap();
    assert!(other.pending_permissions().is_empty());
}

#[tokio::test]
async fn an_answer_that_another_writer_stored_ends_a_request() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("ask Push");
    let asked = session.permission_requests().next().await.unwrap();
    let question = stored(&driver, "one").await.pop().unwrap();
    assert_eq!(question.event_index, asked.event_index);
    let Kind::Request { id, .. } = envelope::kind(&question.payload) else { panic!("{question:?}") };
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"outcome":{{"outcome":"cancelled"}}}}}}"#);
    let theirs = SessionEvent::new(
        "theirs",
        question.event_index + 1,
        "one",
        question.created_at,
        server(&session),
        Sender::Client,
        RawValue::from_string(answer).unwrap(),
    );
    assert_eq!(driver.insert_event("one", theirs).await.unwrap(), Inserted::Stored);
    // Whatever is to be stored next finds its index taken.
    let line = json!({ "jsonrpc": "2.0", "method": "x/y", "params": {} }).to_string();
    sandbox.faults().agent_writes(&server(&session), &line).unwrap();
    let mut state = session.state();
    let answered = state.wait_for(|state| *state != SessionState::WaitingForPermission);
    timeout(PATIENCE, answered).await.expect("somebody answered").unwrap();
    assert!(session.pending_permissions().is_empty());
    turn.cancel().await.unwrap();
}
