//! The same conversation with the real server and with the in-process one.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Http, prompt, request};
use reqwest::{RequestBuilder, header};
use sandbox_agent_testkit::Sandbox;
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use serde_json::{Value, json};
use tokio::time::timeout;

const TOKEN: &str = "sekret";
const POST_TIMEOUT: Duration = Duration::from_secs(2);
/// What takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(4);

/// What both servers said, ids and times taken out.
struct Transcript {
    http: Http,
    lines: Vec<String>,
    session: String,
}

impl Transcript {
    async fn ask(&mut self, what: &str, request: RequestBuilder) {
        let said = match timeout(HANGS, request.bearer_auth(TOKEN).send()).await {
            Err(_) => "hangs".to_owned(),
            Ok(response) => self.describe(response.unwrap()).await,
        };
        self.lines.push(format!("{what}: {said}"));
    }

    async fn describe(&self, response: reqwest::Response) -> String {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (kind, allow) = (header("content-type"), header("allow"));
        let text = response.text().await.unwrap();
        let body = match serde_json::from_str::<Value>(&text) {
            Ok(mut body) => {
                self.normalise(&mut body);
                body.to_string()
            }
            Err(_) => text,
        };
        let mut allow: Vec<_> = allow.iter().flat_map(|allow| allow.split(',')).collect();
        allow.sort_unstable();
        format!("{status} {kind:?} {allow:?} {body}")
    }

