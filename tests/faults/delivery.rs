//! What ends a turn besides its response, and what is known of the prompt then.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_sdk::{
    Delivery, ErrorKind, MemorySessionPersistDriver, Prompt, SandboxAgent, SessionState,
};
use sandbox_agent_testkit::{Events, On, Sandbox};
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{begun, recorded, request, said};
use crate::{MOMENT, PATIENCE, limits, sandbox, sdk_on, server, session, session_within};

#[tokio::test]
async fn a_refused_prompt_was_not_sent() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().next(On::rpc("session/prompt")).answer(413, "text/plain", "length limit exceeded");
    let error = session.prompt("say no").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error:?}");
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
    session.prompt("say yes").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "yes");
}

#[tokio::test]
async fn a_token_that_is_refused_midway_ends_the_turn() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    sandbox.faults().next(On::get()).times(100).answer(401, "application/problem+json", "{}");
    sandbox.faults().cut_streams();
    let error = turn.await.unwrap_err();
    assert!(error.is_unauthorized(), "{error:?}");
    assert_eq!(error.delivery(), Some(Delivery::Executed));
}

#[tokio::test]
async fn a_process_that_the_server_forgot_ends_the_turn_and_the_next_prompt_works() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    sandbox.faults().forget(&server(&session)).unwrap();
    let error = turn.await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::ProcessGone);
    session.prompt("say again").await.unwrap();
    assert!(said(&recorded(&session).await).ends_with("again"));
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_turn_and_one_that_is_back_is_used() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().reconnect(Duration::from_millis(600))).await;
    let mut turn = session.prompt(Prompt::new("say begun; think 2500; say over").idempotency_key("it"));
    begun(&mut turn).await;
    sandbox.stop_listening().await;
    let error = turn.await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(error.delivery(), Some(Delivery::Executed));
    let error = session.prompt("say no").await.unwrap_err();
    assert_eq!((error.is_unreachable(), error.delivery()), (true, Some(Delivery::NotSent)));
    sandbox.listen_again().await.unwrap();
    // The process lived on, and the turn on it: it comes first, and is not sent again.
    session.prompt("say again").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "begunoveragain");
    assert_eq!(sandbox.prompts_received().len(), 2);
    assert_eq!(session.delivery("it").await.unwrap(), Some(Delivery::Executed));
}

#[tokio::test]
async fn a_prompt_whose_post_was_cut_after_delivery_is_answered_on_the_stream() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().next(On::rpc("session/prompt")).cut_after_delivery();
    session.prompt("say done").await.unwrap();
    assert_eq!(sandbox.prompts_received().len(), 1);
}

#[tokio::test]
async fn a_prompt_that_may_have_been_lost_is_unknown_and_never_sent_again() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().silence(Some(Duration::from_millis(500)))).await;
    sandbox.faults().next(On::rpc("session/prompt")).cut_before_delivery();
    let error = session.prompt("say done").await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    let posted =
        sandbox.requests().iter().filter(|request| format!("{request:?}").contains("session/prompt")).count();
    assert_eq!(posted, 1);
}

#[tokio::test]
async fn a_key_is_free_again_when_its_prompt_was_not_sent_and_taken_when_it_was() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let prompt = || Prompt::new("say done").idempotency_key("a");
    for _ in 0..2 {
        sandbox.faults().next(On::rpc("session/prompt")).answer(413, "text/plain", "length limit exceeded");
        let error = session.prompt(prompt()).await.unwrap_err();
        assert_eq!(error.delivery(), Some(Delivery::NotSent));
    }
    session.prompt(prompt()).await.unwrap();
    let error = session.prompt(prompt()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::DuplicatePrompt);
    assert_eq!(error.delivery(), Some(Delivery::Executed), "the earlier one was answered");
    assert_eq!(said(&recorded(&session).await), "done");
}

#[tokio::test]
async fn a_prompt_that_never_left_was_not_sent_whatever_ends_it() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().reconnect(Duration::from_millis(600))).await;
    // The connection is gone when the prompt is called, and nobody has noticed yet.
    sandbox.stop_listening().await;
    let error = session.prompt("say no").await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
}

#[tokio::test]
async fn a_prompt_that_was_not_sent_does_not_cost_the_agent_its_history() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let first = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = first.create_session(request("one")).await.unwrap();
    session.prompt("say precious").await.unwrap();
    first.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    sandbox.faults().next(On::rpc("session/prompt")).answer(413, "text/plain", "length limit exceeded");
    assert_eq!(session.prompt("recall").await.unwrap_err().delivery(), Some(Delivery::NotSent));
    let before = said(&recorded(&session).await).len();
    session.prompt("recall").await.unwrap();
    let said = said(&recorded(&session).await);
    assert!(said[before..].contains("precious"), "the agent got only {:?}", &said[before..]);
}

