//! What the stream loses, doubles or breaks off is whole again, or a gap.

use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::{GapCause, Limits, SandboxAgent, SessionState};
use sandbox_agent_testkit::proxy::{Policy, Proxy};
use sandbox_agent_testkit::{Events, On, Sandbox};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{assert_sound, begun, gaps, recorded, request, said, updates};
use crate::{PATIENCE, limits, sandbox, server, session, session_within};

#[tokio::test]
async fn events_lost_on_the_stream_are_refilled() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let next = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose(Events::ids([next + 3, next + 4, next + 9]));
    session.prompt("stream 20").await.unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(updates(&events), (1..=20).collect::<Vec<_>>());
    assert!(gaps(&events).is_empty());
}

#[tokio::test]
async fn events_lost_for_good_are_a_gap_with_both_ids() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let first = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose_for_good(Events::ids([first + 3, first + 4]));
    session.prompt("stream 20").await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    let gaps = gaps(&events);
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert_eq!((gap.from, gap.to, gap.cause), (first + 3, first + 4, GapCause::ServerDropped));
    assert_eq!(updates(&events), (1..=3).chain(6..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refill_larger_than_its_budget_ends() {
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let (_sdk, session) = session_within(&sandbox, Limits::default()).await;
    let first = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose_for_good(Events::ids([first + 1]));
    sandbox.faults().lose(Events::ids(first + 2..first + 300));
    let turn = session.prompt("stream 310 size=100000");
    timeout(Duration::from_secs(20), turn).await.unwrap().unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    let events = recorded(&session).await;
    assert_sound(&events);
    let gaps: Vec<_> = gaps(&events).iter().map(|gap| (gap.from, gap.to)).collect();
    assert_eq!(gaps, [(first + 1, first + 1)]);
    assert_eq!(updates(&events), [1].into_iter().chain(3..=310).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refill_on_a_slow_link_gets_a_large_event() {
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let proxy = Proxy::start(sandbox.address()).await.unwrap();
    proxy.policy(|_| Policy::pass().slow(4_000_000));
    let sdk = SandboxAgent::builder(proxy.url()).limits(limits()).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let large = sandbox.last_event_id(&server(&session)) + 3;
    sandbox.faults().lose(Events::ids([large]));
    session.prompt("stream 2; big 3000000; stream 2").await.unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    let events = recorded(&session).await;
    assert_sound(&events);
    assert!(gaps(&events).is_empty(), "the server still has it: {:?}", gaps(&events));
    assert!(said(&events).len() > 3_000_000);
}

#[tokio::test]
async fn a_response_lost_at_its_subscription_ends_the_turn() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().next(On::rpc("session/prompt")).cut_the_answer();
    let mut turn = session.prompt("say begun; think 100; say done");
    begun(&mut turn).await;
    // The stream breaks; the one that follows it misses the response, and the POST never answers.
    sandbox.faults().lose_at_subscribe(Events::responses(1));
    sandbox.faults().cut_streams();
    turn.await.unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    assert_sound(&recorded(&session).await);
}

#[tokio::test]
async fn what_a_subscription_missed_is_looked_for_once_its_headers_are_in() {
    // No heartbeat comes to the rescue: the server's own is 15 s.
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let (_sdk, session) = session_within(&sandbox, Limits::default()).await;
    sandbox.faults().next(On::rpc("session/prompt")).hang();
    let mut turn = session.prompt("say begun; think 1500; say done");
    begun(&mut turn).await;
    sandbox.faults().lose_at_subscribe(Events::responses(1));
    sandbox.faults().cut_streams();
    timeout(Duration::from_secs(10), turn).await.expect("before the first heartbeat").unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    assert_sound(&recorded(&session).await);
}

#[tokio::test]
async fn a_heartbeat_looks_for_an_answer_that_is_due() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    // The stream lost the response and goes on; the POST says nothing.
    sandbox.faults().lose(Events::responses(1));
    sandbox.faults().next(On::rpc("session/prompt")).hang();
    timeout(PATIENCE, session.prompt("say done")).await.unwrap().unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    assert_sound(&recorded(&session).await);
}

#[tokio::test]
async fn a_response_whose_copy_is_lost_is_fetched_soon_after_its_post() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().lose(Events::responses(1));
    session.prompt("say done").await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert!(gaps(&events).is_empty());
}

#[tokio::test]
async fn a_response_lost_for_good_is_taken_from_its_post_beside_a_gap() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().lose_for_good(Events::responses(1));
    session.prompt("say done").await.unwrap();
    // What is said after the turn's end shows the hole.
    session.prompt("say next").await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(gaps(&events).len(), 1);
}

