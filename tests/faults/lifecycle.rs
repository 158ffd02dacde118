//! Sessions that are made, resumed and ended, whatever breaks off on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
use sandbox_agent_sdk::persist::{PersistError, PersistErrorKind};
use sandbox_agent_sdk::{
    Delivery, ErrorKind, PermissionReply, SandboxAgent, SessionPersistDriver, SessionState,
};
use sandbox_agent_testkit::{On, Sandbox};
use serde_json::json;
use tokio::runtime;
use tokio::time::timeout;

use crate::support::store::{GatedStore, Moment, Operation};
use crate::support::{recorded, request, said, stored};
use crate::{PATIENCE, limits, sandbox, sdk_on, server, session};

#[tokio::test]
async fn a_dropped_create_deletes_nobody_elses_session() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let one = sdk_on(&sandbox, driver.clone(), limits()).await;
    let other = sdk_on(&sandbox, driver.clone(), limits()).await;
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let creating = other.clone();
    let creating = tokio::spawn(async move { creating.create_session(request("one")).await });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let session = one.resume_or_create_session(request("one")).await.unwrap();
    session.prompt("say precious").await.unwrap();
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    // Its turn comes once the dropped call is cleared up.
    assert!(other.get_session("one").await.unwrap().is_some());
    assert_eq!(said(&stored(&driver, "one").await), "precious");
}

#[tokio::test]
async fn a_cancelled_opening_does_not_stay_in_the_state() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    sandbox.faults().forget(&server(&session)).unwrap();
    let mut state = session.state();
    state.wait_for(|state| *state == SessionState::Dormant).await.unwrap();
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let turn = session.prompt("say hello");
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    assert_eq!(*state.borrow_and_update(), SessionState::Connecting);
    turn.cancel().await.unwrap();
    let left = state.wait_for(|state| *state != SessionState::Connecting);
    timeout(PATIENCE, left).await.unwrap().unwrap();
}

#[test]
fn a_session_outlives_the_runtime_that_resumed_it() {
    let main = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (_sandbox, sdk) = main.block_on(async {
        let sandbox = sandbox().await;
        let driver = MemorySessionPersistDriver::new();
        let first = sdk_on(&sandbox, driver.clone(), limits()).await;
        first.create_session(request("one")).await.unwrap();
        first.close().await.unwrap();
        let sdk = sdk_on(&sandbox, driver, limits()).await;
        (sandbox, sdk)
    });
    let resuming = std::thread::spawn(move || {
        let short = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let session = short.block_on(sdk.resume_session("one")).unwrap().session;
        (session, sdk)
    });
    let (session, _sdk) = resuming.join().unwrap();
    main.block_on(async { timeout(PATIENCE, session.prompt("say hello")).await }).unwrap().unwrap();
}

#[tokio::test]
async fn a_session_that_was_evicted_whole_can_be_made_again() {
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
async fn a_proxys_502_does_not_end_a_live_agent() {
    fn gets(sandbox: &Sandbox) -> usize {
        sandbox.requests().iter().filter(|request| request.method == "GET").count()
    }
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let before = server(&session);
    let turn = session.prompt("ask Push; say done");
    let asked = session.permission_requests().next().await.unwrap();
    sandbox.faults().next(On::rpc("x/y")).answer(502, "text/html", "<html>bad gateway</html>");
    let gets_before = gets(&sandbox);
    // The agent never got the request. A GET that looks for its answer shows that the SDK took the 502 in.
    tokio::select! {
        answer = session.raw_send("x/y", json!({})) => panic!("nobody answers it: {answer:?}"),
        looked = sandbox.wait_for(|sandbox| gets(sandbox) > gets_before) => looked.unwrap(),
    }
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    assert_eq!(server(&session), before);
    assert!(sandbox.servers().contains(&before));
}

#[tokio::test]
async fn a_dropped_destroy_leaks_no_process_and_can_be_called_again() {
    for again in [false, true] {
        let sandbox = sandbox().await;
        let driver = Arc::new(GatedStore::default());
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let session = sdk.create_session(request("one")).await.unwrap();
        let process = server(&session);
        let mut still = driver.hold(Operation::UpdateSession);
        tokio::select! {
            ended = sdk.destroy_session("one") => panic!("the store stands still: {ended:?}"),
            () = still.reached() => {}
        }
        drop(still);
        if again {
            sdk.destroy_session("one").await.unwrap();
            let destroyed = sdk.get_session("one").await.unwrap().unwrap();
            assert!(destroyed.record().destroyed_at.is_some());
        }
        sdk.close().await.unwrap();
        assert!(!sandbox.servers().contains(&process), "close() ends all processes of this SDK");
    }
}

#[tokio::test]
async fn close_ends_the_process_of_a_session_whose_store_failed() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    driver.fail(Operation::Insert, PersistErrorKind::Other);
    for _ in 0..2 {
        assert!(session.prompt("say no").await.unwrap_err().is_persist(), "and it stays said");
    }
    assert!(sandbox.servers().contains(&process));
    assert!(sdk.close().await.unwrap_err().is_persist(), "and so it does once more");
    assert!(!sandbox.servers().contains(&process));
}