#[tokio::test]
async fn an_answer_that_only_the_post_brought_outlives_the_process() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().lose_for_good(Events::responses(1));
    // The GET that looks for the lost copy shows that the POST was answered.
    sandbox.faults().next(On::get()).hang_undelivered();
    let turn = session.prompt("say done");
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    assert_eq!(*session.state().borrow(), SessionState::Running);
    sandbox.faults().forget(&server(&session)).unwrap();
    timeout(PATIENCE, turn).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_queued_prompt_is_cancelled_without_waiting_for_the_turn_before_it() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut running = session.prompt("say begun; think 60000");
    begun(&mut running).await;
    let queued = session.prompt("say never");
    timeout(PATIENCE, queued.cancel()).await.unwrap().unwrap();
    assert_eq!(queued.await.unwrap_err().delivery(), Some(Delivery::NotSent));
    assert_eq!(sandbox.prompts_received().len(), 1);
}

#[tokio::test]
async fn a_session_that_could_not_be_opened_leaves_nothing_behind() {
    let sandbox = sandbox().await;
    let sdk = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    sandbox.faults().next(On::rpc("session/new")).answer(500, "text/plain", "out of order");
    let error = sdk.create_session(request("one")).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 500);
    assert!(sdk.get_session("one").await.unwrap().is_none());
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say hello").await.unwrap();
}

#[tokio::test]
async fn a_dropped_create_leaves_nothing_behind() {
    let sandbox = sandbox().await;
    let sdk = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let dropped = timeout(Duration::from_millis(200), sdk.create_session(request("one"))).await;
    assert!(dropped.is_err());
    let session = sdk.create_session(request("one")).await.unwrap();
    assert_eq!(recorded(&session).await[0].event_index, 1);
    session.prompt("say hello").await.unwrap();
}

#[tokio::test]
async fn no_server_is_an_error_within_the_limit() {
    let sandbox = Sandbox::start().await;
    sandbox.stop_listening().await;
    let started = std::time::Instant::now();
    let connect =
        SandboxAgent::builder(sandbox.url()).limits(limits().connect(Duration::from_millis(500))).connect();
    let error = connect.await.unwrap_err();
    assert!(error.is_unreachable());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn what_is_too_large_for_the_server_is_refused_before_it_is_sent() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    for _ in 0..3 {
        let error = session.prompt("x".repeat(3_000_000)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error:?}");
        assert_eq!(error.delivery(), Some(Delivery::NotSent));
        session.prompt("say next").await.unwrap();
    }
    assert_eq!(sandbox.prompts_received().len(), 3);
}

#[tokio::test]
async fn what_was_not_sent_is_not_told_to_the_next_process() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    session.prompt("say the word is lighthouse").await.unwrap();
    session.prompt("x".repeat(3_000_000)).await.unwrap_err();
    sdk.close_session("one").await.unwrap();
    let session = sdk.resume_session("one").await.unwrap().session;
    let before = session.last_index();
    session.prompt("recall").await.unwrap();
    let events = recorded(&session).await;
    let told = said(&events[usize::try_from(before).unwrap()..]);
    assert!(told.contains("lighthouse") && !told.contains("xxx"), "{told}");
}

#[tokio::test]
async fn a_key_whose_prompt_was_worked_on_is_taken_as_executed() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let prompt = Prompt::new("say begun; exit 1").idempotency_key("a");
    session.prompt(prompt.clone()).await.unwrap_err();
    let error = session.prompt(prompt).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::DuplicatePrompt, Some(Delivery::Executed)));
}

#[tokio::test]
async fn a_key_whose_prompt_may_have_been_lost_is_taken() {
    let sandbox = sandbox().await;
    let short = Duration::from_millis(300);
    let (_sdk, session) = session_within(&sandbox, limits().silence(Some(short)).cancel(short)).await;
    let prompt = Prompt::new("say done").idempotency_key("a");
    sandbox.faults().next(On::rpc("session/prompt")).cut_before_delivery();
    let error = session.prompt(prompt.clone()).await.unwrap_err();
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    let error = session.prompt(prompt).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::DuplicatePrompt, Some(Delivery::Unknown)));
    assert_eq!(said(&recorded(&session).await), "");
}

#[tokio::test]
async fn a_prompt_that_was_not_sent_because_the_session_ended_leaves_its_key() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut held = driver.hold(Operation::Insert);
    let turn = session.prompt(Prompt::new("say once").idempotency_key("it"));
    held.reached().await;
    let waiting = session.prompt("say no");
    let parting = tokio::spawn(async move { sdk.detach().await });
    // The session ends while the prompt is being stored.
    assert_eq!(waiting.await.unwrap_err().delivery(), Some(Delivery::NotSent));
    drop(held);
    assert_eq!(turn.await.unwrap_err().delivery(), Some(Delivery::NotSent));
    parting.await.unwrap().unwrap();
    let quick = limits().unconfirmed(MOMENT).cancel(MOMENT);
    let sdk = sdk_on(&sandbox, driver, quick).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    let again =
        timeout(PATIENCE, session.prompt(Prompt::new("say once").idempotency_key("it"))).await.unwrap();
    again.expect("it was said that it was not sent");
}

#[tokio::test]
async fn a_prompt_that_is_cancelled_while_it_is_stored_is_not_sent() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut held = driver.hold(Operation::Insert);
    let turn = session.prompt("say no");
    held.reached().await;
    session.cancel();
    drop(held);
    assert_eq!(turn.await.unwrap_err().delivery(), Some(Delivery::NotSent));
    session.prompt("say yes").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "yes");
    assert_eq!(sandbox.prompts_received().len(), 1);
}
