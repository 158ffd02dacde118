//! Two SDKs that have the same session open, or one after the other, on a store that they share.

use std::sync::Arc;

use futures::StreamExt;
use sandbox_agent_sdk::persist::Sender;
use sandbox_agent_sdk::{ErrorKind, PermissionReply, ResumeOutcome, SessionPersistDriver, SessionState};
use sandbox_agent_testkit::{Events, On};
use serde_json::json;
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{begun, recorded, said, saying};
use crate::{PATIENCE, answer_unheard, eventually, first, limits, sandbox, sdk_on, server};

#[tokio::test]
async fn a_permission_that_another_sdk_answered_is_not_listed_afterwards() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    let late = Arc::new(GatedStore::over(&driver));
    let two = sdk_on(&sandbox, late.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    let before = session.last_index();
    let mut held = late.hold(Operation::Insert);
    let turn = session.prompt("ask Push; say over");
    let asked = session.permission_requests().next().await.unwrap();
    held.reached().await;
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    drop(held);
    let brought = recorded(&session).await;
    let brought = brought.iter().filter(|event| event.event_index > before && event.sender == Sender::Agent);
    let brought = u64::try_from(brought.count()).unwrap();
    eventually("its own copies came too", async || two.metrics().events_stored >= brought).await;
    assert_eq!(other.pending_permissions().len(), 0, "it was answered, and its turn is over");
}

#[tokio::test]
async fn a_permission_behind_a_large_event_is_listed_by_every_sdk() {
    let sandbox = sandbox().await;
    let (driver, one, session) = first(&sandbox).await;
    let late = Arc::new(GatedStore::over(&driver));
    let two = sdk_on(&sandbox, late.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    let mut held = late.hold(Operation::Insert);
    let _turn = session.prompt("big 5000000; think 300; ask Push");
    session.permission_requests().next().await.unwrap();
    held.reached().await;
    let last = session.last_index();
    one.detach().await.unwrap();
    drop(held);
    eventually("the other one catches up", async || other.last_index() >= last).await;
    eventually("nobody can answer the agent any more", async || other.pending_permissions().len() == 1).await;
}

#[tokio::test]
async fn of_two_answers_to_a_permission_one_counts_and_the_other_is_told() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    let late = Arc::new(GatedStore::over(&driver));
    let two = sdk_on(&sandbox, late.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    let turn = session.prompt("ask Push; say over");
    let asked = session.permission_requests().next().await.unwrap();
    eventually("listed by both", async || other.pending_permissions().len() == 1).await;
    let mut held = late.hold_inserts(|event| event.payload.get().contains("reject-once\"}"));
    let (rejecting, id) = (other.clone(), asked.id.clone());
    let rejecting = tokio::spawn(async move { rejecting.respond(&id, PermissionReply::Reject).await });
    held.reached().await;
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    assert!(said(&recorded(&session).await).contains("permission: allow-once"));
    drop(held);
    let rejected = timeout(PATIENCE, rejecting).await.unwrap().unwrap();
    assert_eq!(*rejected.expect_err("it was allowed").kind(), ErrorKind::PermissionGone);
}

#[tokio::test]
async fn an_answer_that_only_the_other_sdk_got_ends_the_turn_here_too() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    let mut turn = session.prompt("say begun; think 700; say over");
    begun(&mut turn).await;
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    let found = other.running_turn().unwrap();
    sandbox.faults().lose_for_good(Events::responses(1));
    timeout(PATIENCE, turn).await.unwrap().unwrap();
    sandbox.faults().agent_writes(&server(&session), &saying("later")).unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    timeout(PATIENCE, found).await.expect("its answer is in the record").unwrap();
}

#[tokio::test]
async fn whoever_destroys_a_session_ends_the_process_that_it_is_on_by_now() {
    for destroy in [true, false] {
        let sandbox = sandbox().await;
        let (driver, sdk, _session) = first(&sandbox).await;
        let other = sdk_on(&sandbox, driver.clone(), limits()).await;
        let _dormant = other.get_session("one").await.unwrap().unwrap();
        sdk.close().await.unwrap();
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let process = server(&sdk.resume_session("one").await.unwrap().session);
        sdk.detach().await.unwrap();
        if destroy {
            other.destroy_session("one").await.unwrap();
        } else {
            other.close_session("one").await.unwrap();
        }
        let named = driver.get_session("one").await.unwrap().unwrap().last_connection_id;
        assert_eq!((sandbox.servers(), named), (Vec::new(), process), "destroy: {destroy}");
    }
}

#[tokio::test]
async fn a_session_that_another_sdk_destroyed_is_not_opened_by_a_prompt() {
    let sandbox = sandbox().await;
    let (driver, sdk, _session) = first(&sandbox).await;
    let other = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = other.resume_session("one").await.unwrap().session;
    sdk.destroy_session("one").await.unwrap();
    session.state().wait_for(|state| *state == SessionState::Dormant).await.unwrap();
    let ended = session.prompt("say zombie").await;
    assert!(driver.get_session("one").await.unwrap().unwrap().destroyed_at.is_some(), "the mark is gone");
    assert_eq!(*ended.unwrap_err().kind(), ErrorKind::SessionDestroyed);
}

#[tokio::test]
async fn an_opening_that_was_overtaken_gives_way() {
    let sandbox = sandbox().await;
    let (driver, sdk, _session) = first(&sandbox).await;
    sdk.close().await.unwrap();
    let slow = sdk_on(&sandbox, driver.clone(), limits()).await;
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let opening = slow.clone();
    let opening = tokio::spawn(async move { opening.resume_session("one").await });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    // This one takes it for an opening that nobody finishes any more.
    let quick = sdk_on(&sandbox, driver.clone(), limits()).await;
    let process = server(&quick.resume_session("one").await.unwrap().session);
    let halfway = sandbox.servers().into_iter().find(|server| *server != process).unwrap();
    answer_unheard(&sandbox, &driver, &halfway, "session/new", json!({"sessionId": "late"})).await;
    let opened = timeout(PATIENCE, opening).await.unwrap().unwrap().unwrap();
    assert_eq!((opened.outcome, server(&opened.session)), (ResumeOutcome::Reattached, process.clone()));
    sandbox.wait_for(|sandbox| sandbox.servers() == [process.clone()]).await.unwrap();
}

#[tokio::test]
async fn two_sdks_that_open_a_session_at_once_leave_no_process_behind() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let one = sdk_on(&sandbox, driver.clone(), limits()).await;
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let (first, second) = tokio::join!(one.resume_session("one"), two.resume_session("one"));
    let names = (server(&first.unwrap().session), server(&second.unwrap().session));
    one.detach().await.unwrap();
    two.detach().await.unwrap();
    sdk_on(&sandbox, driver, limits()).await.close_session("one").await.unwrap();
    assert_eq!(sandbox.servers(), Vec::<String>::new(), "{names:?}");
}