#[tokio::test]
async fn whoever_parts_is_told_when_the_store_fails_meanwhile_and_all_is_ended_all_the_same() {
    type Parting = fn(SandboxAgent) -> BoxFuture<'static, sandbox_agent_sdk::Result<()>>;
    let partings: [(Parting, usize); 4] = [
        (|sdk| async move { sdk.close().await }.boxed(), 0),
        (|sdk| async move { sdk.close_session("one").await }.boxed(), 1),
        (|sdk| async move { sdk.destroy_session("one").await }.boxed(), 1),
        (|sdk| async move { sdk.delete_session("one").await }.boxed(), 1),
    ];
    for (place, (part, left)) in partings.into_iter().enumerate() {
        let sandbox = sandbox().await;
        let driver = Arc::new(GatedStore::default());
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        sdk.create_session(request("one")).await.unwrap().prompt("say one").await.unwrap();
        sdk.create_session(request("two")).await.unwrap().prompt("say two").await.unwrap();
        driver.fail(Operation::Insert, PersistErrorKind::Other);
        let parted = part(sdk.clone()).await;
        assert_eq!(sandbox.servers().len(), left, "{place}: {parted:?}");
        if place == 3 {
            parted.unwrap();
            assert!(driver.get_session("one").await.unwrap().is_none(), "it has no past to miss anything");
            continue;
        }
        let error = parted.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Persist(PersistErrorKind::Other), "{place}");
        assert!(error.to_string().contains("could not be stored"), "{error}");
    }
}

#[tokio::test]
async fn detaching_tells_of_what_could_not_be_stored() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    sdk.create_session(request("two")).await.unwrap();
    driver.fail(Operation::Insert, PersistErrorKind::Other);
    session.prompt("say no").await.unwrap_err();
    assert!(sdk.detach_session("one").await.unwrap_err().is_persist());
    sdk.detach().await.unwrap();
    assert_eq!(sandbox.servers().len(), 2);
}

#[tokio::test]
async fn an_old_handle_says_what_became_of_its_session() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    sdk.close_session("one").await.unwrap();
    let error = session.prompt("say no").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("resume it"), "{error}");
    sdk.resume_session("one").await.unwrap().session.prompt("say yes").await.unwrap();
}

#[tokio::test]
async fn a_process_whose_every_answer_was_lost_is_not_started_a_second_time() {
    let sandbox = sandbox().await;
    sandbox.faults().next(On::post()).times(u64::MAX).cut_the_answer();
    let (_sdk, session) = session(&sandbox).await;
    session.prompt("say first").await.unwrap();
    let process = server(&session);
    sandbox.restart().await.unwrap();
    // It may be told only now that the process is gone.
    let _ = timeout(PATIENCE, session.prompt("say second")).await.unwrap();
    timeout(PATIENCE, session.prompt("say third")).await.unwrap().unwrap();
    assert!(!sandbox.servers().contains(&process), "nobody takes it for the process that it was");
    assert!(said(&recorded(&session).await).ends_with("third"));
}

#[tokio::test]
async fn a_server_that_restarted_starts_no_second_process_under_an_old_id() {
    let sandbox = sandbox().await;
    let (_sdk, session) = session(&sandbox).await;
    let before = server(&session);
    // The prompt comes before anybody notices.
    sandbox.faults().next(On::get()).times(1_000).hang_undelivered();
    sandbox.faults().forget(&before).unwrap();
    let error = timeout(PATIENCE, session.prompt("say no")).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::ProcessGone, Some(Delivery::NotSent)));
    assert!(!sandbox.servers().contains(&before));
    sandbox.faults().clear();
    session.prompt("say yes").await.unwrap();
    assert_ne!(server(&session), before);
    assert!(!sandbox.servers().contains(&before));
}

#[tokio::test]
async fn a_token_is_in_no_text_for_people() {
    let sandbox = Sandbox::builder().token("secret-right").quick_delete().start().await.unwrap();
    let builder = |token: &str| {
        SandboxAgent::builder(sandbox.url()).token(token).header("x-team", "secret-team").limits(limits())
    };
    let mut shown = vec![format!("{:?}", builder("secret-right"))];
    let error = builder("secret-wrong").connect().await.unwrap_err();
    assert!(error.is_unauthorized());
    shown.push(format!("{error:?} {error}"));
    let sdk = builder("secret-right").connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    sandbox.faults().next(On::rpc("session/prompt")).answer(500, "text/plain", "out of order");
    let error = session.prompt("say no").await.unwrap_err();
    shown.push(format!("{sdk:?} {session:?} {error:?} {error}"));
    for text in shown {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn closing_a_session_whose_process_could_not_be_ended_is_an_error() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sdk.create_session(request("one")).await.unwrap();
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let reads = Arc::new(AtomicUsize::new(0));
    driver.gate(move |moment, operation| {
        let reads = reads.clone();
        async move {
            // The first one is for the newest index.
            let fails = (moment, operation) == (Moment::Before, Operation::ListEvents)
                && reads.fetch_add(1, Ordering::SeqCst) > 0;
            if fails { Err(PersistError::new(PersistErrorKind::Other, "told to fail")) } else { Ok(()) }
        }
    });
    let closed = sdk.close_session("one").await;
    assert!(
        closed.is_err() || sandbox.servers().is_empty(),
        "{closed:?}, and {:?} runs on",
        sandbox.servers()
    );
}