    fn normalise(&self, value: &mut Value) {
        value.sort_all_objects();
        match value {
            Value::String(text) if !self.session.is_empty() => {
                *text = text.replace(&self.session, "SESSION");
                if text.starts_with("pid: ") {
                    *text = "PID".to_owned();
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.normalise(item)),
            Value::Object(members) => {
                if members.get("method").is_some() && members.contains_key("id") {
                    members.insert("id".to_owned(), "AGENT'S".into());
                }
                if members.contains_key("createdAtMs") {
                    members.insert("createdAtMs".to_owned(), 0.into());
                }
                members.values_mut().for_each(|member| self.normalise(member));
            }
            _ => {}
        }
    }

    fn post(&self, server: &str, query: &str, body: impl Into<String>) -> RequestBuilder {
        let url = format!("{}{query}", self.http.acp(server));
        let post = self.http.client.post(url);
        post.header(header::CONTENT_TYPE, "application/json").body(body.into())
    }

    async fn rpc(&mut self, server: &str, message: &Value) {
        let what = message.to_string().replace(&self.session, "SESSION");
        let post = self.post(server, "?agent=mock", message.to_string());
        self.ask(&what, post).await;
    }

    async fn prompt(&mut self, id: &str, script: &str) {
        self.rpc("a", &prompt(&self.session, id, script)).await;
    }

    /// Everything after `last`, up to the response with this id or the notification with this
    /// method; gives the last event's id.
    async fn stream(&mut self, server: &str, last: Option<u64>, end: &str) -> u64 {
        let get = self.http.get(server, last).bearer_auth(TOKEN);
        let mut events = common::Events::new(get.send().await.unwrap());
        loop {
            let event = timeout(HANGS, events.next()).await;
            let mut event = event.unwrap_or_else(|_| panic!("no {end:?} after {:#?}", self.lines));
            let done = match event.data.get("method") {
                Some(method) => method == end,
                None => event.data["id"] == end,
            };
            self.normalise(&mut event.data);
            self.lines.push(format!("event {}: {}", event.id, event.data));
            if done {
                return event.id;
            }
        }
    }
}

/// Everything that two servers can be told apart by over HTTP.
async fn converse(url: &str) -> Vec<String> {
    let mut t = Transcript { http: Http::new(url), lines: Vec::new(), session: String::new() };
    let get = |path: &str| t.http.client.get(format!("{url}{path}"));
    let agents = [get("/v1/health"), get("/"), get("/v1/agents/nope"), get("/v1/nope")];
    let refused = [
        get("/v1/health"),
        get("/v1/health").header("authorization", "Basic x"),
        get("/v1/health?access_token=sekret"),
        get("/v1/acp/a"),
    ];
    for request in refused {
        let response = request.send().await.unwrap();
        let line = t.describe(response).await;
        t.lines.push(line);
    }
    for request in agents {
        t.ask("agents", request).await;
    }
    let put = t.http.client.put(t.http.acp("a"));
    t.ask("put", put).await;
    let install = |agent: &str| t.http.client.post(format!("{url}/v1/agents/{agent}/install"));
    let installs = [install("mock"), install("mock").json(&json!({})), install("nope").json(&json!({}))];
    for request in installs {
        t.ask("install", request).await;
    }

    let init = request("i", "initialize", json!({"protocolVersion": 1})).to_string();
    for (query, body) in [
        ("", init.as_str()),
        ("", "[]"),
        ("", "{bad"),
        ("?agent=nope", "{bad"),
        ("?agent=nope", &init),
        ("?agent=", &init),
    ] {
        let post = t.post("a", query, body);
        t.ask(body, post).await;
    }
    let html = t.post("a", "?agent=mock", init.as_str()).header(header::ACCEPT, "text/html");
    t.ask("406", html).await;
    for (accept, last) in [("text/event-stream", "1"), ("text/html", "1"), ("*/*", "x"), ("*/*", "-1")] {
        let get = t.http.client.get(t.http.acp("a"));
        let get = get.header(header::ACCEPT, accept).header("last-event-id", last);
        t.ask("get", get).await;
    }
    let delete = t.http.client.delete(t.http.acp("a"));
    t.ask("delete of nothing", delete).await;

    let post = t.post("a", "?agent=mock", init.as_str());
    t.ask("initialize", post).await;
    let new = request("n", "session/new", json!({"cwd": "/", "mcpServers": []}));
    let new = t.http.post("a", &new).bearer_auth(TOKEN).send().await.unwrap();
    let new: Value = new.json().await.unwrap();
    t.session = new["result"]["sessionId"].as_str().unwrap().to_owned();
    for body in ["[]", "\"x\"", "{bad", "", "{}", r#"{"jsonrpc":"2.0","id":"x","result":{}}"#] {
        let post = t.post("a", "", body);
        t.ask(body, post).await;
    }
    let conflict = t.post("a", "?agent=codex", "{}");
    t.ask("conflict", conflict).await;
    for size in [2 * 1024 * 1024, 2 * 1024 * 1024 + 1] {
        let big = t.post("a", "", "x".repeat(size));
        t.ask("big", big).await;
    }
    for kind in ["text/plain", "application/json; charset=utf-8", "application/x+json"] {
        let post = t.http.client.post(t.http.acp("a")).body("{}");
        t.ask(kind, post.header(header::CONTENT_TYPE, kind)).await;
    }

    t.prompt("p1", "say one; thought two; tool three; stream 3 size=9; mode; recall; whoami").await;
    t.prompt("p2", r#"noise hm; noise x{; raw {"a": 1}; raw [1]; raw "s"; notify a/b {"c": 1}"#).await;
    // The real server reads stderr beside stdout, so its lines need a head start.
    t.prompt("p3", "stderr one; stderr two; think 500; fail -32000 no").await;
    t.prompt("p4", "stream no").await;
    t.rpc("a", &request("m", "session/set_mode", json!({"sessionId": t.session, "modeId": "plan"}))).await;
    t.rpc("a", &request("u", "no/such", json!({}))).await;
    t.rpc("a", &json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": t.session}}))
        .await;
    let last = t.stream("a", None, "u").await;
    t.stream("a", Some(last - 2), "u").await;

    let ask = t.post("a", "", prompt(&t.session, "p5", "ask May I?").to_string());
    let ask = tokio::spawn(ask.bearer_auth(TOKEN).send());
    let asks = t.http.get("a", Some(last)).bearer_auth(TOKEN).send().await.unwrap();
    let asked = common::Events::new(asks).next().await;
    let outcome = json!({"outcome": {"outcome": "selected", "optionId": "reject-once"}});
    t.rpc("a", &json!({"jsonrpc": "2.0", "id": "no", "result": outcome})).await;
    let answer = json!({"jsonrpc": "2.0", "id": asked.data["id"], "result": outcome});
    let post = t.post("a", "", answer.to_string());
    t.ask("permission", post).await;
    let answered = ask.await.unwrap().unwrap();
    let line = t.describe(answered).await;
    t.lines.push(line);
    let last = t.stream("a", Some(last), "p5").await;

    t.prompt("late", "think 3000").await;
    t.prompt("p6", "stderr dying; say bye; exit 4").await;
    t.stream("a", Some(last), "_adapter/agent_exited").await;
    t.prompt("p7", "say hi").await;
    let list = t.http.client.get(format!("{url}/v1/acp"));
    t.ask("list", list).await;
    for _ in 0..2 {
        let delete = t.http.client.delete(t.http.acp("a"));
        t.ask("delete of the dead", delete).await;
    }
    t.prompt("p8", "say hi").await;
    let delete = t.http.client.delete(t.http.acp("a"));
    t.ask("delete of the living", delete).await;
    let list = t.http.client.get(format!("{url}/v1/acp"));
    t.ask("list", list).await;
    t.lines
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn both_servers_say_the_same() {
    let options = RealServerOptions::new()
        .token(TOKEN)
        .env("SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS", POST_TIMEOUT.as_millis().to_string());
    let real = RealServer::start(options).await.unwrap();
    let builder = Sandbox::builder().token(TOKEN).post_timeout(POST_TIMEOUT);
    let sandbox = builder.start().await.unwrap();
    let (real, ours) = tokio::join!(converse(real.url()), converse(sandbox.url()));
    let differ = |(real, ours): &(&String, &String)| real != ours;
    let differences: Vec<_> = real.iter().zip(&ours).filter(differ).collect();
    assert!(differences.is_empty(), "real and ours differ: {differences:#?}");
    assert_eq!(real.len(), ours.len());
}
