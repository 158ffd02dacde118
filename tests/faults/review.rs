//! Review: each of these should pass and does not.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
use sandbox_agent_sdk::persist::{
    Capabilities, Inserted, PersistError, PersistErrorKind, async_trait, envelope,
};
use sandbox_agent_sdk::*;
use sandbox_agent_testkit::{Events as Pick, On};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{gaps, recorded, request, said, stored, updates};
use crate::{limits, sandbox, server, session, session_within};

const T: Duration = Duration::from_secs(8);

/// Passes on to memory, with faults.
#[derive(Debug, Default)]
struct Wrap {
    store: MemorySessionPersistDriver,
    slow: AtomicUsize,
    fail_reads: AtomicBool,
    fail_writes: AtomicBool,
    reads: AtomicUsize,
}
#[async_trait]
impl SessionPersistDriver for Wrap {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.store.get_session(id).await
    }
    async fn list_sessions(&self, r: ListSessionsRequest) -> Result<ListPage<SessionRecord>, PersistError> {
        self.store.list_sessions(r).await
    }
    async fn update_session(&self, r: SessionRecord) -> Result<(), PersistError> {
        self.store.update_session(r).await
    }
    async fn list_events(&self, r: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.fail_reads.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
            return Err(PersistError::new(PersistErrorKind::Corrupt, "torn page"));
        }
        self.store.list_events(r).await
    }
    async fn insert_event(&self, s: &str, e: SessionEvent) -> Result<Inserted, PersistError> {
        if self.fail_writes.load(Ordering::SeqCst) {
            return Err(PersistError::new(PersistErrorKind::Other, "disk full"));
        }
        let ms = self.slow.load(Ordering::SeqCst);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms as u64)).await;
        }
        self.store.insert_event(s, e).await
    }
    async fn insert_events(&self, s: &str, e: Vec<SessionEvent>) -> Result<Inserted, PersistError> {
        if self.fail_writes.load(Ordering::SeqCst) {
            return Err(PersistError::new(PersistErrorKind::Other, "disk full"));
        }
        let ms = self.slow.load(Ordering::SeqCst);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms as u64)).await;
        }
        self.store.insert_events(s, e).await
    }
    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await
    }
}
async fn sdk_on(
    sandbox: &sandbox_agent_testkit::Sandbox,
    driver: impl SessionPersistDriver,
    limits: Limits,
) -> SandboxAgent {
    SandboxAgent::builder(sandbox.url()).persist(driver).limits(limits).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_turn_stream_always_shows_the_permission() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut missed = 0;
    for _ in 0..100 {
        let mut turn = session.prompt("stream 200; ask Push");
        loop {
            match turn.next().await.unwrap().unwrap() {
                TurnEvent::Permission(asked) => {
                    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
                }
                TurnEvent::Finished(_) => break,
                TurnEvent::Event(event) if matches!(event.view(), EventView::PermissionRequest(_)) => {
                    missed += 1;
                    session.cancel();
                }
                _ => {}
            }
        }
    }
    assert_eq!(
        missed, 0,
        "of 100 permission requests so many were shown as plain events: the turn would wait for ever"
    );
}

#[tokio::test]
async fn r02_a_refill_larger_than_its_budget_ends() {
    let sandbox = sandbox_agent_testkit::Sandbox::builder().quick_delete().start().await.unwrap();
    let (_sdk, session) = session_within(&sandbox, Limits::default()).await;
    let first = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose_for_good(Pick::ids([first + 1]));
    sandbox.faults().lose(Pick::ids(first + 2..first + 300));
    let turn = session.prompt("stream 310 size=100000");
    let ended = timeout(Duration::from_secs(20), turn).await;
    let events = recorded(&session).await;
    println!(
        "updates {:?} gaps {:?} unspent {}",
        updates(&events),
        gaps(&events),
        sandbox.faults().unspent()
    );
    ended.expect("hangs").unwrap();
}

#[tokio::test]
async fn r03_a_response_is_stored_once_and_last_with_a_slow_store() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Wrap::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits().queue_bytes(100_000)).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    driver.slow.store(1200, Ordering::SeqCst);
    let first = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose_for_good(Pick::ids([first + 20]));
    session.prompt("stream 100 rate=50").await.unwrap();
    let at_return = session.last_index();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let events = stored(&driver.store, "one").await;
    let prompt = events.iter().find(|e| matches!(envelope::kind(&e.payload), envelope::Kind::Request { method, .. } if method == "session/prompt")).unwrap();
    let envelope::Kind::Request { id, .. } = envelope::kind(&prompt.payload) else { unreachable!() };
    let answers: Vec<_> = events
        .iter()
        .filter(
            |e| matches!(envelope::kind(&e.payload), envelope::Kind::Response { id: found } if found == id),
        )
        .map(|e| (e.event_index, e.id.clone()))
        .collect();
    let after = updates(&events[at_return as usize..]).len();
    println!(
        "answers {answers:?}; at return {at_return}, updates stored after it {after}, gaps {}",
        gaps(&events).len()
    );
    assert_eq!((answers.len(), after), (1, 0));
}

