//! The right to drive a session goes from one SDK to another, while something else happens.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_sdk::{
    Delivery, ErrorKind, MemorySessionPersistDriver, ResumeOutcome, SandboxAgent, SessionPersistDriver,
    SessionState,
};
use sandbox_agent_testkit::{AgentOptions, On, Sandbox};
use tokio::time::timeout;

use crate::held::{held_by, node_within};
use crate::support::leases::{Deed, SlowLeases};
use crate::support::{assert_sound, begun, recorded, request, said};
use crate::{PATIENCE, eventually, limits, offering, sandbox, server};

async fn node(sandbox: &Sandbox, driver: impl SessionPersistDriver, name: &str) -> SandboxAgent {
    node_within(sandbox, driver, name, limits()).await
}

#[tokio::test]
async fn who_was_overtaken_and_has_yet_to_learn_of_it_takes_the_session_back() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    let session = a.create_session(request("one")).await.unwrap();
    session.prompt("say one").await.unwrap();
    b.take_over_session("one").await.unwrap();
    assert_eq!(*a.resume_session("one").await.unwrap_err().kind(), held_by("b"));
    let back = a.take_over_session("one").await.unwrap();
    assert_eq!(back.outcome, ResumeOutcome::Reattached);
    back.session.prompt("say two").await.unwrap();
    let events = recorded(&back.session).await;
    assert_sound(&events);
    assert_eq!(said(&events), "onetwo");
}

#[tokio::test]
async fn a_session_that_is_not_there_any_more_is_held_by_nobody() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    a.create_session(request("one")).await.unwrap();
    a.close_session("one").await.unwrap();
    let _known = b.get_session("one").await.unwrap().unwrap();
    a.delete_session("one").await.unwrap();
    assert_eq!(*b.resume_session("one").await.unwrap_err().kind(), ErrorKind::SessionNotFound);
    a.create_session(request("one")).await.unwrap();
}

#[tokio::test]
async fn an_opening_that_was_dropped_holds_nothing() {
    let sandbox = offering(AgentOptions::new().init_delay(Duration::from_secs(60))).await;
    let driver = MemorySessionPersistDriver::new();
    let other = crate::sandbox().await;
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&other, driver.clone(), "b").await);
    b.create_session(request("one")).await.unwrap();
    b.close_session("one").await.unwrap();
    let is_held = async || driver.leases().unwrap().holder("one").await.unwrap().is_some();

    let mut resuming = Box::pin(a.resume_session("one"));
    tokio::select! {
        _ = &mut resuming => panic!("its agent does not answer"),
        () = eventually("it is being opened", async || sandbox.servers().len() == 1 && is_held().await) => {}
    }
    drop(resuming);
    eventually("it is let go of", async || !is_held().await).await;

    let session = a.get_session("one").await.unwrap().unwrap();
    let turn = session.prompt("say no");
    eventually("it is being opened", is_held).await;
    turn.cancel().await.unwrap();
    eventually("it is let go of", async || !is_held().await).await;
    b.resume_session("one").await.unwrap().session.prompt("say yes").await.unwrap();
}

#[tokio::test]
async fn letting_go_of_what_could_not_be_opened_does_no_harm_to_the_session() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let slow = SlowLeases::over(&driver);
    let a = node(&sandbox, slow.clone(), "a").await;
    a.create_session(request("one")).await.unwrap();
    a.close_session("one").await.unwrap();
    let session = a.get_session("one").await.unwrap().unwrap();
    slow.delay(Deed::Release, Duration::from_millis(300));
    sandbox.faults().next(On::rpc("session/new")).answer(400, "text/plain", "no");
    session.prompt("say no").await.unwrap_err();
    assert_eq!(*session.state().borrow(), SessionState::Dormant);
    session.prompt("say yes").await.unwrap();
}

#[tokio::test]
async fn who_is_overtaken_while_it_closes_does_not_end_the_process() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let slow = SlowLeases::over(&driver);
    let (a, b) = (node(&sandbox, slow.clone(), "a").await, node(&sandbox, driver.clone(), "b").await);
    let session = a.create_session(request("one")).await.unwrap();
    session.prompt("say one").await.unwrap();
    let process = server(&session);
    // Between its last renewal and the end of the process.
    let b = Arc::new(b);
    let takes = b.clone();
    slow.meanwhile(move |deed| {
        let takes = takes.clone();
        async move {
            if deed == Deed::Renew {
                takes.take_over_session("one").await.unwrap();
            }
        }
    });
    a.close().await.unwrap();
    let taken = b.resume_session("one").await.unwrap().session;
    taken.prompt("say two").await.unwrap();
    assert_eq!(server(&taken), process);
    assert_eq!(said(&recorded(&taken).await), "onetwo");
}

#[tokio::test]
async fn a_prompt_that_waits_when_its_session_is_taken_over_is_told_why() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let short = limits().lease(Duration::from_millis(300));
    let a = node_within(&sandbox, driver.clone(), "a", short).await;
    let b = node(&sandbox, driver, "b").await;
    let session = a.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 60000");
    let waits = session.prompt("say no");
    begun(&mut turn).await;
    b.take_over_session("one").await.unwrap();
    let error = timeout(PATIENCE, waits).await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
    assert!(error.is_fenced(), "{error:?}");
}

#[tokio::test]
async fn who_is_overtaken_while_it_opens_the_session_is_told_so_and_ends_its_process() {
    let slow = offering(AgentOptions::new().init_delay(Duration::from_secs(60))).await;
    let sandbox = crate::sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let b = node(&sandbox, driver.clone(), "b").await;
    b.create_session(request("one")).await.unwrap();
    b.close_session("one").await.unwrap();
    let short = limits().lease(Duration::from_millis(300));
    let a = node_within(&slow, driver.clone(), "a", short).await;
    let opening = tokio::spawn(async move { (a.resume_session("one").await, a) });
    eventually("it is being opened", async || slow.servers().len() == 1).await;
    b.take_over_session("one").await.unwrap().session.prompt("say hello").await.unwrap();
    let (refused, _a) = timeout(PATIENCE, opening).await.unwrap().unwrap();
    let refused = refused.unwrap_err();
    assert!(refused.is_fenced(), "{refused:?}");
    eventually("its process ends", async || slow.servers().is_empty()).await;
}

#[tokio::test]
async fn a_holder_that_renews_too_late_does_no_harm_to_the_next_one() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let slow = SlowLeases::over(&driver);
    let short = limits().lease(Duration::from_millis(300));
    let a = node_within(&sandbox, slow.clone(), "a", short).await;
    let b = node(&sandbox, driver.clone(), "b").await;
    let session = a.create_session(request("one")).await.unwrap();
    slow.delay(Deed::Renew, PATIENCE);
    let mut turn = session.prompt("say begun; think 1500; say over");
    begun(&mut turn).await;
    let next = async || b.resume_session("one").await.ok();
    let opened = timeout(PATIENCE, async {
        loop {
            if let Some(opened) = next().await {
                return opened;
            }
        }
    });
    let opened = opened.await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    opened.session.running_turn().unwrap().await.unwrap();
    assert!(timeout(PATIENCE, turn).await.unwrap().unwrap_err().is_fenced());
    let events = recorded(&opened.session).await;
    assert_sound(&events);
    assert_eq!(said(&events), "begunover");
}
