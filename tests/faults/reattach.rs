//! A process that outlives the SDK that started it is taken up where it stood.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::persist::{PersistError, PersistErrorKind, envelope};
use sandbox_agent_sdk::{From, MemorySessionPersistDriver, PermissionReply, ResumeOutcome};
use sandbox_agent_testkit::{AgentLine, Direction, On};
use tokio::time::timeout;

use crate::support::store::{GatedStore, Moment, Operation};
use crate::support::{assert_sound, begun, notes, recorded, request, said, saying, stored, updates};
use crate::{PATIENCE, first, leave_running, limits, sandbox, sdk_on, server};

#[tokio::test]
async fn whoever_is_bound_before_misses_nothing() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    leave_running(&sandbox, driver.clone(), "say begun; stream 100 rate=100").await;

    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let dormant = sdk.get_session("one").await.unwrap().unwrap();
    let bound = dormant.events(From::Start);
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    opened.session.running_turn().unwrap().await.unwrap();
    let last = usize::try_from(opened.session.last_index()).unwrap();
    let seen: Vec<_> = bound.take(last).map(|event| (*event.unwrap()).clone()).collect().await;
    assert_sound(&seen);
    assert_eq!(updates(&seen), (1..=100).collect::<Vec<_>>());
    assert_eq!(stored(&driver, "one").await, seen);
    assert_eq!(sandbox.prompts_received().len(), 1);
}

#[tokio::test]
async fn an_answer_that_was_stored_and_not_sent_is_sent_again() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    let mut turn = session.prompt("ask Push");
    let asked = session.permission_requests().next().await.unwrap();
    // The one that carries the answer.
    sandbox.faults().next(On::post()).hang_undelivered();
    session.respond_detached(asked.id, PermissionReply::Once);
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    sdk.detach().await.unwrap();
    while turn.next().await.is_some() {}

    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    assert!(session.pending_permissions().is_empty(), "it was answered");
    timeout(PATIENCE, session.running_turn().unwrap()).await.unwrap().unwrap();
    assert!(said(&recorded(&session).await).ends_with("permission: allow-once"));
}

#[tokio::test]
async fn a_question_that_nobody_answered_is_refused_after_all() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn =
        session.prompt("say begun; think 200; request fs/read_text_file {\"path\":\"/x\"}; say over");
    begun(&mut turn).await;
    // The question is stored, the answer to it never.
    let first = AtomicBool::new(true);
    driver.gate(move |moment, operation| {
        let fails = (moment, operation) == (Moment::Before, Operation::Insert)
            && !first.swap(false, Ordering::SeqCst);
        ready(if fails { Err(PersistError::new(PersistErrorKind::Other, "told to fail")) } else { Ok(()) })
    });
    while turn.next().await.is_some() {}
    driver.open();
    let asked = stored(&driver, "one").await.pop().unwrap();
    assert!(asked.payload.get().contains("fs/read_text_file"));
    assert!(sdk.detach().await.unwrap_err().is_persist(), "it says so once more");
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    if let Some(turn) = session.running_turn() {
        timeout(PATIENCE, turn).await.unwrap().unwrap();
    }
    assert!(said(&recorded(&session).await).ends_with("error: -32601over"));
}

#[tokio::test]
async fn a_process_that_exited_meanwhile_is_no_process() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let process = leave_running(&sandbox, driver.clone(), "say begun; think 60000").await;
    sandbox.faults().agent_writes(&process, &saying("late")).unwrap();
    sandbox.faults().kill_agent(&process, 3).unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    assert_ne!(server(&opened.session), process);
    let events = recorded(&opened.session).await;
    assert!(said(&events).contains("late"), "what it wrote while nobody listened is there");
    assert_eq!((notes(&events, envelope::PROCESS_ENDED), notes(&events, envelope::TURN_ENDED)), (1, 1));
    assert_sound(&events);
}

#[tokio::test]
async fn what_was_being_opened_when_the_sdk_died_is_fetched_and_not_used() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sandbox.faults().next(On::rpc("session/new")).hang();
    let resuming = sdk.clone();
    let resuming = tokio::spawn(async move { resuming.resume_session("one").await });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    // As if killed: nothing clears up.
    let halfway = stored(&driver, "one").await.last().unwrap().connection_id.clone();
    resuming.abort();
    std::mem::forget(sdk);

    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    assert_ne!(server(&opened.session), halfway);
    opened.session.prompt("recall").await.unwrap();
    let events = recorded(&opened.session).await;
    assert!(said(&events).contains("Agent: plum"));
    assert_sound(&events);
}

#[tokio::test]
async fn a_process_that_was_left_is_ended_by_whoever_closes_or_destroys_its_session() {
    for destroy in [false, true] {
        let sandbox = sandbox().await;
        let (driver, sdk, session) = first(&sandbox).await;
        let process = server(&session);
        sdk.detach().await.unwrap();
        assert_eq!(sandbox.servers(), std::slice::from_ref(&process));
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        if destroy {
            sdk.destroy_session("one").await.unwrap()
        } else {
            sdk.close_session("one").await.unwrap()
        }
        assert!(sandbox.servers().is_empty());
        assert_eq!(notes(&stored(&driver, "one").await, envelope::PROCESS_ENDED), 1);
        let opened = sdk.resume_session("one").await.unwrap();
        assert_eq!(opened.outcome, ResumeOutcome::Transcript);
        assert_ne!(server(&opened.session), process);
    }
}

#[tokio::test]
async fn a_process_that_exited_is_no_process_also_where_the_store_is_slow() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    sdk.detach().await.unwrap();
    sandbox.faults().kill_agent(&process, 3).unwrap();
    driver.delay(Operation::Insert, Duration::from_millis(150));
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_ne!(opened.outcome, ResumeOutcome::Reattached, "it is dead");
    opened.session.prompt("say hello").await.unwrap();
}

#[tokio::test]
async fn a_turn_that_was_answered_before_its_process_exited_has_no_other_end() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let process = leave_running(&sandbox, driver.clone(), "say begun; think 200; say done").await;
    let answered = |line: &AgentLine| line.direction == Direction::Wrote && line.line.contains("stopReason");
    sandbox.wait_for(|sandbox| sandbox.agent_lines().iter().any(answered)).await.unwrap();
    sandbox.faults().kill_agent(&process, 0).unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sdk.resume_session("one").await.unwrap();
    let events = stored(&driver, "one").await;
    assert!(said(&events).ends_with("done"));
    assert_eq!(notes(&events, envelope::TURN_ENDED), 0, "its response is in the record");
}
