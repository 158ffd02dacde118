//! SDKs that hold their sessions: one drives, the others watch, and the right to drive goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::ready;
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, RivetJsonSessionPersistDriver};
use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::persist::{PersistError, PersistErrorKind};
use sandbox_agent_sdk::{
    Delivery, ErrorKind, From, Limits, MemorySessionPersistDriver, PermissionReply, ResumeOutcome,
    SandboxAgent, SessionPersistDriver, SessionState,
};
use sandbox_agent_testkit::Sandbox;
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{assert_sound, begun, recorded, request, said};
use crate::{PATIENCE, eventually, limits, sandbox, sdk_on, server};

async fn node(sandbox: &Sandbox, driver: impl SessionPersistDriver, name: &str) -> SandboxAgent {
    node_within(sandbox, driver, name, limits()).await
}

pub async fn node_within(
    sandbox: &Sandbox,
    driver: impl SessionPersistDriver,
    name: &str,
    limits: Limits,
) -> SandboxAgent {
    let builder = SandboxAgent::builder(sandbox.url()).persist(driver).holder(name).limits(limits);
    builder.connect().await.unwrap()
}

pub fn held_by(name: &str) -> ErrorKind {
    ErrorKind::Held { holder: name.to_owned() }
}

#[tokio::test]
async fn one_drives_and_the_others_are_told_who() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    let session = a.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; ask Push; say over");
    begun(&mut turn).await;
    let asked = session.permission_requests().next().await.unwrap();

    let watching = b.get_session("one").await.unwrap().unwrap();
    assert_eq!(watching.lease().await.unwrap().unwrap().holder, "a");
    let refused = timeout(PATIENCE, watching.prompt("say no")).await.unwrap().unwrap_err();
    assert_eq!((refused.kind(), refused.delivery()), (&held_by("a"), Some(Delivery::NotSent)));
    assert!(refused.to_string().contains("\"a\""), "{refused}");
    assert_eq!(*watching.respond(&asked.id, PermissionReply::Once).await.unwrap_err().kind(), held_by("a"));
    for refused in [
        b.resume_session("one").await.err(),
        b.create_session(request("one"))
            .await
            .err()
            .filter(|error| *error.kind() != ErrorKind::SessionExists),
        b.destroy_session("one").await.err(),
        b.close_session("one").await.err(),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(*refused.kind(), held_by("a"));
    }

    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    assert_eq!(timeout(PATIENCE, turn).await.unwrap().unwrap().stop_reason, StopReason::EndTurn);
    let seen: Vec<_> = watching
        .events(From::Start)
        .take(usize::try_from(session.last_index()).unwrap())
        .map(|event| (*event.unwrap()).clone())
        .collect()
        .await;
    assert_eq!(seen, recorded(&session).await);
}

#[tokio::test]
async fn a_session_that_was_let_go_of_is_the_next_ones_at_once() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    let session = a.create_session(request("one")).await.unwrap();
    session.prompt("say one").await.unwrap();
    a.detach_session("one").await.unwrap();
    let opened = b.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    opened.session.prompt("say two").await.unwrap();
    b.close().await.unwrap();
    let opened = a.resume_session("one").await.unwrap();
    opened.session.prompt("say three").await.unwrap();
    assert_sound(&recorded(&opened.session).await);
}

#[tokio::test]
async fn whoever_takes_over_goes_on_with_the_turn_and_the_other_does_no_harm() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    let session = a.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 600; say over");
    begun(&mut turn).await;

    let opened = b.take_over_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    let process = server(&session);
    let goes_on = opened.session.running_turn().unwrap();
    assert_eq!(timeout(PATIENCE, goes_on).await.unwrap().unwrap().stop_reason, StopReason::EndTurn);

    // Whatever it has received, and whatever it does: nothing of it is stored, and the process lives.
    let lost = timeout(PATIENCE, turn).await.unwrap().unwrap_err();
    assert!(lost.is_fenced(), "{lost:?}");
    a.close().await.unwrap();
    opened.session.prompt("say more").await.unwrap();
    let events = recorded(&opened.session).await;
    assert_sound(&events);
    assert_eq!(said(&events), "begunovermore");
    assert_eq!(server(&opened.session), process);
}

