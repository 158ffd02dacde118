//! The in-process sandbox behaves as the real server does, line by line.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Http, ids, prompt, request, said};
use reqwest::StatusCode;
use sandbox_agent_testkit::{AgentOptions, Direction, FailInit, Sandbox};
use serde_json::{Value, json};
use tokio::time::timeout;

async fn start() -> (Sandbox, Http) {
    let sandbox = Sandbox::start().await;
    let http = Http::new(sandbox.url());
    (sandbox, http)
}

async fn problem(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    let kind = body["type"].as_str().unwrap();
    (status, kind.strip_prefix("urn:sandbox-agent:error:").unwrap().to_owned())
}

#[tokio::test]
async fn health_is_ok() {
    let (sandbox, http) = start().await;
    let health: Value =
        http.client.get(format!("{}/v1/health", sandbox.url())).send().await.unwrap().json().await.unwrap();
    assert_eq!(health, json!({"status": "ok"}));
}

#[tokio::test]
async fn a_token_is_required_everywhere() {
    let sandbox = Sandbox::builder().token("sekret").start().await.unwrap();
    let http = Http::new(sandbox.url());
    for path in ["/v1/health", "/v1/acp", "/v1/acp/a"] {
        let url = format!("{}{path}", sandbox.url());
        let refused = http.client.get(&url).send().await.unwrap();
        assert_eq!(problem(refused).await, (401, "token_invalid".into()));
        let refused = http.client.get(&url).bearer_auth("other").send().await.unwrap();
        assert_eq!(refused.status(), 401);
    }
    let url = format!("{}/v1/health", sandbox.url());
    assert_eq!(http.client.get(&url).bearer_auth("sekret").send().await.unwrap().status(), 200);
    let told: Vec<_> = sandbox.requests().iter().map(|request| request.authorized).collect();
    assert_eq!(told, [false, false, false, false, false, false, true]);
    assert!(!format!("{sandbox:?}{:?}", sandbox.requests()).contains("sekret"));
}

#[tokio::test]
async fn agents_are_listed_and_installed() {
    let sandbox = Sandbox::builder().installed(["mock"]).start().await.unwrap();
    let http = Http::new(sandbox.url());
    let get = |path: &str| http.client.get(format!("{}{path}", sandbox.url()));
    let list: Value = get("/v1/agents").send().await.unwrap().json().await.unwrap();
    assert_eq!(list["agents"].as_array().unwrap().len(), 7);
    let codex: Value = get("/v1/agents/codex").send().await.unwrap().json().await.unwrap();
    assert_eq!(codex["installed"], false);
    let unknown = get("/v1/agents/nope").send().await.unwrap();
    assert_eq!(problem(unknown).await, (400, "unsupported_agent".into()));
    let install = |agent: &str| {
        let url = format!("{}/v1/agents/{agent}/install", sandbox.url());
        http.client.post(url).json(&json!({}))
    };
    let installed: Value = install("mock").send().await.unwrap().json().await.unwrap();
    assert_eq!(installed["already_installed"], true);
    let failed = install("codex").send().await.unwrap();
    assert_eq!(problem(failed).await, (500, "install_failed".into()));
}

#[tokio::test]
async fn an_unknown_endpoint_is_404_and_a_wrong_method_405() {
    let (sandbox, http) = start().await;
    let unknown = http.client.get(format!("{}/v1/x", sandbox.url())).send().await.unwrap();
    assert_eq!(problem(unknown).await, (404, "invalid_request".into()));
    let wrong = http.client.put(http.acp("a")).send().await.unwrap();
    assert_eq!(wrong.status(), 405);
}

#[tokio::test]
async fn the_first_post_must_name_a_known_agent() {
    let (_sandbox, http) = start().await;
    let message = request("1", "initialize", json!({"protocolVersion": 1}));
    let post = |query: &str| http.client.post(format!("{}{query}", http.acp("a"))).json(&message);
    let nameless = post("").send().await.unwrap();
    assert_eq!(problem(nameless).await, (400, "invalid_request".into()));
    let unknown = post("?agent=nope").send().await.unwrap();
    assert_eq!(problem(unknown).await, (400, "unsupported_agent".into()));
    assert_eq!(post("?agent=mock").send().await.unwrap().status(), 200);
    assert_eq!(post("").send().await.unwrap().status(), 200);
    let other = post("?agent=codex").send().await.unwrap();
    assert_eq!(problem(other).await, (409, "conflict".into()));
}

#[tokio::test]
async fn a_get_before_the_first_post_is_404() {
    let (_sandbox, http) = start().await;
    let missing = http.get("a", None).send().await.unwrap();
    assert_eq!(problem(missing).await, (404, "session_not_found".into()));
}

