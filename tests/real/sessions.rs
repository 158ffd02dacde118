//! Sessions side by side, and what they are opened with.

use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::{
    Delivery, ErrorKind, Limits, ListSessionsRequest, Prompt, SandboxAgent, SessionState, TurnEvent,
};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use serde_json::json;

use crate::support::{assert_sound, begun, recorded, request, said};
use crate::{builder, server};

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_turn_streams_and_answers() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("say hello; say world; stop max_tokens");
    let events: Vec<_> = turn.try_collect().await.unwrap();
    let text: String = events.iter().filter_map(TurnEvent::text).collect();
    assert_eq!(text, "helloworld");
    let Some(TurnEvent::Finished(response)) = events.last() else { panic!("{events:?}") };
    assert_eq!(response.stop_reason, StopReason::MaxTokens);
    assert_sound(&recorded(&session).await);
    assert_eq!(*session.state().borrow(), SessionState::Idle);
    let listed = sdk.list_sessions(ListSessionsRequest::new()).await.unwrap();
    assert_eq!(listed.items.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["one"]);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_order_of_calls_is_the_order_of_turns_and_a_dropped_turn_runs() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    drop(session.prompt("think 50; say first"));
    drop(session.prompt("say second"));
    session.prompt("say third").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "firstsecondthird");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn two_sessions_of_one_agent_do_not_meet() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let one = sdk.create_session(request("one")).await.unwrap();
    let two = sdk.create_session(request("two")).await.unwrap();
    let (first, second) = tokio::join!(async { one.prompt("stream 50; exit 3").await }, async {
        two.prompt("stream 500 rate=1000; say two").await
    });
    assert!(first.unwrap_err().is_agent_gone());
    second.unwrap();
    assert!(said(&recorded(&two).await).ends_with("two"));
    assert_sound(&recorded(&one).await);
    assert_sound(&recorded(&two).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn ten_prompts_at_once_on_ten_sessions() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let turns = (0..10).map(|number| {
        let sdk = sdk.clone();
        async move {
            let session = sdk.resume_or_create_session(request(&format!("session {number}"))).await.unwrap();
            session.prompt(format!("stream 200; say number {number}")).await.unwrap();
            let events = recorded(&session).await;
            assert_sound(&events);
            assert!(said(&events).ends_with(&format!("number {number}")));
        }
    });
    join_all(turns).await;
    sdk.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn mode_and_model_are_set_and_what_is_not_offered_is_said() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one").mode("plan").model("large")).await.unwrap();
    session.prompt("mode").await.unwrap();
    let said = said(&recorded(&session).await);
    assert!(said.contains("mode: plan") && said.contains("model: large"), "{said}");

    let error = sdk.create_session(request("two").model("huge")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("small") && error.to_string().contains("large"), "{error}");
    assert!(sdk.get_session("two").await.unwrap().is_none(), "nothing stays behind");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_token_is_required_and_a_wrong_one_refused() {
    let server = RealServer::start(RealServerOptions::new().token("right-token")).await.unwrap();
    for refused in
        [SandboxAgent::builder(server.url()), SandboxAgent::builder(server.url()).token("wrong-token")]
    {
        let error = refused.connect().await.unwrap_err();
        assert!(error.is_unauthorized(), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong-token"));
    }
    let sdk = SandboxAgent::builder(server.url()).token("right-token").connect().await.unwrap();
    assert!(!format!("{sdk:?}").contains("right-token"));
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say hello").await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_turn_is_cancelled_and_the_session_goes_on() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 60000; say never");
    let waiting = session.prompt("say waited");
    begun(&mut turn).await;
    turn.cancel().await.unwrap();
    assert_eq!(turn.await.unwrap().stop_reason, StopReason::Cancelled);
    waiting.await.unwrap();
    assert_eq!(said(&recorded(&session).await), "begunwaited");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_prompt_that_waits_is_cancelled_without_being_sent() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let first = session.prompt("think 300; say first");
    let second = session.prompt("say second");
    second.cancel().await.unwrap();
    let error = second.await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Cancelled);
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
    first.await.unwrap();
    assert_eq!(said(&recorded(&session).await), "first");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_key_is_prompted_once() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let prompt = Prompt::new("say once").idempotency_key("job-1");
    session.prompt(prompt.clone()).await.unwrap();
    let error = session.prompt(prompt).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::DuplicatePrompt);
    session.prompt(Prompt::new("say twice").idempotency_key("job-2")).await.unwrap();
    assert_eq!(said(&recorded(&session).await), "oncetwice");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn any_request_goes_out_raw_and_an_agents_error_is_typed() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.raw_send("session/set_mode", json!({ "modeId": "plan" })).await.unwrap();
    let error = session.raw_send("no/such/method", json!({})).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Agent { code: -32601 });
    let error = session.prompt("fail -32000 log in first").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Agent { code: -32000 });
    assert_eq!(error.delivery(), Some(Delivery::Executed));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_the_client_has_no_handler_for_is_refused_at_once() {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt(r#"request fs/read_text_file {"path":"/etc/passwd"}"#).await.unwrap();
    assert_eq!(said(&recorded(&session).await), "error: -32601");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn an_agent_that_is_not_there_is_an_error_that_says_so() {
    let server = server().await;
    let limits = Limits::default().request(Duration::from_secs(20));
    let sdk = builder(&server).limits(limits).connect().await.unwrap();
    let request = sandbox_agent_sdk::SessionRequest::new("one", "no-such-agent");
    let error = sdk.create_session(request).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code(), "unsupported_agent");
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
}
