//! Where two things meet: a store that fails in the midst of something, an SDK beside another, an end beside a beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandbox_agent_sdk::persist::PersistErrorKind;
use sandbox_agent_sdk::{
    Delivery, ErrorKind, MemorySessionPersistDriver, PermissionPolicy, PermissionReply, Prompt,
    ResumeOutcome, SandboxAgent, SessionPersistDriver, WhenBusy,
};
use sandbox_agent_testkit::{On, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::support::store::{GatedStore, Moment, Operation};
use crate::support::{begun, recorded, request, said};
use crate::{PATIENCE, eventually, leave_running, limits, sandbox, sdk_on, server};

const SOON: Duration = Duration::from_secs(4);

/// A store with a session that has a past and no process.
async fn with_past(sandbox: &Sandbox, driver: impl SessionPersistDriver + Clone) {
    let sdk = sdk_on(sandbox, driver, limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
}

#[tokio::test]
async fn a_permission_whose_answer_by_policy_was_not_sent_can_be_answered_by_a_person() {
    let sandbox = sandbox().await;
    let sdk = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    let session = sdk.create_session(request("one").permissions(PermissionPolicy::Allow)).await.unwrap();
    // The prompt passes; the POST after it is the policy's answer.
    sandbox.faults().next(On::rpc("session/prompt")).delay(Duration::ZERO);
    sandbox.faults().next(On::post()).answer(429, "text/plain", "slow down");
    let turn = session.prompt("ask Push; say over");
    eventually("it is listed", async || !session.pending_permissions().is_empty()).await;
    let asked = session.pending_permissions().remove(0);
    session.respond(&asked.id, PermissionReply::Once).await.expect("nobody has answered the agent");
    timeout(SOON, turn).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_turn_runs_on_although_the_store_could_not_note_that_it_carried_the_transcript() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    with_past(&sandbox, driver.clone()).await;
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    driver.fail(Operation::UpdateSession, PersistErrorKind::Other);
    let turn = timeout(PATIENCE, opened.session.prompt("think 300; say pear")).await.unwrap();
    driver.open();
    let told = turn.as_ref().err().map(|error| (error.delivery(), error.to_string()));
    let sent = sandbox.prompts_received().len();
    assert!(
        matches!(told, None | Some((Some(Delivery::Executed | Delivery::Unknown), _))),
        "of {sent} prompts that the agent has, the last one ended with {told:?}"
    );
    assert!(turn.is_ok(), "the agent works on, and nobody waits for it: {told:?}");
}

#[tokio::test]
async fn a_turn_that_ends_does_not_take_back_that_its_session_was_destroyed() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 1500");
    begun(&mut turn).await;
    let other = sdk_on(&sandbox, driver.clone(), limits()).await;
    other.destroy_session("one").await.unwrap();
    let record = driver.get_session("one").await.unwrap().unwrap();
    assert!(record.destroyed_at.is_some());
    // Whatever became of it.
    let _ = timeout(PATIENCE, turn).await.unwrap();
    let record = driver.get_session("one").await.unwrap().unwrap();
    assert!(record.destroyed_at.is_some(), "it was destroyed");
    let error = session.prompt("say again").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionDestroyed);
}