#[tokio::test]
async fn an_idle_holder_that_was_taken_over_does_not_end_the_process_it_had() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    a.create_session(request("one")).await.unwrap().prompt("say one").await.unwrap();
    let session = b.take_over_session("one").await.unwrap().session;
    let process = server(&session);
    // It doesn't know yet: nothing was written since, and the lease was not due to be renewed.
    a.close().await.unwrap();
    session.prompt("say two").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "onetwo");
    assert_eq!(server(&session), process);
}

#[tokio::test]
async fn a_lease_is_renewed_as_long_as_its_holder_lives_and_ends_after_that() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let short = limits().lease(Duration::from_millis(300));
    let a = node_within(&sandbox, driver.clone(), "a", short.clone()).await;
    let session = a.create_session(request("one")).await.unwrap();
    let first = session.lease().await.unwrap().unwrap();
    eventually("it is renewed", async || {
        session.lease().await.unwrap().is_some_and(|lease| lease.expires_at >= first.expires_at + 600)
    })
    .await;
    assert_eq!(session.lease().await.unwrap().unwrap().token, first.token);

    // Another one that died with it: nothing renews what it held.
    let leases = driver.leases().unwrap();
    let dead = leases.take_over("one", "dead", Duration::from_millis(300)).await.unwrap();
    eventually("its holder learns of it", async || *session.state().borrow() == SessionState::Closed).await;
    let b = node_within(&sandbox, driver.clone(), "b", short).await;
    eventually("it ends", async || b.resume_session("one").await.is_ok()).await;
    assert!(b.get_session("one").await.unwrap().unwrap().lease().await.unwrap().unwrap().token > dead.token);
}

#[tokio::test]
async fn who_comes_again_under_its_name_has_its_sessions_at_once() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let before = node(&sandbox, driver.clone(), "a").await;
    let session = before.create_session(request("one")).await.unwrap();
    let after = node(&sandbox, driver, "a").await;
    after.resume_session("one").await.unwrap().session.prompt("say again").await.unwrap();
    let refused = timeout(PATIENCE, session.prompt("say no")).await.unwrap().unwrap_err();
    assert!(refused.is_fenced(), "{refused:?}");
    // Should it run after all, it is told why, now and whenever it is asked.
    assert!(refused.to_string().contains("a name of its own"), "{refused}");
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("\"one\"") && cause.contains("\"a\""), "{cause}");
    let lease = session.lease().await.unwrap().unwrap();
    assert_eq!(lease.holder, "a");
    before.close().await.unwrap();
    assert_eq!(sandbox.servers().len(), 1, "the process is the other one's");
}

#[tokio::test]
async fn an_idle_sdk_whose_name_another_one_has_learns_of_it_by_its_next_renewal() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let short = limits().lease(Duration::from_millis(300));
    let before = node_within(&sandbox, driver.clone(), "a", short).await;
    let session = before.create_session(request("one")).await.unwrap();
    let mut seen = session.events(From::Now);
    let after = node(&sandbox, driver, "a").await;
    after.resume_session("one").await.unwrap();
    let told = timeout(PATIENCE, async { while seen.next().await.unwrap().is_ok() {} });
    told.await.unwrap();
    let refused = session.prompt("say no").await.unwrap_err();
    assert!(refused.to_string().contains("a name of its own"), "{refused}");
}

#[tokio::test]
async fn whoever_was_taken_over_by_another_name_is_told_nothing_of_names() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    let session = a.create_session(request("one")).await.unwrap();
    b.take_over_session("one").await.unwrap();
    let refused = timeout(PATIENCE, session.prompt("say no")).await.unwrap().unwrap_err();
    assert!(refused.is_fenced() && !refused.to_string().contains("name"), "{refused}");
}

