//! Sessions that outlive their agent process, told by both servers.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Event, Http};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use sandbox_agent_testkit::{AgentOptions, Sandbox};
use serde_json::{Value, json};

async fn start(options: AgentOptions) -> (Sandbox, Http) {
    let sandbox = Sandbox::builder().agent(options).start().await.unwrap();
    let http = Http::new(sandbox.url());
    (sandbox, http)
}

/// What an agent offers after `initialize`.
async fn initialize(http: &Http, server: &str) -> Value {
    let answer = http.request(server, "init", "initialize", json!({"protocolVersion": 1})).await;
    answer["result"]["agentCapabilities"].clone()
}

/// Asks for a session on a fresh process.
async fn reopen(http: &Http, server: &str, method: &str, session: &str) -> Value {
    initialize(http, server).await;
    let params = json!({"sessionId": session, "cwd": "/", "mcpServers": []});
    http.request(server, "open", method, params).await
}

async fn play(http: &Http, server: &str, session: &str, script: &str) {
    http.prompt(server, session, "play", script).send().await.unwrap();
}

fn update(event: &Event) -> &Value {
    &event.data["params"]["update"]
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(|event| update(event)["sessionUpdate"].as_str()).collect()
}

/// A session with changed settings and two turns; what the agent said in them.
async fn live(http: &Http, server: &str) -> (String, Vec<Value>) {
    let session = http.session(server).await;
    let mode = json!({"sessionId": session, "modeId": "plan"});
    http.request(server, "mode", "session/set_mode", mode).await;
    let model = json!({"sessionId": session, "configId": "model", "value": "large"});
    http.request(server, "model", "session/set_config_option", model).await;
    let mut events = http.events(server, Some(2)).await;
    let settings = events.until_response("model").await;
    assert_eq!(kinds(&settings), ["current_mode_update", "config_option_update"]);
    assert_eq!(update(&settings[0])["currentModeId"], "plan");
    assert_eq!(update(&settings[2])["configOptions"][0]["currentValue"], "large");

    play(http, server, &session, "hello there").await;
    let mut told = events.until_response("play").await;
    play(http, server, &session, "tool look; thought hm; say done").await;
    told.extend(events.until_response("play").await);
    let said = told.iter().map(update).filter(|update| update.is_object());
    (session, said.cloned().collect())
}

/// What every server must show of a session that `live` left behind.
async fn comes_back(http: &Http, session: &str, said: &[Value]) {
    let answer = reopen(http, "loaded", "session/load", session).await;
    has_defaults(&answer["result"]);
    let mut events = http.events("loaded", Some(1)).await;
    let mut replayed = events.until_response("open").await;
    replayed.pop();
    let (asked, answered): (Vec<_>, Vec<_>) =
        replayed.iter().map(update).partition(|update| update["sessionUpdate"] == "user_message_chunk");
    let asked: Vec<_> = asked.iter().map(|update| &update["content"]["text"]).collect();
    assert_eq!(asked, ["hello there", "tool look; thought hm; say done"]);
    assert_eq!(answered, said.iter().collect::<Vec<_>>());
    assert_eq!(kinds(&replayed)[0], "user_message_chunk");
    assert_eq!(kinds(&[events.next().await]), ["available_commands_update"]);

    let answer = reopen(http, "resumed", "session/resume", session).await;
    has_defaults(&answer["result"]);
    let mut events = http.events("resumed", Some(1)).await;
    assert_eq!(events.next().await.data["id"], "open");
    assert_eq!(kinds(&[events.next().await]), ["available_commands_update"]);

    play(http, "resumed", session, "mode; history").await;
    let told = events.until_response("play").await;
    assert_eq!(common::said(&told[0]), r#"mode: default model: small config: {"model":"small"}"#);
    assert_eq!(common::said(&told[1]), "history: 3");
}

fn has_defaults(opened: &Value) {
    assert_eq!(opened["modes"]["currentModeId"], "default");
    assert_eq!(opened["configOptions"][0]["currentValue"], "small");
}

#[tokio::test]
async fn a_session_outlives_its_agent_in_the_sandbox() {
    let (sandbox, http) = start(AgentOptions::new().load().resume()).await;
    let (session, said) = live(&http, "first").await;
    sandbox.faults().kill_agent("first", 137).unwrap();
    comes_back(&http, &session, &said).await;

    sandbox.restart().await.unwrap();
    reopen(&http, "restarted", "session/resume", &session).await;
    play(&http, "restarted", &session, "history").await;
    let told = http.events("restarted", Some(3)).await.next().await;
    assert_eq!(common::said(&told), "history: 4");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_session_outlives_the_real_server() {
    let folder = tempfile::tempdir().unwrap();
    let options = RealServerOptions::new()
        .env("SCRIPTED_AGENT_OFFERS", "load,resume")
        .env("SCRIPTED_AGENT_SESSIONS", folder.path().to_str().unwrap());
    let mut server = RealServer::start(options).await.unwrap();
    let http = Http::new(server.url());
    let (session, said) = live(&http, "first").await;
    server.restart().await.unwrap();
    comes_back(&http, &session, &said).await;
}

#[tokio::test]
async fn a_merged_replay_keeps_the_text_of_a_turn_in_one_chunk() {
    let (_sandbox, http) = start(AgentOptions::new().load().merge_replay()).await;
    let session = http.session("a").await;
    play(&http, "a", &session, "stream 3; say and; tool look; say done").await;
    play(&http, "a", &session, "say next").await;
    reopen(&http, "b", "session/load", &session).await;
    let replayed = http.events("b", Some(1)).await.until_response("open").await;
    let texts: Vec<_> = replayed.iter().map(common::said).filter(|text| !text.is_empty()).collect();
    let asked = "stream 3; say and; tool look; say done";
    assert_eq!(texts, [asked, "u1 u2 u3 and", "done", "say next", "next"]);
}

#[tokio::test]
async fn a_session_that_nobody_knows_is_refused() {
    let (_sandbox, http) = start(AgentOptions::new().load().resume()).await;
    for (server, method) in [("a", "session/load"), ("b", "session/resume")] {
        let answer = reopen(&http, server, method, "lost").await;
        assert_eq!(answer["error"]["code"], -32602, "{method}");
        assert_eq!(answer["error"]["data"], "no session \"lost\"", "{method}");
        // Nothing is told of a session that did not open.
        http.request(server, "last", "no/such", json!({})).await;
        assert_eq!(http.events(server, Some(2)).await.next().await.data["id"], "last");
    }
}

#[tokio::test]
async fn an_agent_does_what_it_offers_and_no_more() {
    for (options, can_load, can_resume) in [
        (AgentOptions::new(), false, false),
        (AgentOptions::new().load(), true, false),
        (AgentOptions::new().resume(), false, true),
    ] {
        let (_sandbox, http) = start(options).await;
        let offers = initialize(&http, "a").await;
        assert_eq!(offers["loadSession"], can_load);
        assert_eq!(offers["sessionCapabilities"].get("resume").is_some(), can_resume);
        let session = http.session("b").await;
        for (method, can) in [("session/load", can_load), ("session/resume", can_resume)] {
            let params = json!({"sessionId": session, "cwd": "/", "mcpServers": []});
            let answer = http.request("b", method, method, params).await;
            let code = if can { Value::Null } else { json!(-32601) };
            assert_eq!(answer["error"]["code"], code, "{method}");
        }
    }
}