#[tokio::test]
async fn media_types_are_checked() {
    let (_sandbox, http) = start().await;
    http.session("a").await;
    let post = || http.client.post(http.acp("a")).body("{}");
    let plain = post().header("content-type", "text/plain").send().await.unwrap();
    assert_eq!(problem(plain).await, (415, "unsupported_media_type".into()));
    let json = || post().header("content-type", "application/json; charset=utf-8");
    assert_eq!(json().send().await.unwrap().status(), 202);
    let html = json().header("accept", "text/html").send().await.unwrap();
    assert_eq!(problem(html).await, (406, "not_acceptable".into()));
    let get = http.client.get(http.acp("a")).header("accept", "application/json");
    assert_eq!(problem(get.send().await.unwrap()).await, (406, "not_acceptable".into()));
}

#[tokio::test]
async fn a_body_over_2_mib_is_a_plain_413() {
    let (_sandbox, http) = start().await;
    let post = |bytes: usize| {
        let post = http.client.post(http.acp("a")).body("x".repeat(bytes));
        post.header("content-type", "application/json")
    };
    let refused = post(2 * 1024 * 1024 + 1).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.headers()["content-type"], "text/plain; charset=utf-8");
    let taken = post(2 * 1024 * 1024).send().await.unwrap();
    assert_eq!(problem(taken).await, (400, "invalid_request".into()));
}

#[tokio::test]
async fn batches_and_bad_json_are_refused() {
    let (_sandbox, http) = start().await;
    http.session("a").await;
    for body in ["[]", "\"x\"", "{bad", ""] {
        let post = http.client.post(http.acp("a")).header("content-type", "application/json");
        let refused = post.body(body).send().await.unwrap();
        assert_eq!(problem(refused).await, (400, "invalid_request".into()), "{body}");
    }
}

#[tokio::test]
async fn a_notification_and_a_response_are_202() {
    let (sandbox, http) = start().await;
    http.session("a").await;
    let notification = json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "x"}});
    let response = json!({"jsonrpc": "2.0", "id": "x", "result": {}});
    for message in [&notification, &response] {
        let taken = http.post("a", message).send().await.unwrap();
        assert_eq!(taken.status(), 202);
        assert_eq!(taken.text().await.unwrap(), "");
    }
    assert_eq!(sandbox.received("a")[2..], [notification, response]);
}

#[tokio::test]
async fn the_lines_of_an_agent_stand_in_the_order_of_their_ids() {
    let (sandbox, http) = start().await;
    let session = http.session("a").await;
    http.prompt("a", &session, "p", "say x; noise hm").send().await.unwrap();
    let lines = sandbox.agent_lines();
    let wrote = lines.iter().filter(|line| line.direction == Direction::Wrote);
    let wrote: Vec<&str> = wrote.map(|line| line.line.as_str()).collect();
    let events = http.events("a", None).await.take(5).await;
    for (event, line) in events.iter().zip(&wrote) {
        match serde_json::from_str::<Value>(line) {
            Ok(message) => assert_eq!(event.data, message),
            Err(_) => assert_eq!(event.data["params"]["raw"], *line),
        }
    }
    assert_eq!(wrote.len(), 5);
    let received = lines.iter().filter(|line| line.direction == Direction::Received);
    assert_eq!(received.count(), 3);
    assert!(lines.iter().all(|line| line.server_id == "a" && line.pid == lines[0].pid));
}

#[tokio::test]
async fn the_stream_has_everything_the_agent_wrote_with_ids_from_1() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let answer: Value =
        http.prompt("a", &session, "p", "stream 3; noise hm").send().await.unwrap().json().await.unwrap();
    let events = http.events("a", None).await.take(7).await;
    assert_eq!(ids(&events), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(events[0].data["id"], "init");
    assert_eq!(["u1 ", "u2 ", "u3 "], [2, 3, 4].map(|at| said(&events[at])));
    assert_eq!(events[5].data["method"], "_adapter/invalid_stdout");
    assert_eq!(events[5].data["params"]["raw"], "hm");
    assert_eq!(events[6].data, answer);
    assert_eq!(answer["result"]["stopReason"], "end_turn");
}

#[tokio::test]
async fn last_event_id_replays_what_came_after() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    http.prompt("a", &session, "p", "stream 3").send().await.unwrap();
    assert_eq!(ids(&http.events("a", Some(4)).await.take(2).await), [5, 6]);
    // A stale id, of an earlier process, is silence.
    let mut ahead = http.events("a", Some(99)).await;
    assert!(ahead.silent_for(Duration::from_millis(50)).await);
    let bad = http.client.get(http.acp("a")).header("last-event-id", "x");
    assert_eq!(problem(bad.send().await.unwrap()).await, (400, "invalid_request".into()));
}