#[tokio::test]
async fn close_says_when_a_process_goes_on_because_nobody_knows_whose_it_is() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::leasing());
    let a = node(&sandbox, driver.clone(), "a").await;
    let session = a.create_session(request("one")).await.unwrap();
    let process = server(&session);
    driver.fail(Operation::Lease, PersistErrorKind::Other);
    let error = a.close().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Persist(PersistErrorKind::Other), "{error:?}");
    assert!(error.to_string().contains("\"one\" goes on"), "{error}");
    assert!(sandbox.servers().contains(&process));

    // The way out that it names.
    driver.open();
    node(&sandbox, driver, "a").await.close_session("one").await.unwrap();
    assert!(!sandbox.servers().contains(&process));
}

#[tokio::test]
async fn a_process_whose_end_can_t_be_noted_goes_on_where_nobody_knows_whose_it_is_by_then() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::leasing());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    let down = Arc::new(AtomicBool::new(false));
    driver.gate(move |_, operation| {
        let fails = match operation {
            Operation::Insert => {
                down.store(true, Ordering::SeqCst);
                true
            }
            Operation::Lease => down.load(Ordering::SeqCst),
            _ => false,
        };
        ready(if fails { Err(PersistError::new(PersistErrorKind::Other, "down")) } else { Ok(()) })
    });
    let error = sdk.close_session("one").await.unwrap_err();
    assert!(error.to_string().contains("\"one\" goes on"), "{error}");
    assert!(sandbox.servers().contains(&process));

    driver.open();
    sdk.close_session("one").await.unwrap();
    assert!(!sandbox.servers().contains(&process));
}

#[tokio::test]
async fn a_session_that_could_not_be_opened_is_let_go_of() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (a, b) = (node(&sandbox, driver.clone(), "a").await, node(&sandbox, driver, "b").await);
    a.create_session(request("one")).await.unwrap();
    a.close_session("one").await.unwrap();
    let refused = a.resume_or_create_session(request("one").mode("none such")).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::InvalidInput, "{refused:?}");
    b.resume_session("one").await.unwrap();
}

#[tokio::test]
async fn a_store_without_leases_holds_nothing() {
    let sandbox = sandbox().await;
    let store = Arc::new(GatedStore::default());
    assert!(store.leases().is_none());
    let refused =
        SandboxAgent::builder(sandbox.url()).persist(store).holder("a").connect().await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::InvalidInput);
    let actor = RivetJsonSessionPersistDriver::in_process(RivetJsonOptions::new());
    let refused =
        SandboxAgent::builder(sandbox.url()).persist(actor).holder("a").connect().await.unwrap_err();
    assert!(refused.to_string().starts_with("RivetJsonSessionPersistDriver grants no leases;"), "{refused}");
    let none = SandboxAgent::builder(sandbox.url()).connect().await.unwrap();
    let refused = none.take_over_session("one").await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::InvalidInput);
    let short = SandboxAgent::builder(sandbox.url()).holder("a").limits(limits().lease(Duration::ZERO));
    assert_eq!(*short.connect().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let empty = SandboxAgent::builder(sandbox.url()).holder("").connect().await.unwrap_err();
    assert_eq!(*empty.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn who_holds_nothing_is_refused_what_others_hold() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let a = node(&sandbox, driver.clone(), "a").await;
    let session = a.create_session(request("one")).await.unwrap();
    let process = server(&session);
    let careless = crate::sdk_on(&sandbox, driver.clone(), limits()).await;
    for refused in [
        careless.resume_session("one").await.unwrap_err(),
        careless.destroy_session("one").await.unwrap_err(),
        careless.close_session("one").await.unwrap_err(),
        careless.delete_session("one").await.unwrap_err(),
    ] {
        assert_eq!(*refused.kind(), held_by("a"));
    }
    let tagged = careless.set_tags("one", ["x"]).await.unwrap_err();
    assert!(tagged.is_fenced() && tagged.to_string().contains("another SDK"), "{tagged}");
    careless.close().await.unwrap();
    session.prompt("say hello").await.unwrap();
    assert_eq!(server(&session), process, "its process is left alone");
}
