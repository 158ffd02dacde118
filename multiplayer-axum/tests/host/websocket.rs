//! Frames, calls and presence over a WebSocket.

use sandbox_agent_multiplayer_axum::HostOptions;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Host, said, within};

#[tokio::test]
async fn a_hello_brings_the_workspace_and_then_all_that_happens() {
    let host = Host::start().await;
    let (mut ada, welcome) = host.enter("ada").await;
    assert_eq!(welcome["snapshot"]["workspace"], "w");
    assert_eq!(welcome["snapshot"]["here"][0]["id"], "ada", "who comes sees that they are here");
    assert_eq!(welcome["you"]["person"]["name"], "Ada");
    assert_eq!(welcome["you"]["rights"], json!(["see", "prompt", "answer", "control", "take", "sandbox"]));
    assert_eq!(welcome["after"], welcome["snapshot"]["sequence"]);

    let mut last = welcome["after"].as_u64().unwrap();
    ada.ask("prompt", json!({ "promptId": "p", "text": "stream 50; say !" })).await;
    let heard = ada.hear_turn("p").await;
    let frames: Vec<Value> = heard.into_iter().filter(|message| message["sequence"].is_u64()).collect();
    for frame in &frames {
        let from = frame["from"].as_u64().or(frame["sequence"].as_u64());
        assert_eq!(from, Some(last + 1), "a hole or a double");
        last = frame["sequence"].as_u64().unwrap();
    }
    let expected: String = (1..=50).map(|n| format!("u{n} ")).chain(["!".to_owned()]).collect();
    assert_eq!(said(&frames), expected);
}

#[tokio::test]
async fn frames_travel_as_they_are_written_once_for_all() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    ada.prompt("p", "say hello").await.unwrap();
    ada.hear_turn("p").await;
    let mut frames = host.workspace.host().frames_after(0).unwrap();
    let last = host.workspace.snapshot().sequence;
    // Whoever comes now changes nothing before `last`.
    let mut again = host.enter_after("ada", 0).await;
    while frames.position() < last {
        let frame = within(frames.recv()).await.unwrap().unwrap();
        assert_eq!(again.raw().await.unwrap().as_bytes(), frame.json());
    }
}

#[tokio::test]
async fn who_comes_back_goes_on_where_they_were() {
    let host = Host::start().await;
    let (mut ada, welcome) = host.enter("ada").await;
    let first = welcome["after"].as_u64().unwrap();
    ada.ask("prompt", json!({ "promptId": "p", "text": "stream 400 rate=400" })).await;
    let mut last = first;
    let mut frames = Vec::new();
    for _ in 0..60 {
        let message = ada.hear().await;
        if let Some(sequence) = message["sequence"].as_u64() {
            last = sequence;
            frames.push(message);
        }
    }
    drop(ada);
    let mut ada = host.enter_after("ada", last).await;
    frames.extend(ada.hear_turn("p").await);
    let expected: String = (1..=400).map(|n| format!("u{n} ")).collect();
    assert_eq!(said(&frames), expected);
}

#[tokio::test]
async fn the_newest_frames_can_be_had_without_knowing_their_numbers() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    ada.prompt("p", "stream 20").await.unwrap();
    ada.hear_turn("p").await;
    let mut again = Client::connect(&host.ws()).await;
    again.say(&json!({ "type": "hello", "token": "ada", "recent": 5 })).await;
    let welcome = again.hear().await;
    let (after, last) =
        (welcome["after"].as_u64().unwrap(), welcome["snapshot"]["sequence"].as_u64().unwrap());
    assert!(after > 0 && last - after >= 5, "{after} {last}");
    assert_eq!(again.hear().await["sequence"], after + 1);
    let mut all = Client::connect(&host.ws()).await;
    all.say(&json!({ "type": "hello", "token": "ada", "recent": 1_000_000 })).await;
    assert_eq!(all.hear().await["after"], 0);
}

#[tokio::test]
async fn a_token_may_come_in_the_header() {
    let host = Host::start().await;
    let mut ada = Client::try_connect(&host.ws(), &[("authorization", "Bearer ada")]).await.unwrap();
    ada.say(&json!({ "type": "hello" })).await;
    assert_eq!(ada.hear().await["you"]["person"]["id"], "ada");
}

#[tokio::test]
async fn who_has_two_pages_is_here_until_both_are_gone() {
    let host = Host::start().await;
    let (mut bob, _) = host.enter("bob").await;
    let (first, _) = host.enter("ada").await;
    let (second, _) = host.enter("ada").await;
    let here = |message: &Value| message["data"]["here"].as_array().map(Vec::len);
    bob.hear_until(|message| here(message) == Some(2)).await;
    drop(first);
    drop(second);
    let gone = bob.hear_until(|message| here(message).is_some()).await;
    assert_eq!(here(&gone), Some(1), "two pages are one person");
}

#[tokio::test]
async fn prompts_are_taken_in_the_order_in_which_they_were_sent() {
    let host = Host::with_options(HostOptions::default().calls(64)).await;
    let (mut ada, welcome) = host.enter("ada").await;
    for n in 0..30 {
        ada.ask("prompt", json!({ "promptId": format!("p{n}"), "text": format!("say {n}") })).await;
    }
    ada.hear_turn("p29").await;
    let mut bob = host.enter_after("bob", welcome["after"].as_u64().unwrap()).await;
    for n in 0..30 {
        let chat = bob.hear_until(|message| message["type"] == "chat.user").await;
        assert_eq!(chat["data"]["promptId"], format!("p{n}"));
    }
}

#[tokio::test]
async fn two_people_share_a_turn_and_hand_control_over() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    let (mut bob, _) = host.enter("bob").await;
    ada.prompt("p", "ask Delete build/").await.unwrap();
    let asked = bob.hear_until(|message| message["type"] == "permission.requested").await;
    let answer = json!({
        "sessionId": "default", "permissionId": asked["data"]["permissionId"], "reply": "once",
    });
    let refused = bob.call("respondPermission", answer.clone()).await.unwrap_err();
    assert_eq!(refused["code"], "not_driving");
    let control = bob.call("requestControl", json!({})).await.unwrap();
    assert_eq!(control["requests"][0]["id"], "bob");
    let control = ada.call("giveControl", json!({ "to": "bob" })).await.unwrap();
    assert_eq!(control["drivers"][0]["id"], "bob");
    bob.call("respondPermission", answer).await.unwrap();
    let heard = ada.hear_turn("p").await;
    assert_eq!(said(&heard), "permission: allow-once");
}

#[tokio::test]
async fn what_is_no_call_is_answered_and_the_connection_goes_on() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    for nonsense in ["", "no JSON", "[]", r#"{"id":1}"#, r#"{"action":"prompt"}"#, r#"{"type":"new"}"#] {
        ada.send(Message::text(nonsense)).await;
        let answer = ada.hear().await;
        assert_eq!(
            (&answer["type"], &answer["error"]["code"]),
            (&json!("error"), &json!("protocol")),
            "{nonsense}"
        );
    }
    let unknown = ada.call("fly", json!({})).await.unwrap_err();
    assert_eq!(unknown["code"], "invalid_input");
    let wrong = ada.call("prompt", json!({ "text": 1 })).await.unwrap_err();
    assert_eq!(wrong["code"], "invalid_input");
    ada.say(&json!({ "type": "ping" })).await;
    let pong = ada.hear().await;
    assert!(pong["type"] == "pong" && pong["sequence"].as_u64() > Some(0), "{pong}");
}
