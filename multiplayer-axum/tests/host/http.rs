//! Calls by HTTP, and the status of each error.

use sandbox_agent_multiplayer::RefuseAll;
use sandbox_agent_multiplayer_axum::HostOptions;
use serde_json::{Value, json};

use crate::support::Host;

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn call(host: &Host, token: &str, action: &str, args: &Value) -> (u16, Value) {
    let url = host.http(&format!("calls/{action}"));
    answer(reqwest::Client::new().post(url).bearer_auth(token).json(args)).await
}

async fn get(host: &Host, token: Option<&str>, rest: &str) -> (u16, Value) {
    let request = reqwest::Client::new().get(host.http(rest));
    answer(match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
    .await
}

fn error(status: u16, code: &str, (was, failure): (u16, Value)) -> Value {
    assert_eq!((was, &failure["code"]), (status, &json!(code)), "{failure}");
    failure
}

#[tokio::test]
async fn a_call_is_a_visit_that_nobody_sees() {
    let host = Host::start().await;
    let (status, snapshot) = get(&host, Some("ada"), "snapshot").await;
    assert_eq!((status, &snapshot["workspace"]), (200, &json!("w")));
    let args = json!({ "promptId": "p", "text": "say hello" });
    let (status, accepted) = call(&host, "ada", "prompt", &args).await;
    assert_eq!((status, &accepted["promptId"], &accepted["known"]), (200, &json!("p"), &json!(false)));
    let (_, again) = call(&host, "ada", "prompt", &args).await;
    assert_eq!(again["known"], true);
    let (status, page) = call(&host, "ada", "getSequencedEvents", &json!({ "since": 0, "limit": 2 })).await;
    assert_eq!((status, page["frames"].as_array().unwrap().len()), (200, 2));
    let (_, info) = answer(
        // Without a body there are no arguments.
        reqwest::Client::new().post(host.http("calls/getSessionInfo")).bearer_auth("ada"),
    )
    .await;
    assert_eq!(info["here"], json!([]));
}

#[tokio::test]
async fn nobody_comes_in_unless_the_host_says_so() {
    let host = Host::with(HostOptions::default(), |workspace| workspace.authorize(RefuseAll)).await;
    error(403, "refused", get(&host, Some("ada"), "snapshot").await);
    error(403, "refused", call(&host, "ada", "getSessionInfo", &json!({})).await);
    error(403, "refused", get(&host, Some("ada"), "events").await);
}

#[tokio::test]
async fn each_error_has_its_status() {
    let host = Host::with_options(HostOptions::default().message_bytes(4096)).await;
    error(401, "refused", get(&host, None, "snapshot").await);
    error(401, "refused", get(&host, None, "snapshot?token=ada&access_token=ada").await);
    error(403, "refused", get(&host, Some("mallory"), "snapshot").await);
    error(403, "refused", call(&host, "eve", "prompt", &json!({ "promptId": "p", "text": "no" })).await);
    let term = call(&host, "ada", "requestControl", &json!({})).await.1["term"].as_u64().unwrap();
    let failure = error(
        409,
        "not_driving",
        call(&host, "bob", "prompt", &json!({ "promptId": "p", "text": "no" })).await,
    );
    assert_eq!(failure["data"]["drivers"], json!(["ada"]));
    let stale = json!({ "promptId": "p", "text": "no", "term": term + 7 });
    let failure = error(409, "stale_control", call(&host, "ada", "prompt", &stale).await);
    assert_eq!(failure["data"]["term"], term);
    let failure = error(
        416,
        "future_sequence",
        call(&host, "ada", "getSequencedEvents", &json!({ "since": 999 })).await,
    );
    assert!(failure["data"]["last"].as_u64().unwrap() <= host.workspace.snapshot().sequence);
    let large = json!({ "promptId": "p", "text": "x".repeat(5000) });
    let failure = error(413, "too_large", call(&host, "ada", "prompt", &large).await);
    assert_eq!(failure["data"]["limit"], 4096);
    error(403, "refused", call(&host, "mallory", "prompt", &large).await);
    error(400, "invalid_input", call(&host, "ada", "fly", &json!({})).await);
    error(400, "invalid_input", call(&host, "ada", "prompt", &json!({ "text": 1 })).await);
    let no_json = reqwest::Client::new().post(host.http("calls/cancel")).bearer_auth("ada").body("{");
    error(400, "invalid_input", answer(no_json).await);
    error(400, "invalid_input", get(&host, Some("ada"), "ws").await);
    let lost = json!({ "sessionId": "default", "permissionId": "1", "reply": "once" });
    error(404, "not_found", call(&host, "ada", "respondPermission", &lost).await);
    let other =
        reqwest::Client::new().get(host.http("snapshot").replace("/w/", "/other/")).bearer_auth("ada");
    error(404, "not_found", answer(other).await);
    host.workspace.close().await.unwrap();
    error(503, "closed", get(&host, Some("ada"), "snapshot").await);
}

#[tokio::test]
async fn who_shows_no_token_is_told_which_kind_is_taken() {
    let host = Host::start().await;
    let response = reqwest::get(host.http("snapshot")).await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_page_of_another_host_can_neither_call_nor_read() {
    let host = Host::start().await;
    for rest in ["calls/cancel", "snapshot", "events"] {
        let client = reqwest::Client::new();
        let url = host.http(rest);
        let request = if rest.starts_with("calls") { client.post(url) } else { client.get(url) };
        let request = request.bearer_auth("ada").header("origin", "https://evil.example");
        error(403, "refused", answer(request).await);
    }
    let own = format!("http://{}", host.address);
    let request = reqwest::Client::new().get(host.http("snapshot")).bearer_auth("ada").header("origin", own);
    assert_eq!(answer(request).await.0, 200);
}
