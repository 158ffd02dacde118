//! Agent processes: their end, and who ends them.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbox_agent_sdk::persist::envelope;
use sandbox_agent_sdk::{Delivery, ErrorKind, Session};

use crate::support::{assert_sound, begun, notes, recorded, request, said};
use crate::{builder, server};

/// The process of a session's agent.
async fn pid(session: &Session) -> String {
    session.prompt("whoami").await.unwrap();
    let said = said(&recorded(session).await);
    let (_, pid) = said.rsplit_once("pid: ").unwrap();
    pid.split(' ').next().unwrap().to_owned()
}

/// Waits until the process is gone, with a bound that no test reaches.
async fn gone(pid: &str) -> bool {
    let process = Path::new("/proc").join(pid);
    let end = Instant::now() + Duration::from_secs(10);
    while process.exists() && Instant::now() < end {
        tokio::task::yield_now().await;
    }
    !process.exists()
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn an_exit_during_a_turn_is_a_typed_error_and_the_next_prompt_works() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let first = pid(&session).await;
    let mut turn = session.prompt("say begun; think 200; exit 7");
    begun(&mut turn).await;
    let started = Instant::now();
    let error = turn.await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(*error.kind(), ErrorKind::AgentExited { code: Some(7) });
    assert_eq!(error.delivery(), Some(Delivery::Executed));

    assert_ne!(pid(&session).await, first, "a new process");
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(notes(&events, envelope::PROCESS_ENDED), 1);
    assert_eq!(notes(&events, envelope::TURN_ENDED), 1);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_transcript_of_the_newest_turns_comes_with_the_next_prompt() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say the answer is 42").await.unwrap();
    session.prompt("exit 1").await.unwrap_err();
    session.prompt("recall").await.unwrap();
    let recalled = said(&recorded(&session).await);
    assert!(recalled.contains("User: say the answer is 42"), "{recalled}");
    assert!(recalled.contains("Agent: the answer is 42"), "{recalled}");
    session.prompt("say no; recall").await.unwrap();
    let again = said(&recorded(&session).await);
    assert_eq!(again.matches("What was said before").count(), 1, "it comes once");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn close_ends_the_process_and_detach_leaves_it() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let closed = pid(&session).await;
    let started = Instant::now();
    sdk.close().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(gone(&closed).await);
    let error = session.prompt("say no").await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Closed, Some(Delivery::NotSent)));

    let sdk = builder(&server).connect().await.unwrap();
    let detached = pid(&sdk.create_session(request("two")).await.unwrap()).await;
    sdk.detach().await.unwrap();
    assert!(Path::new("/proc").join(&detached).exists());
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn destroy_ends_one_and_marks_it() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let one = sdk.create_session(request("one")).await.unwrap();
    let two = sdk.create_session(request("two")).await.unwrap();
    let (first, second) = (pid(&one).await, pid(&two).await);
    sdk.destroy_session("one").await.unwrap();
    assert!(gone(&first).await);
    assert!(Path::new("/proc").join(&second).exists());
    let stored = sdk.get_session("one").await.unwrap().unwrap();
    assert!(stored.record().destroyed_at.is_some());
    let error = stored.prompt("say no").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionDestroyed);
    let opened = sdk.resume_session("one").await.unwrap();
    opened.session.prompt("say yes").await.unwrap();
    assert!(opened.session.record().destroyed_at.is_none());
}
