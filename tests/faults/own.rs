//! The agent's own sessions: forked, listed, closed and deleted where it offers that, else a typed error.

use sandbox_agent_sdk::acp_schema::ListSessionsRequest;
use sandbox_agent_sdk::{ErrorKind, ResumeOutcome};
use sandbox_agent_testkit::AgentOptions;
use serde_json::json;

use crate::support::{assert_sound, recorded, request, said, saying};
use crate::{eventually, first, offering, sandbox, server, session};

fn managing() -> AgentOptions {
    AgentOptions::new().load().resume().manage()
}

#[tokio::test]
async fn a_fork_knows_the_past_and_goes_on_apart() {
    let sandbox = offering(managing().thought()).await;
    let (driver, sdk, session) = first(&sandbox).await;
    session.set_mode("plan").await.unwrap();
    session.prompt("say plum").await.unwrap();
    let at = session.last_index();
    let fork = sdk.fork_session("one", "two").await.unwrap();
    assert_eq!(fork.outcome, ResumeOutcome::Loaded);
    let fork = fork.session;
    let from = fork.forked_from().unwrap();
    assert!(from.session_id == "one" && from.event_index >= at);
    assert_ne!(server(&fork), server(&session));
    assert_ne!(fork.record().agent_session_id, session.record().agent_session_id);
    // What it told of the past is the beginning of its own record.
    assert!(said(&recorded(&fork).await).contains("plum"));
    fork.prompt("history; mode; say pear").await.unwrap();
    let told = said(&recorded(&fork).await);
    assert!(told.contains("history: 2") && told.contains("mode: plan"), "{told}");
    session.prompt("history; say apple").await.unwrap();
    let here = said(&recorded(&session).await);
    assert!(here.contains("history: 2") && !here.contains("pear") && !told.contains("apple"));
    assert_eq!(*sdk.fork_session("one", "two").await.unwrap_err().kind(), ErrorKind::SessionExists);
    assert_eq!(*sdk.fork_session("none", "x").await.unwrap_err().kind(), ErrorKind::SessionNotFound);
    assert_sound(&recorded(&fork).await);

    sdk.close().await.unwrap();
    let sdk = crate::sdk_on(&sandbox, driver, crate::limits()).await;
    let again = sdk.resume_session("two").await.unwrap();
    assert_eq!(again.outcome, ResumeOutcome::Resumed);
    assert!(again.session.forked_from().is_some());
}

#[tokio::test]
async fn what_an_agent_does_not_offer_is_a_typed_error_and_not_asked() {
    let sandbox = sandbox().await;
    let (sdk, session) = session(&sandbox).await;
    let before = sandbox.received(&server(&session)).len();
    let refused = |method: &str| ErrorKind::NotOffered { method: method.to_owned() };
    assert_eq!(*sdk.fork_session("one", "two").await.unwrap_err().kind(), refused("session/fork"));
    let list = session.list_agent_sessions(ListSessionsRequest::new()).await;
    assert_eq!(*list.unwrap_err().kind(), refused("session/list"));
    assert_eq!(*session.close_agent_session("x").await.unwrap_err().kind(), refused("session/close"));
    assert_eq!(*session.delete_agent_session("x").await.unwrap_err().kind(), refused("session/delete"));
    assert_eq!(sandbox.received(&server(&session)).len(), before);
    let theirs = sdk.create_session(request("three").agent_session("theirs")).await;
    assert_eq!(*theirs.unwrap_err().kind(), refused("session/load"));
    assert!(
        sdk.get_session("three").await.unwrap().is_none() && sdk.get_session("two").await.unwrap().is_none()
    );
}

#[tokio::test]
async fn a_fork_that_no_other_process_could_take_up_is_refused() {
    let sandbox = offering(AgentOptions::new().manage()).await;
    let (sdk, _session) = session(&sandbox).await;
    let error = sdk.fork_session("one", "two").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotOffered { method: "session/resume".to_owned() });
}

#[tokio::test]
async fn the_agents_sessions_are_listed_taken_up_and_deleted() {
    let sandbox = offering(managing()).await;
    let (_driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    let mine = session.record().agent_session_id;
    let listed = session.list_agent_sessions(ListSessionsRequest::new()).await.unwrap().sessions;
    assert!(listed.iter().any(|known| *known.session_id.0 == *mine));
    // Under another of our ids, with its past.
    let theirs = sdk.create_session(request("theirs").agent_session(&mine)).await.unwrap();
    assert!(said(&recorded(&theirs).await).contains("plum"));
    sdk.close_session("theirs").await.unwrap();

    session.close_agent_session(&mine).await.unwrap();
    session.prompt("history").await.unwrap();
    assert!(said(&recorded(&session).await).ends_with("history: 2"), "it was resumed");
    session.delete_agent_session(&mine).await.unwrap();
    session.prompt("history; recall").await.unwrap();
    let told = said(&recorded(&session).await);
    assert!(told.contains("history: 1") && told.contains("What was said before"), "{told}");
    assert_ne!(session.record().agent_session_id, mine);
}

#[tokio::test]
async fn what_is_told_of_a_fork_on_the_same_process_changes_no_setting_of_the_session() {
    let sandbox = offering(managing()).await;
    let (_driver, sdk, session) = first(&sandbox).await;
    sdk.fork_session("one", "two").await.unwrap();
    let update = |of: &str, mode: &str| {
        let update = json!({ "sessionUpdate": "current_mode_update", "currentModeId": mode });
        json!({ "jsonrpc": "2.0", "method": "session/update", "params": { "sessionId": of, "update": update } })
            .to_string()
    };
    let process = server(&session);
    sandbox.faults().agent_writes(&process, &update("the fork", "plan")).unwrap();
    sandbox.faults().agent_writes(&process, &saying("after")).unwrap();
    eventually("heard", async || said(&recorded(&session).await).ends_with("after")).await;
    assert_eq!(session.modes().unwrap().current_id(), Some("default"));
    sandbox.faults().agent_writes(&process, &update(&session.record().agent_session_id, "plan")).unwrap();
    eventually("its own is kept", async || session.modes().unwrap().current_id() == Some("plan")).await;
}
