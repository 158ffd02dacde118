//! Permissions wait for people.

use futures::StreamExt;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{ErrorKind, PermissionPolicy, PermissionReply, SessionState, TurnEvent};

use crate::support::{recorded, request, said};
use crate::{builder, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn who_reads_the_turn_can_answer_what_it_shows() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let driver = SqliteSessionPersistDriver::open(folder.path().join("sessions.db")).await.unwrap();
    let sdk = builder(&server).persist(driver).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    for _ in 0..50 {
        let mut turn = session.prompt("ask Push");
        let mut asked = 0;
        while let Some(event) = turn.next().await {
            if let TurnEvent::Permission(request) = event.unwrap() {
                asked += 1;
                session.respond(&request.id, PermissionReply::Once).await.unwrap();
            }
        }
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_callback_answers() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let answering = session.clone();
    let _subscription = session.on_permission_request(move |request| {
        assert_eq!(request.tool_call.fields.title.as_deref(), Some("Delete build/"));
        answering.respond_detached(request.id, PermissionReply::Always);
    });
    session.prompt("ask Delete build/").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "permission: allow-always");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn without_a_listener_it_stays_listed_until_somebody_answers_once() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("ask Push");
    let mut state = session.state();
    state.wait_for(|state| *state == SessionState::WaitingForPermission).await.unwrap();
    let pending = session.pending_permissions();
    let [request] = pending.as_slice() else { panic!("{pending:?}") };
    let error = session.respond(&request.id, PermissionReply::Option("maybe".into())).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput);
    session.respond(&request.id, PermissionReply::Reject).await.unwrap();
    let error = session.respond(&request.id, PermissionReply::Once).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PermissionGone);
    turn.await.unwrap();
    assert_eq!(said(&recorded(&session).await), "permission: reject-once");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_policy_answers_without_anybody() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    for (id, policy, answer) in [
        ("allow", PermissionPolicy::Allow, "permission: allow-once"),
        ("reject", PermissionPolicy::Reject, "permission: reject-once"),
    ] {
        let session = sdk.create_session(request(id).permissions(policy)).await.unwrap();
        session.prompt("ask Push").await.unwrap();
        assert_eq!(said(&recorded(&session).await), answer);
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn it_is_cancelled_with_its_turn() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("ask Push");
    let request = session.permission_requests().next().await.unwrap();
    turn.cancel().await.unwrap();
    turn.await.unwrap();
    assert!(session.pending_permissions().is_empty());
    let error = session.respond(&request.id, PermissionReply::Once).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PermissionGone);
    assert_eq!(said(&recorded(&session).await), "permission: cancelled");
}
