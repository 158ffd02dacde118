//! Each refusal is a typed error, before the connection is closed.

use std::time::Duration;

use sandbox_agent_multiplayer::RefuseAll;
use sandbox_agent_multiplayer_axum::HostOptions;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Client, Host};

async fn refused(host: &Host, hello: Value) -> (Value, u16, String) {
    refused_at(&host.ws(), hello).await
}

async fn refused_at(url: &str, hello: Value) -> (Value, u16, String) {
    let mut client = Client::connect(url).await;
    client.say(&hello).await;
    let (error, close) = client.farewell().await;
    (error.clone(), close.code.into(), close.reason.to_string())
}

#[tokio::test]
async fn nobody_comes_in_unless_the_host_says_so() {
    let host = Host::with(HostOptions::default(), |workspace| workspace.authorize(RefuseAll)).await;
    let (error, code, reason) = refused(&host, json!({ "type": "hello", "token": "ada" })).await;
    assert_eq!((&error["code"], code, &*reason), (&json!("refused"), 1008, "refused"));
}

#[tokio::test]
async fn a_wrong_token_and_none_are_refused() {
    let host = Host::start().await;
    for hello in [json!({ "type": "hello", "token": "mallory" }), json!({ "type": "hello" })] {
        let (error, code, _) = refused(&host, hello).await;
        assert_eq!((&error["code"], code), (&json!("refused"), 1008));
    }
    assert!(host.workspace.snapshot().here.is_empty());
}

#[tokio::test]
async fn a_token_in_the_url_is_not_taken_unless_told() {
    let host = Host::start().await;
    let url = format!("{}?token=ada&access_token=ada", host.ws());
    let (error, ..) = refused_at(&url, json!({ "type": "hello" })).await;
    assert_eq!(error["code"], "refused");

    let host = Host::with_options(HostOptions::default().token_parameter("token")).await;
    let mut ada = Client::connect(&format!("{}?token=ada", host.ws())).await;
    ada.say(&json!({ "type": "hello" })).await;
    assert_eq!(ada.hear().await["type"], "welcome");
}

#[tokio::test]
async fn a_frame_that_is_not_there_yet_is_refused_and_the_last_one_named() {
    let host = Host::start().await;
    let (error, ..) = refused(&host, json!({ "type": "hello", "token": "ada", "after": 1000 })).await;
    assert_eq!(error["code"], "future_sequence");
    let last = error["data"]["last"].as_u64().unwrap();
    assert!((1..=host.workspace.snapshot().sequence).contains(&last));
    assert!(host.workspace.snapshot().here.is_empty(), "who is refused is not shown");
}

#[tokio::test]
async fn a_frame_of_another_line_is_refused() {
    let host = Host::start().await;
    let line = host.workspace.snapshot().line;
    let hello = |line: &str| json!({ "type": "hello", "token": "ada", "after": 0, "line": line });
    let (error, code, _) = refused(&host, hello("another")).await;
    assert_eq!((&error["code"], code), (&json!("other_line"), 1008));
    let mut ada = Client::connect(&host.ws()).await;
    ada.say(&hello(&line)).await;
    assert_eq!(ada.hear().await["snapshot"]["line"], *line);
}

#[tokio::test]
async fn a_workspace_that_is_not_there_is_not_found() {
    let host = Host::start().await;
    let url = host.ws().replace("/w/", "/other/");
    let (error, ..) = refused_at(&url, json!({ "type": "hello", "token": "ada" })).await;
    assert_eq!(error["code"], "not_found");
}

#[tokio::test]
async fn who_says_something_else_first_is_closed() {
    let host = Host::start().await;
    let (error, code, _) = refused(&host, json!({ "id": 1, "action": "getSessionInfo" })).await;
    assert_eq!((&error["code"], code), (&json!("protocol"), 1002));
    let mut client = Client::connect(&host.ws()).await;
    client.send(Message::binary(vec![1, 2])).await;
    assert_eq!(client.farewell().await.0["code"], "protocol");
}

#[tokio::test]
async fn who_never_says_hello_is_closed() {
    let host = Host::with_options(HostOptions::default().hello(Duration::from_millis(50))).await;
    let mut client = Client::connect(&host.ws()).await;
    let (error, close) = client.farewell().await;
    assert_eq!((&error["code"], u16::from(close.code)), (&json!("timed_out"), 1013));
}

#[tokio::test]
async fn who_only_looks_on_can_do_no_more() {
    let host = Host::start().await;
    let (mut eve, _) = host.enter("eve").await;
    for (action, args) in [
        ("prompt", json!({ "promptId": "p", "text": "say no" })),
        ("cancel", json!({})),
        ("requestControl", json!({})),
        ("takeControl", json!({})),
        ("respondPermission", json!({ "sessionId": "default", "permissionId": "1", "reply": "once" })),
        ("createSession", json!({ "sessionId": "more", "agent": "mock" })),
    ] {
        assert_eq!(eve.call(action, args).await.unwrap_err()["code"], "refused", "{action}");
    }
}

#[tokio::test]
async fn who_does_not_drive_and_who_acts_on_an_old_term_are_told_so() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    let (mut bob, _) = host.enter("bob").await;
    let term = ada.call("requestControl", json!({})).await.unwrap()["term"].as_u64().unwrap();
    let error = bob.prompt("b", "say no").await.unwrap_err();
    assert_eq!((&error["code"], &error["data"]["drivers"]), (&json!("not_driving"), &json!(["ada"])));
    ada.call("giveControl", json!({ "to": "bob" })).await.unwrap();
    let args = json!({ "promptId": "a", "text": "say late", "term": term });
    let error = ada.call("prompt", args).await.unwrap_err();
    assert_eq!((&error["code"], &error["data"]["term"]), (&json!("stale_control"), &json!(term + 1)));
    let args = json!({ "term": term });
    assert_eq!(bob.call("releaseControl", args).await.unwrap_err()["code"], "stale_control");
}

#[tokio::test]
async fn a_page_of_another_host_does_not_even_connect() {
    let host = Host::start().await;
    let refused = Client::try_connect(&host.ws(), &[("origin", "https://evil.example")]).await.err();
    match refused {
        Some(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{other:?}"),
    }
    let own = format!("http://{}", host.address);
    let mut ada = Client::try_connect(&host.ws(), &[("origin", &own)]).await.unwrap();
    ada.say(&json!({ "type": "hello", "token": "ada" })).await;
    assert_eq!(ada.hear().await["type"], "welcome");
}