/// The sandbox as one whose agent takes so long to open a session; the address.
async fn slow_to_open(sandbox: &Sandbox, time: Duration) -> String {
    let (listener, upstream) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), sandbox.address());
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(upstream).await.unwrap();
            let ((mut requests, mut answers), (mut back, mut there)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut back, &mut answers).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(length @ 1..) = requests.read(&mut bytes).await {
                    if String::from_utf8_lossy(&bytes[..length]).contains("session/new") {
                        sleep(time).await;
                    }
                    if there.write_all(&bytes[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn two_sdks_that_open_a_session_of_a_slow_agent_both_get_it() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    with_past(&sandbox, driver.clone()).await;
    let url = slow_to_open(&sandbox, Duration::from_secs(5)).await;
    let sdk = || SandboxAgent::builder(&url).limits(limits()).persist(driver.clone()).connect();
    let (one, two) = (sdk().await.unwrap(), sdk().await.unwrap());
    let late = async {
        sleep(Duration::from_millis(500)).await;
        two.resume_session("one").await
    };
    let both = async { tokio::join!(one.resume_session("one"), late) };
    let (one, two) = timeout(Duration::from_secs(60), both).await.expect("it is no hang");
    let (one, two) = (one.map(|opened| opened.outcome), two.map(|opened| opened.outcome));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn a_header_with_a_word_of_the_servers_own_hides_no_reason() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let builder = SandboxAgent::builder(sandbox.url()).limits(limits()).persist(driver);
    let sdk = builder.header("x-affinity", "session").connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say plum").await.unwrap();
    sdk.detach_session("one").await.unwrap();
    sandbox.faults().forget(&server(&session)).unwrap();
    let opened = timeout(PATIENCE, sdk.resume_session("one")).await.unwrap();
    assert_eq!(opened.map(|opened| opened.outcome).ok(), Some(ResumeOutcome::Transcript));
}

#[tokio::test]
async fn a_session_is_never_open_without_the_transcript_that_is_due() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    with_past(&sandbox, driver.clone()).await;
    let one = sdk_on(&sandbox, driver.clone(), limits()).await;
    // Of the record's changes the first names the process and the second opens the session on it.
    let (calls, reached) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
    let is_reached = reached.subscribe();
    driver.gate(move |moment, operation| {
        let third = (moment, operation) == (Moment::Before, Operation::UpdateSession)
            && calls.fetch_add(1, Ordering::SeqCst) == 2;
        if third {
            reached.send_replace(true);
        }
        async move {
            if third {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    });
    let mut is_reached = is_reached;
    let opening = tokio::spawn(async move { one.resume_session("one").await.map(|opened| opened.outcome) });
    let died = async { is_reached.wait_for(|reached| *reached).await.is_ok() };
    let _ = timeout(SOON, died).await;
    driver.open();
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let opened = two.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    opened.session.prompt("recall").await.unwrap();
    let said = said(&recorded(&opened.session).await);
    opening.abort();
    assert!(said.contains("Agent: plum"), "the agent never learnt of the past: {said:?}");
}

/// A sandbox that outlives the runtimes of its clients, with a session that has a past.
fn on_a_runtime_of_its_own() -> (Runtime, Sandbox, MemorySessionPersistDriver) {
    let runtime = Runtime::new().unwrap();
    let driver = MemorySessionPersistDriver::new();
    let sandbox = runtime.block_on(async {
        let sandbox = sandbox().await;
        with_past(&sandbox, driver.clone()).await;
        sandbox
    });
    (runtime, sandbox, driver)
}

#[test]
fn close_ends_a_process_that_a_prompt_was_opening() {
    let (here, sandbox, driver) = on_a_runtime_of_its_own();
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let theirs = Runtime::new().unwrap();
    theirs.block_on(async {
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let session = sdk.get_session("one").await.unwrap().unwrap();
        let _turn = session.prompt("say pear");
        timeout(PATIENCE, sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0))
            .await
            .unwrap()
            .unwrap();
        sdk.close().await.unwrap();
    });
    drop(theirs);
    here.block_on(eventually("its process is left", async || sandbox.servers().is_empty()));
}

#[tokio::test]
async fn a_prompt_that_interrupts_comes_before_one_that_waits_for_a_turn_it_found() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    leave_running(&sandbox, driver.clone(), "say begun; think 60000").await;
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.get_session("one").await.unwrap().unwrap();
    let waits = session.prompt("say one; think 60000");
    eventually("the turn is found", async || sdk.metrics().sessions_reattached == 1).await;
    let interrupts = session.prompt(Prompt::new("say two").when_busy(WhenBusy::Interrupt));
    let done = timeout(PATIENCE, interrupts).await;
    assert!(done.is_ok_and(|turn| turn.is_ok()), "it waits for a prompt that it was to come before");
    assert_eq!(*waits.await.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn a_process_whose_opener_was_killed_is_ended_by_whoever_opens_the_session_next() {
    let (here, sandbox, driver) = on_a_runtime_of_its_own();
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let killed = Runtime::new().unwrap();
    killed.block_on(async {
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let opening = tokio::spawn(async move { sdk.resume_session("one").await.map(drop) });
        timeout(PATIENCE, sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0))
            .await
            .unwrap()
            .unwrap();
        std::mem::forget(opening);
    });
    killed.shutdown_background();
    here.block_on(async {
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        timeout(PATIENCE, sdk.resume_session("one")).await.unwrap().unwrap();
        sdk.close().await.unwrap();
        eventually("nobody will ever end this process", async || sandbox.servers().is_empty()).await;
    });
}

#[tokio::test]
async fn a_setting_that_could_not_be_stored_at_once_is_not_forgotten() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    driver.fail(Operation::UpdateSession, PersistErrorKind::Other);
    let params = serde_json::json!({ "modeId": "plan" });
    session.raw_send("session/set_mode", params).await.unwrap();
    driver.open();
    assert_eq!(session.record().modes.unwrap()["currentModeId"], "plan");
    sandbox.faults().kill_agent(&server(&session), 1).unwrap();
    eventually("it is gone", async || sandbox.open_streams() == 0).await;
    // A turn that finds the process gone would end with it.
    let asked = async { while session.prompt("mode").await.is_err() {} };
    timeout(SOON, asked).await.unwrap();
    let said = said(&recorded(&session).await);
    assert!(said.contains("mode: plan"), "{said}");
}