#[tokio::test]
async fn the_ring_keeps_1024_events() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    http.prompt("a", &session, "p", "stream 2000").send().await.unwrap();
    let events = http.events("a", None).await.until_response("p").await;
    assert_eq!(ids(&events), (980..=2003).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_that_lags_is_skipped_in_silence() {
    let sandbox = Sandbox::builder().channel(4).start().await.unwrap();
    let http = Http::new(sandbox.url());
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    http.prompt("a", &session, "p", "stream 5000").send().await.unwrap();
    let seen = ids(&events.until_response("p").await);
    assert!(seen.is_sorted());
    assert!(seen.len() < 5001, "all {} came", seen.len());
    assert_eq!(seen.last(), Some(&5003));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_every_15_s() {
    let (_sandbox, http) = start().await;
    http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    for _ in 0..3 {
        let since = tokio::time::Instant::now();
        assert_eq!(events.frame().await.unwrap().unwrap(), ": heartbeat");
        let waited = since.elapsed().as_secs_f64();
        assert!((14.9..15.1).contains(&waited), "{waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn past_its_limit_a_post_hangs_and_the_answer_comes_over_the_stream() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    let post = http.prompt("a", &session, "p", "think 200000; say late").send();
    let post = tokio::spawn(post);
    let seen = events.until_response("p").await;
    assert_eq!(said(&seen[0]), "late");
    assert!(timeout(Duration::from_secs(3600), post).await.is_err());
}

#[tokio::test]
async fn an_exit_is_told_at_once_and_then_every_post_is_502_until_delete() {
    let limit = Duration::from_secs(1);
    let sandbox = Sandbox::builder().post_timeout(limit).start().await.unwrap();
    let http = Http::new(sandbox.url());
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    let script = "stderr one; stderr two; say bye; exit 3";
    let post = tokio::spawn(http.prompt("a", &session, "p", script).send());
    let seen = events.take(2).await;
    assert_eq!(said(&seen[0]), "bye");
    assert_eq!(seen[1].data["method"], "_adapter/agent_exited");
    assert_eq!(seen[1].data["params"], json!({"success": false, "code": 3}));
    let failed: Value = post.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(failed["type"], "urn:sandbox-agent:error:agent_process_exited");
    assert_eq!(failed["details"], json!({"exitCode": 3, "stderr": "one\ntwo"}));
    let dead = http.prompt("a", &session, "q", "say hi").send().await.unwrap();
    assert_eq!(problem(dead).await, (502, "stream_error".into()));
    assert_eq!(sandbox.servers(), ["a"]);
    assert_eq!(http.client.delete(http.acp("a")).send().await.unwrap().status(), 204);
    assert_eq!(sandbox.servers(), [""; 0]);
    http.session("a").await;
    assert_eq!(sandbox.last_event_id("a"), 2);
}

#[tokio::test]
async fn stderr_goes_with_the_posts_error_and_not_with_the_streams() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let post = http.prompt("a", &session, "p", "stderr one; fail 5 hm").send().await.unwrap();
    let post: Value = post.json().await.unwrap();
    assert_eq!(post["error"]["data"]["agentStderr"], "one");
    let events = http.events("a", Some(2)).await.take(1).await;
    assert_eq!(events[0].data["error"], json!({"code": 5, "message": "hm"}));
}

#[tokio::test]
async fn delete_hangs_on_a_live_agent_which_ends_when_the_client_gives_up() {
    let (sandbox, http) = start().await;
    http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    let delete = http.client.delete(http.acp("a")).timeout(Duration::from_secs(1));
    let gave_up = tokio::spawn(delete.send());
    sandbox.wait_for(|sandbox| sandbox.servers().is_empty()).await.unwrap();
    assert!(events.silent_for(Duration::from_millis(50)).await);
    assert!(gave_up.await.unwrap().unwrap_err().is_timeout());
    assert_eq!(events.next().await.data["params"], json!({"success": true, "code": 0}));
    assert!(events.frame().await.is_none());
    let again = http.client.delete(http.acp("a")).send().await.unwrap();
    assert_eq!(again.status(), 204);
}

#[tokio::test]
async fn a_quick_delete_ends_the_agent_at_once() {
    let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
    let http = Http::new(sandbox.url());
    http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    assert_eq!(http.client.delete(http.acp("a")).send().await.unwrap().status(), 204);
    assert_eq!(events.next().await.data["method"], "_adapter/agent_exited");
    assert!(events.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_same_id_twice_in_flight_hangs_both() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let first = tokio::spawn(http.prompt("a", &session, "p", "think 1000").send());
    let second = tokio::spawn(http.prompt("a", &session, "p", "think 1000").send());
    let mut events = http.events("a", Some(2)).await;
    assert_eq!(ids(&events.take(2).await), [3, 4]);
    assert!(timeout(Duration::from_secs(3600), first).await.is_err());
    assert!(timeout(Duration::from_secs(3600), second).await.is_err());
}

#[tokio::test]
async fn the_list_has_dead_processes_too() {
    let (sandbox, http) = start().await;
    http.session("a").await;
    http.session("b").await;
    sandbox.faults().kill_agent("b", 9).unwrap();
    let list = http.client.get(format!("{}/v1/acp", sandbox.url())).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let ids: Vec<_> = list["servers"].as_array().unwrap().iter().map(|s| &s["serverId"]).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test]
async fn a_permission_is_asked_over_the_stream_and_answered_by_a_post() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    let post = tokio::spawn(http.prompt("a", &session, "p", "ask Run it?").send());
    let asked = events.next().await;
    assert_eq!(asked.data["method"], "session/request_permission");
    let outcome = json!({"outcome": {"outcome": "selected", "optionId": "allow-once"}});
    let answer = json!({"jsonrpc": "2.0", "id": asked.data["id"], "result": outcome});
    assert_eq!(http.post("a", &answer).send().await.unwrap().status(), 202);
    assert_eq!(said(&events.next().await), "permission: allow-once");
    assert_eq!(post.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_cancel_ends_the_turn() {
    let (_sandbox, http) = start().await;
    for (server, script) in
        [("a", "say on; think 600000"), ("b", "say on; ask x"), ("c", "say on; stream 100 rate=1")]
    {
        let session = http.session(server).await;
        let mut events = http.events(server, Some(2)).await;
        let post = tokio::spawn(http.prompt(server, &session, "p", script).send());
        assert_eq!(said(&events.next().await), "on");
        let params = json!({"sessionId": session});
        let cancel = json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params});
        http.post(server, &cancel).send().await.unwrap();
        let answer: Value = post.await.unwrap().unwrap().json().await.unwrap();
        assert_eq!(answer["result"]["stopReason"], "cancelled", "{script}");
    }
}

#[tokio::test]
async fn modes_and_options_are_set_and_told() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let set = json!({"sessionId": session, "modeId": "plan"});
    http.request("a", "m", "session/set_mode", set).await;
    let set = json!({"sessionId": session, "configId": "model", "value": "large"});
    let options = http.request("a", "o", "session/set_config_option", set).await;
    assert_eq!(options["result"]["configOptions"][0]["currentValue"], "large");
    http.prompt("a", &session, "p", "mode").send().await.unwrap();
    let events = http.events("a", Some(4)).await.take(1).await;
    assert_eq!(said(&events[0]), r#"mode: plan model: large config: {"model":"large"}"#);
    let unknown = http.request("a", "x", "session/nope", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601);
}

#[tokio::test]
async fn a_bad_script_is_an_error_that_names_the_command() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let answer = http.post("a", &prompt(&session, "p", "stream x")).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["code"], -32602);
    assert_eq!(answer["error"]["message"], "stream: `x` is not a whole number");
}

#[tokio::test]
async fn recall_says_every_block_of_the_prompt() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let blocks = json!([{"type": "text", "text": "before"}, {"type": "text", "text": "recall"}]);
    let params = json!({"sessionId": session, "prompt": blocks});
    http.request("a", "p", "session/prompt", params).await;
    let events = http.events("a", Some(2)).await.take(2).await;
    assert_eq!([said(&events[0]), said(&events[1])], ["before", "recall"]);
}

