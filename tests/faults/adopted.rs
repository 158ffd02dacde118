//! A turn that runs on when its SDK is gone is taken up by the next one.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::persist::PersistErrorKind;
use sandbox_agent_sdk::{
    Delivery, ErrorKind, Limit, MemorySessionPersistDriver, PermissionReply, Prompt, ResumeOutcome,
};
use sandbox_agent_testkit::On;
use serde_json::Value;
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{gaps, recorded, request, said, saying};
use crate::{MOMENT, PATIENCE, eventually, first, leave_running, limits, sandbox, sdk_on, server};

#[tokio::test]
async fn a_prompt_that_nobody_got_is_unknown_within_its_limit_and_the_process_stays() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    sandbox.faults().next(On::rpc("session/prompt")).hang_undelivered();
    let turn = session.prompt(Prompt::new("say never").idempotency_key("it"));
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let process = server(&session);
    sdk.detach().await.unwrap();
    assert_eq!(turn.await.unwrap_err().delivery(), Some(Delivery::Unknown));

    let quick = limits().unconfirmed(Duration::from_millis(300)).cancel(Duration::from_millis(300));
    let sdk = sdk_on(&sandbox, driver.clone(), quick).await;
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    let error = timeout(PATIENCE, session.running_turn().unwrap()).await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Unconfirmed));
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    assert_eq!(session.delivery("it").await.unwrap(), Some(Delivery::Unknown));
    session.prompt("say next").await.unwrap();
    assert_eq!(server(&session), process);
    assert_eq!(said(&recorded(&session).await), "next");
    assert_eq!(sandbox.prompts_received().len(), 1, "nothing is sent again by itself");

    // It is not waited for another time.
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    assert!(opened.session.running_turn().is_none());
}

#[tokio::test]
async fn a_prompt_that_was_in_doubt_is_settled_by_its_answer() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    sandbox.faults().next(On::rpc("session/prompt")).hang();
    let turn = session.prompt(Prompt::new("think 500; say done").idempotency_key("it"));
    sandbox.wait_for(|sandbox| !sandbox.prompts_received().is_empty()).await.unwrap();
    sdk.detach().await.unwrap();
    assert_eq!(turn.await.unwrap_err().delivery(), Some(Delivery::Unknown));
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    assert_eq!(session.delivery("it").await.unwrap(), Some(Delivery::Unknown));
    session.running_turn().unwrap().await.unwrap();
    assert_eq!(session.delivery("it").await.unwrap(), Some(Delivery::Executed));
    let error = session.prompt(Prompt::new("say twice").idempotency_key("it")).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::DuplicatePrompt, Some(Delivery::Executed)));
    assert_eq!(session.delivery("other").await.unwrap(), None);
}

#[tokio::test]
async fn a_turn_of_any_length_is_found() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    let mut turn = session.prompt("ask Push it; say no");
    session.permission_requests().next().await.unwrap();
    let process = server(&session);
    // More than is read of a record backwards.
    for part in 0..13_u64 {
        for number in 0..1_000 {
            let update = saying(&format!("u{} ", part * 1_000 + number));
            sandbox.faults().agent_writes(&process, &update).unwrap();
        }
        let want = (part + 1) * 1_000;
        while session.last_index() < want {
            turn.next().await.unwrap().unwrap();
        }
    }
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    let turn = session.running_turn().unwrap();
    let asked = session.pending_permissions();
    assert_eq!(asked.len(), 1, "{asked:?}");
    session.respond(&asked[0].id, PermissionReply::Reject).await.unwrap();
    timeout(PATIENCE, turn).await.unwrap().unwrap();
    assert_eq!(gaps(&recorded(&session).await), []);
}

#[tokio::test]
async fn a_turn_that_was_given_up_is_not_waited_for_at_every_reattach() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let quick = limits().reconnect(MOMENT).unconfirmed(MOMENT).cancel(MOMENT);
    let sdk = sdk_on(&sandbox, driver.clone(), quick.clone()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    sandbox.faults().next(On::rpc("session/prompt")).hang_undelivered();
    let turn = session.prompt("say never");
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    sandbox.faults().next(On::get().path("/v1/acp")).times(1_000).answer(502, "text/plain", "");
    sandbox.faults().cut_streams();
    let error = timeout(PATIENCE, turn).await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    sandbox.faults().clear();
    sdk.detach().await.unwrap();
    for waited in [true, false] {
        let sdk = sdk_on(&sandbox, driver.clone(), quick.clone()).await;
        let opened = sdk.resume_session("one").await.unwrap();
        assert_eq!(opened.outcome, ResumeOutcome::Reattached);
        let turn = opened.session.running_turn();
        assert_eq!(turn.is_some(), waited, "once it was waited for in vain");
        if let Some(turn) = turn {
            let error = timeout(PATIENCE, turn).await.unwrap().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Unconfirmed));
        }
        sdk.detach().await.unwrap();
    }
}

#[tokio::test]
async fn a_turn_that_is_found_while_its_session_is_detached_is_no_hang() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    leave_running(&sandbox, driver.clone(), "say begun; think 60000").await;
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.get_session("one").await.unwrap().unwrap();
    let mut held = driver.hold(Operation::UpdateSession);
    let opening = session.clone();
    let opening = tokio::spawn(async move { opening.raw_notify("x/y", Value::Null).await });
    held.reached().await;
    sdk.detach_session("one").await.unwrap();
    drop(held);
    opening.await.unwrap().unwrap_err();
    if let Some(turn) = session.running_turn() {
        assert!(timeout(PATIENCE, turn).await.is_ok(), "nobody runs the turn that was found");
    }
}

#[tokio::test]
async fn a_working_turn_is_not_cancelled_because_the_store_evicted_its_beginning() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::evicting(200));
    leave_running(&sandbox, driver.clone(), "say begun; stream 900 rate=300").await;
    let sdk = sdk_on(&sandbox, driver, limits().unconfirmed(Duration::from_millis(1500))).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    let response = timeout(PATIENCE, session.running_turn().unwrap()).await.unwrap().unwrap();
    assert_eq!(response.stop_reason, StopReason::EndTurn);
}

#[tokio::test]
async fn a_working_turn_is_not_cancelled_because_the_store_failed_to_read_once() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    leave_running(&sandbox, driver.clone(), "say begun; stream 300 rate=100").await;
    let sdk = sdk_on(&sandbox, driver.clone(), limits().unconfirmed(MOMENT)).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    driver.fail(Operation::ListEvents, PersistErrorKind::Other);
    let response = timeout(PATIENCE, session.running_turn().unwrap()).await.unwrap().unwrap();
    assert_eq!(response.stop_reason, StopReason::EndTurn);
}

#[tokio::test]
async fn a_turn_is_found_also_when_its_prompt_was_evicted() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::evicting(100));
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let _turn = session.prompt("stream 300; think 60000");
    eventually("streamed", async || session.last_index() > 300).await;
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    assert!(opened.session.running_turn().is_some(), "the next prompt is sent into a turn that runs");
}

#[tokio::test]
async fn a_long_turn_that_ended_is_not_found_running() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::evicting(100));
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("stream 5000 rate=2500; ask Push");
    let asked = timeout(PATIENCE, session.permission_requests().next()).await.unwrap().unwrap();
    eventually("noted", async || session.record().extra.contains_key("_sandboxAgent")).await;
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    session.prompt("stream 200").await.unwrap();
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    assert!(opened.session.running_turn().is_none(), "both turns have their answers");
}