#[tokio::test]
async fn doubles_at_a_connection_are_dropped() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("stream 100 rate=200");
    let mut seen = 0;
    while seen < 20 {
        seen += usize::from(turn.next().await.unwrap().unwrap().text().is_some());
    }
    sandbox.faults().repeat_at_subscribe(10);
    sandbox.faults().cut_streams();
    turn.await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(updates(&events), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_half_open_connection_is_replaced() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("stream 100 rate=200");
    let mut seen = 0;
    while seen < 20 {
        seen += usize::from(turn.next().await.unwrap().unwrap().text().is_some());
    }
    sandbox.faults().stall_streams();
    let mut state = session.state();
    state.wait_for(|state| *state == SessionState::Lost).await.unwrap();
    turn.await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(updates(&events), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_came_out_of_order_around_an_exit_is_in_order() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().reorder_at_exit();
    let error = session.prompt("stream 10; exit 2").await.unwrap_err();
    assert!(error.is_agent_gone(), "{error:?}");
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(updates(&events), (1..=10).collect::<Vec<_>>());
    session.prompt("say again").await.unwrap();
    assert!(said(&recorded(&session).await).ends_with("again"));
}

#[tokio::test]
async fn bytes_that_are_no_event_harm_nobody() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("say begun; think 100; noise %%%; say done");
    begun(&mut turn).await;
    for bytes in
        [&b"data: no id\n\n"[..], b"id: x\ndata: {}\n\n", b"garbage\r\n\r\n", b"id: 3\ndata: \xff\n\n"]
    {
        sandbox.faults().send_bytes(&server(&session), bytes).unwrap();
    }
    turn.await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(said(&events), "begundone");
}

#[tokio::test]
async fn a_connection_that_gives_nothing_is_lost_within_its_limit() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().stall_streams();
    let mut state = session.state();
    let lost = state.wait_for(|state| *state == SessionState::Lost);
    timeout(PATIENCE, lost).await.expect("its heartbeats are missing").unwrap();
    let back = state.wait_for(|state| *state == SessionState::Idle);
    timeout(PATIENCE, back).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_response_is_looked_for_before_any_heartbeat() {
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let (_sdk, session) = session_within(&sandbox, Limits::default()).await;
    sandbox.faults().lose(Events::responses(1));
    timeout(PATIENCE, session.prompt("say done")).await.expect("its POST answered").unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    assert_sound(&recorded(&session).await);
}

#[tokio::test]
async fn what_a_process_wrote_around_its_end_is_fetched_before_it_counts_as_dead() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    let process = server(&session);
    // The exit is the next event; no id betrays that the stream lacks the one behind it.
    let late = sandbox.last_event_id(&process) + 2;
    sandbox.faults().lose(Events::ids([late]));
    sandbox.faults().kill_agent(&process, 1).unwrap();
    let line = json!({ "jsonrpc": "2.0", "method": "x/late", "params": {} }).to_string();
    sandbox.faults().agent_writes(&process, &line).unwrap();
    assert!(turn.await.unwrap_err().is_agent_gone());
    assert_eq!(sandbox.faults().unspent(), 0);
    let events = recorded(&session).await;
    assert_sound(&events);
    assert!(events.iter().any(|event| event.id == format!("{process}:{late}")));
}

#[tokio::test]
async fn a_refill_needs_no_room_that_its_events_are_waited_for_in() {
    let sandbox = sandbox().await;
    // The event behind the hole has all the room there is.
    let (_sdk, session) = session_within(&sandbox, limits().queue_bytes(1)).await;
    let next = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose(Events::ids([next + 3, next + 4]));
    // No answer of the POST has the hole looked at in another way.
    sandbox.faults().next(On::rpc("session/prompt")).hang();
    session.prompt("stream 10").await.unwrap();
    assert_eq!(sandbox.faults().unspent(), 0);
    let events = recorded(&session).await;
    assert!(gaps(&events).is_empty(), "the server still has them: {:?}", gaps(&events));
    assert_eq!(updates(&events), (1..=10).collect::<Vec<_>>());
}