#[tokio::test(start_paused = true)]
async fn late_text_comes_after_the_turn_and_a_rate_is_kept() {
    let (_sandbox, http) = start().await;
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    let since = tokio::time::Instant::now();
    http.prompt("a", &session, "p", "after 5000 late; stream 100 rate=50").send().await.unwrap();
    let took = since.elapsed().as_secs_f64();
    assert!((1.99..2.1).contains(&took), "{took}");
    events.until_response("p").await;
    assert_eq!(said(&events.next().await), "late");
    assert!(since.elapsed() >= Duration::from_secs(5));
}

#[tokio::test]
async fn an_agent_can_fail_to_start() {
    let options = AgentOptions::new().fail_init(FailInit::Error);
    let sandbox = Sandbox::builder().agent(options).start().await.unwrap();
    let http = Http::new(sandbox.url());
    let answer = http.request("a", "i", "initialize", json!({"protocolVersion": 1})).await;
    assert_eq!(answer["error"]["code"], -32603);

    let options = AgentOptions::new().fail_init(FailInit::Exit);
    let limit = Duration::from_secs(1);
    let builder = Sandbox::builder().agent(options).post_timeout(limit);
    let sandbox = builder.start().await.unwrap();
    let http = Http::new(sandbox.url());
    let answer = http.request("a", "i", "initialize", json!({"protocolVersion": 1})).await;
    assert_eq!(answer["details"]["exitCode"], 1);
}
