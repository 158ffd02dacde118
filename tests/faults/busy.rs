//! Prompts that come while a turn runs, and what a turn says of itself.

use std::time::Duration;

use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::{Delivery, ErrorKind, MemorySessionPersistDriver, Prompt, WhenBusy};
use sandbox_agent_testkit::Events;
use tokio::time::timeout;

use crate::support::{begun, gaps, recorded, said};
use crate::{PATIENCE, first, leave_running, limits, sandbox, sdk_on, session, session_within};

#[tokio::test]
async fn a_prompt_that_must_not_wait_is_refused_while_another_runs_or_waits() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let impatient = |text: &str| Prompt::new(text).when_busy(WhenBusy::Reject);
    session.prompt(impatient("say first")).await.unwrap();
    let mut running = session.prompt("say begun; think 60000");
    begun(&mut running).await;
    let error = session.prompt(impatient("say no")).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Busy, Some(Delivery::NotSent)));
    running.cancel().await.unwrap();
    session.prompt(impatient("say second")).await.unwrap();
    assert_eq!(said(&recorded(&session).await), "firstbegunsecond");
}

#[tokio::test]
async fn a_prompt_that_interrupts_comes_next() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut running = session.prompt("say begun; think 60000");
    begun(&mut running).await;
    let waiting = [session.prompt("say no"), session.prompt("say neither")];
    let urgent = session.prompt(Prompt::new("say urgent").when_busy(WhenBusy::Interrupt));
    let after = session.prompt("say after");
    assert_eq!(running.await.unwrap().stop_reason, StopReason::Cancelled);
    for turn in waiting {
        let error = turn.await.unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Cancelled, Some(Delivery::NotSent)));
    }
    urgent.await.unwrap();
    after.await.unwrap();
    assert_eq!(said(&recorded(&session).await), "begunurgentafter");
}

#[tokio::test]
async fn prompts_run_in_the_order_of_the_calls_up_to_the_limit() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().queued_prompts(3)).await;
    let mut running = session.prompt("say begun; think 300");
    begun(&mut running).await;
    let turns: Vec<_> = ["a", "b", "c", "d"].map(|word| session.prompt(format!("say {word}"))).into();
    let mut full = Vec::new();
    for turn in turns {
        full.push(turn.await.map_err(|error| error.kind().clone()).err());
    }
    assert_eq!(full, [None, None, None, Some(ErrorKind::QueueFull)]);
    assert_eq!(said(&recorded(&session).await), "begunabc");
}

#[tokio::test]
async fn the_turn_that_runs_can_be_had_by_anybody() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    assert!(session.running_turn().is_none());
    let mut mine = session.prompt("say begun; think 60000");
    begun(&mut mine).await;
    let other = sdk.get_session("one").await.unwrap().unwrap();
    let theirs = other.running_turn().unwrap();
    theirs.cancel().await.unwrap();
    assert_eq!(mine.await.unwrap().stop_reason, StopReason::Cancelled);
    assert!(other.running_turn().is_none());
}

#[tokio::test]
async fn a_turn_counts_what_it_brought_and_what_is_missing() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("say begun; think 100; stream 20 rate=200");
    begun(&mut turn).await;
    sandbox.faults().lose_for_good(Events::next(3));
    (&mut turn).await.unwrap();
    let missing: u64 = gaps(&recorded(&session).await).iter().map(|gap| gap.missing()).sum();
    assert_eq!(missing, 3);
    let stats = turn.stats();
    assert_eq!((stats.gaps, stats.missing), (1, 3));
    // Its updates that came, and the response.
    assert_eq!(stats.events, 1 + 17 + 1);
    let metrics = sdk.metrics();
    assert_eq!((metrics.gaps, metrics.events_missing), (1, 3));
    assert_eq!((metrics.turns_started, metrics.turns_finished, metrics.turns_failed), (1, 1, 0));
    assert_eq!((metrics.sessions_fresh, metrics.sessions_reattached), (1, 0));
    assert!(metrics.messages_sent >= 3 && metrics.streams_opened >= 1 && metrics.refills >= 1, "{metrics:?}");
    // The handshake's answers come on top.
    assert_eq!(metrics.events_stored, stats.events + 2 + 1);
}

#[tokio::test]
async fn as_many_permissions_wait_as_may_and_one_more_is_refused() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().pending_permissions(2)).await;
    let ask = |id: u8| {
        format!(
            r#"raw {{"jsonrpc":"2.0","id":{id},"method":"session/request_permission","params":{{"sessionId":"x","toolCall":{{"toolCallId":"t{id}"}},"options":[]}}}}"#
        )
    };
    let mut turn = session.prompt(format!("{}\n{}\n{}\nsay begun\nthink 60000", ask(1), ask(2), ask(3)));
    begun(&mut turn).await;
    let server = crate::server(&session);
    let refused =
        || sandbox.received(&server).iter().any(|sent| sent["id"] == 3 && sent["error"]["code"] == -32000);
    sandbox.wait_for(|_| refused()).await.unwrap();
    assert_eq!(session.pending_permissions().len(), 2);
    turn.cancel().await.unwrap();
}

#[tokio::test]
async fn as_many_requests_wait_as_may() {
    let sandbox = sandbox().await;
    let limits = limits().pending_requests(1).request(Duration::from_secs(5));
    let (_sdk, session) = session_within(&sandbox, limits).await;
    sandbox.faults().next(sandbox_agent_testkit::On::rpc("session/set_mode")).hang_undelivered();
    let waits = session.clone();
    let waiting = tokio::spawn(async move {
        waits.raw_send("session/set_mode", serde_json::json!({ "modeId": "plan" })).await
    });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let error =
        session.raw_send("session/set_mode", serde_json::json!({ "modeId": "plan" })).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::QueueFull, Some(Delivery::NotSent)));
    waiting.abort();
}

#[tokio::test]
async fn a_prompt_that_must_not_wait_does_not_wait_for_a_turn_that_it_found() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    leave_running(&sandbox, driver.clone(), "say begun; think 60000").await;
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let dormant = sdk.get_session("one").await.unwrap().unwrap();
    let refused = timeout(PATIENCE, dormant.prompt(Prompt::new("say no").when_busy(WhenBusy::Reject))).await;
    assert_eq!(*refused.expect("it waits").unwrap_err().kind(), ErrorKind::Busy);
}

#[tokio::test]
async fn a_prompt_that_interrupts_interrupts_a_turn_that_it_found() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    leave_running(&sandbox, driver.clone(), "say begun; think 60000").await;
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let dormant = sdk.get_session("one").await.unwrap().unwrap();
    let urgent = dormant.prompt(Prompt::new("say urgent").when_busy(WhenBusy::Interrupt));
    timeout(PATIENCE, urgent).await.expect("it waits").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_turns_nothing_is_busy() {
    let sandbox = sandbox().await;
    let (_driver, _sdk, session) = first(&sandbox).await;
    for round in 0..150 {
        let mut turn =
            IntoFuture::into_future(session.prompt(Prompt::new("say x").when_busy(WhenBusy::Reject)));
        let start = std::time::Instant::now();
        let result = loop {
            if let std::task::Poll::Ready(result) = futures::poll!(tokio::task::unconstrained(&mut turn)) {
                break result;
            }
            assert!(start.elapsed() < PATIENCE);
            std::hint::spin_loop();
        };
        assert!(result.is_ok(), "round {round}: {result:?}");
    }
}
