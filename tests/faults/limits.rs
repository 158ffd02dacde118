//! Every bound ends what it bounds, with an error that names it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::persist::PersistErrorKind;
use sandbox_agent_sdk::{Delivery, ErrorKind, GapCause, Limit, Prompt, SessionState};
use sandbox_agent_testkit::{On, Sandbox};
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{begun, gaps, recorded, request, said, stored, updates};
use crate::{HEARTBEAT, PATIENCE, limits, sandbox, sdk_on, server, session, session_within};

const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn silence_ends_a_turn_but_a_pending_permission_is_no_silence() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().silence(Some(SHORT))).await;
    let error = session.prompt("say begun; think 60000").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Silence));
    assert_eq!(error.delivery(), Some(Delivery::Executed));

    let turn = session.prompt("ask Push");
    let asked = session.permission_requests().next().await.unwrap();
    let mut state = session.state();
    let silent =
        tokio::time::timeout(3 * SHORT, state.wait_for(|state| *state != SessionState::WaitingForPermission))
            .await;
    assert!(silent.is_err(), "the turn still waits");
    session.respond(&asked.id, sandbox_agent_sdk::PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
}

#[tokio::test]
async fn a_turn_and_a_permission_have_limits_of_their_own() {
    let sandbox = sandbox().await;
    let (sdk, one) = session_within(&sandbox, limits().turn(Some(SHORT)).permission(None)).await;
    let error = one.prompt("stream 1000 rate=100").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Turn));
    sdk.close().await.unwrap();

    let (_sdk, two) = session_within(&sandbox, limits().permission(Some(SHORT))).await;
    let error = two.prompt("ask Push").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Permission));
    assert!(two.pending_permissions().is_empty());
}

#[tokio::test]
async fn the_longest_duration_is_a_limit_too() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().turn(Some(Duration::MAX))).await;
    session.prompt("say hello").await.unwrap();
}

#[tokio::test]
async fn an_agent_that_does_not_stop_is_ended() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().cancel(SHORT)).await;
    sandbox.faults().next(On::rpc("session/cancel")).hang_undelivered();
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    turn.cancel().await.unwrap();
    let error = turn.await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Cancel));
    session.prompt("say again").await.unwrap();
    assert!(said(&recorded(&session).await).ends_with("again"));
}

#[tokio::test]
async fn a_delete_that_hangs_is_given_up() {
    let sandbox = Sandbox::builder().heartbeat(HEARTBEAT).start().await.unwrap();
    let (sdk, _session) = session(&sandbox).await;
    let started = Instant::now();
    sdk.close().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn close_does_not_wait_for_a_slow_store_longer_than_its_limit() {
    const UPDATES: u64 = 40;
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits().store(Duration::from_secs(1))).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let last = sandbox.last_event_id(&server(&session)) + UPDATES;
    driver.delay(Operation::Insert, Duration::from_millis(800));
    let mut events = session.events(sandbox_agent_sdk::From::Now);
    let _turn = session.prompt(format!("stream {UPDATES} size=1000000"));
    sandbox.wait_for(|sandbox| sandbox.last_event_id(&server(&session)) >= last).await.unwrap();
    events.next().await.unwrap().unwrap();
    assert!(
        updates(&stored(&driver, "one").await).len() < UPDATES as usize,
        "there is something left to store"
    );
    let started = Instant::now();
    let closed = sdk.close().await.unwrap_err();
    assert_eq!(*closed.kind(), ErrorKind::Persist(PersistErrorKind::Unavailable), "{closed:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(sandbox.servers().is_empty());
}

#[tokio::test]
async fn an_update_over_the_cap_is_a_gap_and_a_response_over_it_an_error() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().event_bytes(10_000)).await;
    session.prompt("say a; big 20000; say b").await.unwrap();
    let events = recorded(&session).await;
    assert_eq!(gaps(&events).iter().map(|gap| gap.cause).collect::<Vec<_>>(), [GapCause::TooLarge]);
    assert_eq!(said(&events), "ab");

    let error = session.prompt(format!("fail -32000 {}", "x".repeat(20_000))).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 10_000 });
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_and_says_that_nothing_was_sent() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().queued_prompts(2)).await;
    let mut running = session.prompt("say begun; think 300");
    begun(&mut running).await;
    let (second, third) = (session.prompt("say b"), session.prompt("say c"));
    let error = session.prompt("say d").await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::QueueFull, Some(Delivery::NotSent)));
    second.await.unwrap();
    third.await.unwrap();
}

#[tokio::test]
async fn a_prompt_of_nothing_is_refused() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let error = session.prompt(Prompt::new(Vec::new())).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::InvalidInput, Some(Delivery::NotSent)));
}

#[tokio::test]
async fn session_ids_of_any_kind_work() {
    let sandbox = sandbox().await;
    let (sdk, _session) = session(&sandbox).await;
    for id in ["a/b", "..", "?x=1", "#", "\0", "🦀", &"x".repeat(65_536)] {
        let session = sdk.create_session(request(id)).await.unwrap();
        session.prompt("say hello").await.unwrap();
        assert_eq!(said(&recorded(&session).await), "hello");
    }
}

#[tokio::test]
async fn a_process_that_does_not_end_holds_nobody_up() {
    let sandbox = Sandbox::builder().heartbeat(HEARTBEAT).start().await.unwrap();
    let (sdk, _session) = session(&sandbox).await;
    let destroyed = tokio::time::timeout(PATIENCE, sdk.destroy_session("one")).await;
    destroyed.expect("the DELETE hangs, and is given up").unwrap();
}

#[tokio::test]
async fn a_cancel_that_overtakes_its_prompt_ends_it_all_the_same() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let process = server(&session);
    sandbox.faults().next(On::rpc("session/prompt")).delay(Duration::from_millis(400));
    let turn = session.prompt("think 60000");
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    timeout(PATIENCE, turn.cancel()).await.unwrap().unwrap();
    assert_eq!(turn.await.unwrap().stop_reason, StopReason::Cancelled);
    session.prompt("say next").await.unwrap();
    assert_eq!(server(&session), process, "its process did not have to be ended");
}
