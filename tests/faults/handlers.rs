//! What agents ask of their client: refused at once where nobody handles it, answered in time where somebody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox_agent_sdk::acp_schema::{
    CreateElicitationRequest, CreateElicitationResponse, CreateTerminalRequest, CreateTerminalResponse,
    ElicitationAction, Error, KillTerminalRequest, ReadTextFileRequest, ReadTextFileResponse,
    ReleaseTerminalRequest, StopReason, TerminalExitStatus, TerminalOutputRequest, TerminalOutputResponse,
    WaitForTerminalExitRequest, WaitForTerminalExitResponse, WriteTextFileRequest,
};
use sandbox_agent_sdk::{
    Asked, ClientHandlers, Elicitation, EventView, ExtensionHandler, Handled, Limits, SandboxAgent, Session,
    SessionEventExt, Terminals, TextFileReader, TextFileWriter, async_trait,
};
use sandbox_agent_testkit::Sandbox;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{begun, recorded, request, said};
use crate::{MOMENT, PATIENCE, eventually, limits, sandbox, server};

/// Every handler in one: what it does, the request's words say.
#[derive(Clone, Default)]
struct All {
    hanging: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl All {
    async fn hangs(&self, times: usize) {
        eventually("it hangs", async || self.hanging.load(Ordering::Relaxed) == times).await;
    }

    async fn do_as(&self, what: &str) -> Handled<()> {
        struct Dropped(Arc<AtomicUsize>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        match what {
            "panic" => panic!("asked to"),
            "hang" => {
                let _dropped = Dropped(self.dropped.clone());
                self.hanging.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            }
            "fail" => Err(Error::new(-32055, "asked to")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl TextFileReader for All {
    async fn read_text_file(&self, _: &Asked, request: ReadTextFileRequest) -> Handled<ReadTextFileResponse> {
        let path = request.path.display().to_string();
        self.do_as(path.trim_start_matches('/')).await?;
        let content = if path == "/large" { "x".repeat(3 << 20) } else { format!("read {path}") };
        Ok(ReadTextFileResponse::new(content))
    }
}

#[async_trait]
impl TextFileWriter for All {
    async fn write_text_file(&self, _: &Asked, request: WriteTextFileRequest) -> Handled<()> {
        self.do_as(&request.content).await
    }
}

#[async_trait]
impl Terminals for All {
    async fn create(&self, _: &Asked, request: CreateTerminalRequest) -> Handled<CreateTerminalResponse> {
        Ok(CreateTerminalResponse::new(format!("t-{}", request.command)))
    }
    async fn output(&self, _: &Asked, request: TerminalOutputRequest) -> Handled<TerminalOutputResponse> {
        Ok(TerminalOutputResponse::new(request.terminal_id.to_string(), false))
    }
    async fn wait_for_exit(
        &self,
        _: &Asked,
        request: WaitForTerminalExitRequest,
    ) -> Handled<WaitForTerminalExitResponse> {
        self.do_as(&request.terminal_id.0).await?;
        Ok(WaitForTerminalExitResponse::new(TerminalExitStatus::new().exit_code(7)))
    }
    async fn kill(&self, _: &Asked, _: KillTerminalRequest) -> Handled<()> {
        Ok(())
    }
    async fn release(&self, _: &Asked, _: ReleaseTerminalRequest) -> Handled<()> {
        Ok(())
    }
}

#[async_trait]
impl Elicitation for All {
    async fn elicit(
        &self,
        _: &Asked,
        request: CreateElicitationRequest,
    ) -> Handled<CreateElicitationResponse> {
        self.do_as(&request.message).await?;
        Ok(CreateElicitationResponse::new(ElicitationAction::Decline))
    }
}

#[async_trait]
impl ExtensionHandler for All {
    async fn request(&self, asked: &Asked, method: &str, params: Value) -> Handled<Value> {
        self.do_as(params["do"].as_str().unwrap_or_default()).await?;
        Ok(json!({ "method": method, "params": params, "session": asked.session_id }))
    }
}

fn all(all: &All) -> ClientHandlers {
    let handlers = ClientHandlers::new().read_text_files(all.clone()).write_text_files(all.clone());
    handlers.terminals(all.clone()).elicitation(all.clone()).extensions(all.clone())
}

async fn handled(sandbox: &Sandbox, handlers: ClientHandlers, limits: Limits) -> (SandboxAgent, Session) {
    let sdk = SandboxAgent::builder(sandbox.url()).limits(limits).handlers(handlers).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    (sdk, session)
}

/// Has the agent ask, and gives what it says of the answer.
async fn ask(session: &Session, method: &str, params: Value) -> String {
    let from = session.last_index();
    timeout(PATIENCE, session.prompt(format!("request {method} {params}"))).await.unwrap().unwrap();
    let events = recorded(session).await;
    said(&events[usize::try_from(from).unwrap()..])
}

const FORM: &str = r#"{"type":"object","properties":{}}"#;

fn question(words: &str) -> Value {
    let schema: Value = serde_json::from_str(FORM).unwrap();
    json!({ "sessionId": "x", "mode": "form", "message": words, "requestedSchema": schema })
}

fn requests() -> Vec<(&'static str, Value)> {
    vec![
        ("fs/read_text_file", json!({ "sessionId": "x", "path": "/a" })),
        ("fs/write_text_file", json!({ "sessionId": "x", "path": "/a", "content": "b" })),
        ("terminal/create", json!({ "sessionId": "x", "command": "ls" })),
        ("terminal/output", json!({ "sessionId": "x", "terminalId": "t-ls" })),
        ("terminal/wait_for_exit", json!({ "sessionId": "x", "terminalId": "t-ls" })),
        ("terminal/kill", json!({ "sessionId": "x", "terminalId": "t-ls" })),
        ("terminal/release", json!({ "sessionId": "x", "terminalId": "t-ls" })),
        ("elicitation/create", question("sure?")),
        ("_acme/draw", json!({ "x": 1 })),
        ("acme/draw", json!({ "x": 1 })),
    ]
}

/// All handlers but the one for the methods that begin so.
fn all_but(off: &str, handler: &All) -> ClientHandlers {
    let mut handlers = ClientHandlers::new();
    if off != "fs/read_text_file" {
        handlers = handlers.read_text_files(handler.clone());
    }
    if off != "fs/write_text_file" {
        handlers = handlers.write_text_files(handler.clone());
    }
    if off != "terminal/" {
        handlers = handlers.terminals(handler.clone());
    }
    if off != "elicitation/create" {
        handlers = handlers.elicitation(handler.clone());
    }
    if off != "acme/" {
        handlers = handlers.extensions(handler.clone());
    }
    handlers
}

#[tokio::test]
async fn what_nobody_handles_is_refused_at_once() {
    let sandbox = sandbox().await;
    let (_sdk, session) = crate::session(&sandbox).await;
    for (method, params) in requests() {
        assert_eq!(ask(&session, method, params).await, "error: -32601", "{method}");
    }
}

#[tokio::test]
async fn each_handler_that_is_off_is_refused_at_once_whatever_else_is_on() {
    // None of them ends a test: what is refused is refused for good, and not because it took too long.
    let patient = limits().handler(100 * PATIENCE).handler_wait(100 * PATIENCE);
    for off in ["fs/read_text_file", "fs/write_text_file", "terminal/", "elicitation/create", "acme/"] {
        let sandbox = sandbox().await;
        let (_sdk, session) = handled(&sandbox, all_but(off, &All::default()), patient.clone()).await;
        let is_off = |method: &str| method.trim_start_matches('_').starts_with(off);
        assert!(requests().iter().any(|(method, _)| is_off(method)));
        for (method, params) in requests() {
            let asked = Instant::now();
            let said = ask(&session, method, params).await;
            if is_off(method) {
                assert_eq!(said, "error: -32601", "{method}");
                assert!(asked.elapsed() < PATIENCE / 4, "{method} took {:?}", asked.elapsed());
            } else {
                assert!(said.starts_with("answer: "), "{method} without {off}: {said}");
            }
        }
        let received = sandbox.received(&server(&session));
        let declared = &received[0]["params"]["clientCapabilities"];
        assert_eq!(declared["fs"]["readTextFile"], off != "fs/read_text_file");
        assert_eq!(declared["fs"]["writeTextFile"], off != "fs/write_text_file");
        assert_eq!(declared["terminal"], off != "terminal/");
        assert_eq!(declared["elicitation"].is_object(), off != "elicitation/create");
    }
}

#[tokio::test]
async fn what_is_handled_is_declared_and_answered() {
    let sandbox = sandbox().await;
    let (_sdk, session) = handled(&sandbox, all(&All::default()), limits()).await;
    let received = sandbox.received(&server(&session));
    let declared = &received[0]["params"]["clientCapabilities"];
    assert_eq!(declared["fs"], json!({ "readTextFile": true, "writeTextFile": true }));
    assert_eq!((&declared["terminal"], &declared["elicitation"]), (&json!(true), &json!({ "form": {} })));
    let answers = [
        json!({ "content": "read /a" }),
        json!({}),
        json!({ "terminalId": "t-ls" }),
        json!({ "output": "t-ls", "truncated": false }),
        json!({ "exitCode": 7 }),
        json!({}),
        json!({}),
        json!({ "action": "decline" }),
        json!({ "method": "_acme/draw", "params": { "x": 1 }, "session": "one" }),
        json!({ "method": "acme/draw", "params": { "x": 1 }, "session": "one" }),
    ];
    for ((method, params), expected) in requests().into_iter().zip(answers) {
        let said = ask(&session, method, params).await;
        let answer: Value = serde_json::from_str(said.strip_prefix("answer: ").expect(&said)).unwrap();
        assert_eq!(answer, expected, "{method}");
    }
    // What can't be read never gets to a handler; nor does a way of asking that is not declared.
    assert_eq!(ask(&session, "fs/read_text_file", json!({ "path": 5 })).await, "error: -32602");
    let url =
        json!({ "sessionId": "x", "mode": "url", "message": "m", "url": "http://x", "elicitationId": "e" });
    assert_eq!(ask(&session, "elicitation/create", url).await, "error: -32602");
    for unknown in ["terminal/dance", "fs/dance", "elicitation/dance"] {
        assert_eq!(ask(&session, unknown, json!({})).await, "error: -32601", "{unknown} is no extension's");
    }
}

#[tokio::test]
async fn a_handler_that_panics_fails_or_says_too_much_is_an_error_to_the_agent() {
    let sandbox = sandbox().await;
    let (_sdk, session) = handled(&sandbox, all(&All::default()), limits()).await;
    let read = |path: &str| json!({ "sessionId": "x", "path": path });
    assert_eq!(ask(&session, "fs/read_text_file", read("/panic")).await, "error: -32603");
    assert_eq!(ask(&session, "fs/read_text_file", read("/fail")).await, "error: -32055");
    assert_eq!(ask(&session, "fs/read_text_file", read("/large")).await, "error: -32603");
    assert_eq!(ask(&session, "acme/draw", json!({ "do": "panic" })).await, "error: -32603");
    assert_eq!(ask(&session, "fs/read_text_file", read("/a")).await, "answer: {\"content\":\"read /a\"}");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_dropped_and_the_agent_told() {
    let sandbox = sandbox().await;
    let handler = All::default();
    let limits = limits().handler(MOMENT).handler_wait(2 * MOMENT);
    let (_sdk, session) = handled(&sandbox, all(&handler), limits).await;
    assert_eq!(ask(&session, "acme/draw", json!({ "do": "hang" })).await, "error: -32603");
    let wait = json!({ "sessionId": "x", "terminalId": "hang" });
    assert_eq!(ask(&session, "terminal/wait_for_exit", wait).await, "error: -32603");
    assert_eq!(ask(&session, "elicitation/create", question("hang")).await, "error: -32603");
    assert_eq!(handler.dropped.load(Ordering::Relaxed), 3, "all of them were dropped");
}

#[tokio::test]
async fn an_agent_that_waits_for_a_handler_is_not_silent() {
    let sandbox = sandbox().await;
    let limits = limits().silence(Some(MOMENT)).handler_wait(4 * MOMENT);
    let (_sdk, session) = handled(&sandbox, all(&All::default()), limits).await;
    assert_eq!(ask(&session, "elicitation/create", question("hang")).await, "error: -32603");
}

#[tokio::test]
async fn a_cancelled_turn_takes_its_questions_back() {
    let sandbox = sandbox().await;
    let handler = All::default();
    let (_sdk, session) = handled(&sandbox, all(&handler), limits()).await;
    let asks = [("elicitation/create", question("hang")), ("acme/draw", json!({ "do": "hang" }))];
    for ((method, params), times) in asks.into_iter().zip(1..) {
        let mut turn = session.prompt(format!("say begun; request {method} {params}"));
        begun(&mut turn).await;
        handler.hangs(times).await;
        timeout(PATIENCE, turn.cancel()).await.unwrap().unwrap();
        assert_eq!(turn.await.unwrap().stop_reason, StopReason::Cancelled);
    }
    let process = server(&session);
    let answered = |sandbox: &Sandbox| {
        let received = sandbox.received(&process);
        received.iter().any(|envelope| envelope["result"]["action"] == "cancel")
            && received.iter().any(|envelope| envelope["error"]["code"] == -32800)
    };
    sandbox.wait_for(answered).await.unwrap();
    eventually("dropped", async || handler.dropped.load(Ordering::Relaxed) == 2).await;
}

#[tokio::test]
async fn a_request_that_the_agent_takes_back_is_cancelled() {
    let sandbox = sandbox().await;
    let handler = All::default();
    let (_sdk, session) = handled(&sandbox, all(&handler), limits()).await;
    let asks = json!({ "jsonrpc": "2.0", "id": "q1", "method": "acme/draw", "params": { "do": "hang" } });
    let back = json!({ "jsonrpc": "2.0", "method": "$/cancel_request", "params": { "requestId": "q1" } });
    session.prompt(format!("raw {asks}")).await.unwrap();
    handler.hangs(1).await;
    session.prompt(format!("raw {back}")).await.unwrap();
    let process = server(&session);
    let answered = |sandbox: &Sandbox| {
        let received = sandbox.received(&process);
        received.iter().any(|envelope| envelope["id"] == "q1" && envelope["error"]["code"] == -32800)
    };
    sandbox.wait_for(answered).await.unwrap();
}

#[tokio::test]
async fn more_requests_than_may_be_handled_are_refused() {
    let sandbox = sandbox().await;
    let (_sdk, session) = handled(&sandbox, all(&All::default()), limits().pending_handlers(2)).await;
    let asks = |id: u32| {
        let params = json!({ "do": "hang" });
        let asks = json!({ "jsonrpc": "2.0", "id": id + 9_000, "method": "acme/draw", "params": params });
        format!("raw {asks}")
    };
    session.prompt((0..3).map(asks).collect::<Vec<_>>().join("\n")).await.unwrap();
    let process = server(&session);
    let refused = |sandbox: &Sandbox| {
        let received = sandbox.received(&process);
        received.iter().any(|envelope| envelope["id"] == 9_002 && envelope["error"]["code"] == -32000)
    };
    sandbox.wait_for(refused).await.unwrap();
}

#[tokio::test]
async fn what_was_being_handled_is_asked_again_of_whoever_takes_the_session_up() {
    let sandbox = sandbox().await;
    let driver = sandbox_agent_sdk::MemorySessionPersistDriver::new();
    let build = || SandboxAgent::builder(sandbox.url()).limits(limits()).persist(driver.clone());
    let handler = All::default();
    let sdk = build().handlers(all(&handler)).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt(format!("say begun; request elicitation/create {}", question("hang")));
    begun(&mut turn).await;
    handler.hangs(1).await;
    sdk.detach().await.unwrap();
    struct Person;
    #[async_trait]
    impl Elicitation for Person {
        async fn elicit(&self, _: &Asked, _: CreateElicitationRequest) -> Handled<CreateElicitationResponse> {
            Ok(CreateElicitationResponse::new(ElicitationAction::Decline))
        }
    }
    let sdk = build().handlers(ClientHandlers::new().elicitation(Person)).connect().await.unwrap();
    let session = sdk.resume_session("one").await.unwrap().session;
    if let Some(turn) = session.running_turn() {
        timeout(PATIENCE, turn).await.unwrap().unwrap();
    }
    assert!(said(&recorded(&session).await).ends_with("answer: {\"action\":\"decline\"}"));
}

#[tokio::test]
async fn extensions_go_both_ways_and_their_notifications_are_events() {
    let sandbox = sandbox().await;
    let (_sdk, session) = handled(&sandbox, all(&All::default()), limits()).await;
    session.prompt("notify _acme/progress {\"done\": 3}").await.unwrap();
    let events = recorded(&session).await;
    let told = events.iter().find_map(|event| match event.view() {
        EventView::Notification { method, params } => Some((method, params)),
        _ => None,
    });
    let (method, params) = told.unwrap();
    assert_eq!(method, "_acme/progress");
    assert_eq!(serde_json::from_str::<Value>(params.unwrap().get()).unwrap(), json!({ "done": 3 }));
    session.raw_notify("_acme/seen", json!({ "done": 3 })).await.unwrap();
    let process = server(&session);
    let seen = |sandbox: &Sandbox| {
        sandbox.received(&process).iter().any(|envelope| envelope["method"] == "_acme/seen")
    };
    sandbox.wait_for(seen).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), session.raw_send("_acme/ask", json!({})))
        .await
        .unwrap()
        .unwrap_err();
}