#[tokio::test]
async fn r04_a_session_deleted_under_a_turn_ends_it() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Wrap::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 300; say done");
    while !turn.next().await.unwrap().unwrap().text().is_some_and(|text| text == "begun") {}
    driver.delete_session("one").await.unwrap();
    println!("{:?}", timeout(T, turn).await.expect("hangs"));
}

#[tokio::test]
async fn r05_a_create_that_fails_deletes_nobody_elses_session() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Wrap::default());
    let (a, b) =
        (sdk_on(&sandbox, driver.clone(), limits()).await, sdk_on(&sandbox, driver.clone(), limits()).await);
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let failing = tokio::spawn(async move {
        timeout(Duration::from_millis(500), b.create_session(request("one"))).await.is_err()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let session = a.resume_or_create_session(request("one")).await.unwrap();
    session.prompt("say precious").await.unwrap();
    assert!(failing.await.unwrap());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        said(&stored(&driver.store, "one").await).contains("precious"),
        "the other process's history is gone"
    );
}

#[tokio::test]
async fn r06_caught_up_ends_when_the_store_cannot_be_read() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Wrap::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits().tail_bytes(1)).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say a").await.unwrap();
    driver.fail_reads.store(true, Ordering::SeqCst);
    let before = driver.reads.load(Ordering::SeqCst);
    let subscription = session.on_event_from(From::Start, |_| {});
    let ended = timeout(Duration::from_secs(2), subscription.caught_up()).await;
    println!("reads in 2 s: {}", driver.reads.load(Ordering::SeqCst) - before);
    assert!(ended.expect("hangs").is_err());
}

#[test]
fn r07_a_session_resumed_on_another_runtime_works() {
    let main = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (sandbox, sdk) = main.block_on(async {
        let sandbox = sandbox().await;
        let driver = MemorySessionPersistDriver::new();
        let first = sdk_on(&sandbox, driver.clone(), limits()).await;
        first.create_session(request("one")).await.unwrap();
        first.close().await.unwrap();
        let sdk = sdk_on(&sandbox, driver, limits()).await;
        (sandbox, sdk)
    });
    let other = sdk.clone();
    let session = std::thread::spawn(move || {
        let short = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        short.block_on(async { other.resume_session("one").await.unwrap().session })
    })
    .join()
    .unwrap();
    main.block_on(async { timeout(T, session.prompt("say hello")).await.expect("hangs").unwrap() });
    drop(sandbox);
}

#[tokio::test]
async fn r08_no_limit_at_all_is_a_limit_too() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session_within(&sandbox, limits().turn(Some(Duration::MAX))).await;
    session.prompt("say hello").await.unwrap();
}

#[tokio::test]
async fn r09_a_queued_prompt_is_cancelled_at_once() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let _running = session.prompt("think 60000");
    let queued = session.prompt("say never");
    timeout(T, queued.cancel()).await.expect("waits for the turn before it").unwrap();
}

#[tokio::test]
async fn r10_the_state_after_a_cancelled_opening_is_true() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    sandbox.faults().forget(&server(&session)).unwrap();
    let mut state = session.state();
    state.wait_for(|s| *s == SessionState::Dormant).await.unwrap();
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let turn = session.prompt("say hello");
    state.wait_for(|s| *s == SessionState::Connecting).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    turn.cancel().await.unwrap();
    timeout(T, state.wait_for(|s| *s != SessionState::Connecting))
        .await
        .expect("Connecting for ever")
        .unwrap();
    drop(sdk);
}

#[tokio::test]
async fn r11_a_prompt_that_was_not_sent_does_not_cost_the_agent_its_history() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let first = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = first.create_session(request("one")).await.unwrap();
    session.prompt("say precious").await.unwrap();
    first.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_or_create_session(request("one")).await.unwrap();
    sandbox.faults().next(On::rpc("session/prompt")).answer(413, "text/plain", "too large");
    assert_eq!(session.prompt("recall").await.unwrap_err().delivery(), Some(Delivery::NotSent));
    let before = said(&recorded(&session).await).len();
    session.prompt("recall").await.unwrap();
    let said = said(&recorded(&session).await);
    assert!(said[before..].contains("precious"), "the agent got only {:?}", &said[before..]);
}

#[tokio::test]
async fn r12_an_answer_that_the_post_brought_outlives_the_process() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().lose_for_good(Pick::responses(1));
    let turn = session.prompt("say done");
    tokio::time::sleep(Duration::from_millis(300)).await;
    sandbox.faults().forget(&server(&session)).unwrap();
    timeout(T, turn).await.expect("hangs").unwrap();
}

#[tokio::test]
async fn r13_permission_ids_are_unique_in_the_session() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let ask = json!({"jsonrpc": "2.0", "id": 0, "method": "session/request_permission", "params": {"sessionId": "x",
            "toolCall": {"toolCallId": "t"}, "options": [{"optionId": "y", "name": "yes", "kind": "allow_once"}]}});
        let turn = session.prompt(format!("raw {ask}\nthink 300\nexit 1"));
        let asked = session.permission_requests().next().await.unwrap();
        session.respond(&asked.id, PermissionReply::Once).await.unwrap();
        ids.push(asked.id);
        turn.await.unwrap_err();
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn r14_a_failed_store_is_what_a_quiet_turn_is_told() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Wrap::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 60000");
    while !turn.next().await.unwrap().unwrap().text().is_some_and(|text| text == "begun") {}
    driver.fail_writes.store(true, Ordering::SeqCst);
    let _ = session.raw_notify("x/y", json!({})).await;
    let error = timeout(T, turn).await.expect("hangs").unwrap_err();
    assert!(error.is_persist(), "{error:?}");
}

#[tokio::test]
async fn r15_a_session_that_was_evicted_whole_can_be_made_again() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::with_options(MemoryOptions::new().max_sessions(1));
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    for id in ["one", "two", "one"] {
        let session = sdk.create_session(request(id)).await.unwrap();
        session.prompt("say hello").await.unwrap();
        sdk.destroy_session(id).await.unwrap();
    }
}

#[tokio::test]
async fn r16_a_policy_answer_that_did_not_arrive_does_not_hang_the_turn() {
    let sandbox = sandbox().await;
    let sdk = SandboxAgent::builder(sandbox.url()).limits(limits()).connect().await.unwrap();
    let session = sdk.create_session(request("one").permissions(PermissionPolicy::Allow)).await.unwrap();
    let mut turn = session.prompt("say begun; think 300; ask Push");
    while !turn.next().await.unwrap().unwrap().text().is_some_and(|text| text == "begun") {}
    sandbox.faults().next(On::post()).answer(503, "text/plain", "one moment");
    let done = timeout(T, turn).await;
    println!("listed: {}", session.pending_permissions().len());
    done.expect("hangs, and nothing is listed").unwrap();
}

#[tokio::test]
async fn r17_a_proxys_502_does_not_kill_a_live_agent() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let before = server(&session);
    sandbox.faults().next(On::rpc("x/y")).answer(502, "text/html", "<html>bad gateway</html>");
    let turn = session.prompt("say begun; think 1500; say done");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = timeout(Duration::from_secs(1), session.raw_send("x/y", json!({}))).await;
    turn.await.unwrap();
    assert!(sandbox.servers().contains(&before));
}

#[tokio::test]
async fn r18_a_dropped_respond_leaves_no_phantom() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let mut turn = session.prompt("ask Push; think 3000");
    let asked = session.permission_requests().next().await.unwrap();
    sandbox.faults().next(On::post()).hang();
    let _ = timeout(Duration::from_millis(300), session.respond(&asked.id, PermissionReply::Once)).await;
    while !turn
        .next()
        .await
        .unwrap()
        .unwrap()
        .text()
        .is_some_and(|text| text.starts_with("permission: allow"))
    {}
    assert!(
        session.pending_permissions().is_empty(),
        "the agent has the answer, and the request is listed again"
    );
}

#[tokio::test]
async fn r19_a_refill_on_a_slow_link_gets_a_large_event() {
    let sandbox = sandbox_agent_testkit::Sandbox::builder().quick_delete().start().await.unwrap();
    let proxy = sandbox_agent_testkit::proxy::Proxy::start(
        sandbox.url().trim_start_matches("http://").trim_end_matches('/').parse().unwrap(),
    )
    .await
    .unwrap();
    proxy.policy(|_| sandbox_agent_testkit::proxy::Policy::pass().slow(4_000_000));
    let sdk = SandboxAgent::builder(proxy.url()).limits(limits()).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let first = sandbox.last_event_id(&server(&session)) + 1;
    sandbox.faults().lose(Pick::ids([first + 2]));
    session.prompt("stream 2; big 3000000; stream 2").await.unwrap();
    let events = recorded(&session).await;
    assert!(gaps(&events).is_empty(), "the server has it still: {:?}", gaps(&events));
}

#[tokio::test]
async fn r20_the_registry_does_not_grow_with_ids_that_do_not_exist() {
    let sandbox = sandbox().await;
    let (sdk, _session) = session(&sandbox).await;
    for n in 0..3 {
        assert!(sdk.get_session(&format!("no-{n}")).await.unwrap().is_none());
    }
    println!("{sdk:?}");
}

#[tokio::test]
async fn r21_a_destroy_that_was_dropped_can_be_made_again_and_leaks_no_process() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Wrap::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    driver.slow.store(500, Ordering::SeqCst);
    let _ = timeout(Duration::from_millis(100), sdk.destroy_session("one")).await;
    driver.slow.store(0, Ordering::SeqCst);
    sdk.close().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!sandbox.servers().contains(&process), "close() ended all processes of this SDK");
}

#[tokio::test]
async fn r22_close_is_bounded_with_a_slow_store() {
    let sandbox = sandbox().await;
    let driver = Arc::new(Wrap::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits().store(Duration::from_secs(1))).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    driver.slow.store(800, Ordering::SeqCst);
    let _turn = session.prompt("stream 40 size=1000000");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let started = std::time::Instant::now();
    sdk.close().await.unwrap();
    println!("close took {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
}
