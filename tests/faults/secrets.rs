//! Secrets stay inside: whatever happens, they are in nothing that can be shown or logged.

use std::error::Error as StdError;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::acp_schema::{EnvVariable, HttpHeader, McpServer, McpServerHttp, McpServerStdio};
use sandbox_agent_sdk::persist::PersistErrorKind;
use sandbox_agent_sdk::{
    Delivery, Error, ErrorKind, From, ListSessionsRequest, Prompt, SandboxAgent, SandboxAgentBuilder,
    Session, SessionRequest,
};
use sandbox_agent_testkit::{On, Sandbox};
use tokio::net::TcpListener;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::request;
use crate::support::store::{GatedStore, Operation};
use crate::{HEARTBEAT, limits, server};

const TOKEN: &str = "token-7f3a";
const HEADER: &str = "header-9c1e";
/// In the environment and the headers of MCP servers.
const MCP: &str = "mcp-4d2b";
const PROMPT: &str = "prompt-5e8f";

/// All that was shown or logged; it also collects what is logged.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<String>>>);

impl Shown {
    fn add(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn debug(&self, value: &dyn Debug) {
        self.add(format!("{value:?}"));
        self.add(format!("{value:#?}"));
    }

    /// Every layer of an error.
    fn error(&self, error: &Error) {
        let mut layer: Option<&dyn StdError> = Some(error);
        while let Some(error) = layer {
            self.debug(&error);
            self.add(error.to_string());
            layer = error.source();
        }
        self.debug(error.kind());
        if let Some(problem) = error.problem() {
            self.debug(problem);
            self.add(problem.to_string());
        }
    }

    fn failed<T: Debug>(&self, result: Result<T, Error>) -> Error {
        let error = result.unwrap_err();
        self.error(&error);
        error
    }

    async fn handles(&self, sdk: &SandboxAgent, session: &Session) {
        let turn = session.prompt("say hello");
        let subscription = session.on_event(|_| ());
        let list = sdk.list_sessions(ListSessionsRequest::new()).await;
        let parts: [&dyn Debug; 9] = [
            sdk,
            session,
            &session.record(),
            &session.state(),
            &turn,
            &session.events(From::Start),
            &subscription,
            &session.permission_requests(),
            &list,
        ];
        parts.into_iter().for_each(|part| self.debug(part));
        match turn.await {
            Ok(response) => self.debug(&response),
            Err(error) => self.error(&error),
        }
    }

    fn assert_free_of(&self, secrets: &[&str]) {
        let shown = self.0.lock().unwrap();
        assert!(shown.len() > 2, "there is something to look at");
        for secret in secrets {
            let found = shown.iter().find(|text| text.contains(secret));
            assert!(found.is_none(), "{secret} is in {found:?}");
        }
    }
}

impl Visit for Shown {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(format!("{field}={value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.add(format!("{field}={value} {value:?}"));
    }
}

impl Subscriber for Shown {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The scripted agent runs in this thread too, and logs what it gets.
        !metadata.target().starts_with("agent_client_protocol")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Everything that runs on this thread from here on logs to it, down to `TRACE`.
fn listen() -> (Shown, tracing::subscriber::DefaultGuard) {
    let shown = Shown::default();
    (shown.clone(), tracing::subscriber::set_default(shown))
}

async fn guarded() -> Sandbox {
    Sandbox::builder().heartbeat(HEARTBEAT).quick_delete().token(TOKEN).start().await.unwrap()
}

fn builder(url: &str) -> SandboxAgentBuilder {
    let soon = Duration::from_millis(300);
    let limits = limits().connect(soon).reconnect(soon).turn(Some(4 * soon)).cancel(soon);
    SandboxAgent::builder(url).token(TOKEN).header("x-key", HEADER).limits(limits)
}

fn secretive() -> SessionRequest {
    let env = vec![EnvVariable::new("KEY", MCP)];
    let headers = vec![HttpHeader::new("authorization", MCP)];
    request("one")
        .mcp_server(McpServer::Stdio(McpServerStdio::new("tools", "/bin/tools").env(env)))
        .mcp_server(McpServer::Http(McpServerHttp::new("more", "http://127.0.0.1:9").headers(headers)))
}

async fn open(shown: &Shown, sandbox: &Sandbox) -> (SandboxAgent, Session) {
    let builder = builder(sandbox.url());
    shown.debug(&builder);
    let sdk = builder.connect().await.unwrap();
    let request = secretive();
    shown.debug(&request);
    let session = sdk.create_session(request).await.unwrap();
    let received = serde_json::to_string(&sandbox.received(&server(&session))).unwrap();
    assert!(received.contains(MCP), "the agent gets what others must not see");
    (sdk, session)
}

#[tokio::test]
async fn where_all_goes_well() {
    let (shown, _listening) = listen();
    let sandbox = guarded().await;
    let (sdk, session) = open(&shown, &sandbox).await;
    let mut turn = session.prompt(format!("say {PROMPT}; tool Push"));
    let mut events = Vec::new();
    while let Some(event) = turn.next().await {
        events.push(format!("{:?}", event.unwrap()));
    }
    shown.handles(&sdk, &session).await;
    shown.failed(sdk.create_session(secretive()).await);
    sdk.close().await.unwrap();
    shown.failed(session.prompt(PROMPT).await);
    shown.assert_free_of(&[TOKEN, HEADER, MCP, PROMPT]);
    // An event is content: it shows what was said, and nothing of how it travelled.
    let (content, _) = listen();
    events.into_iter().for_each(|event| content.add(event));
    content.assert_free_of(&[TOKEN, HEADER]);
}

#[tokio::test]
async fn where_requests_fail() {
    let (shown, _listening) = listen();
    let sandbox = guarded().await;
    let (sdk, session) = open(&shown, &sandbox).await;
    let prompt = format!("say {PROMPT}; think 50");

    let refused = || sandbox.faults().next(On::rpc("session/prompt"));
    refused().answer(
        400,
        "application/problem+json",
        r#"{"type":"urn:sandbox-agent:error:other","title":"No"}"#,
    );
    assert!(matches!(shown.failed(session.prompt(&prompt).await).kind(), ErrorKind::Refused(_)));
    sandbox.faults().next(On::rpc("session/prompt")).cut_after_delivery();
    let _ = session.prompt(&prompt).await.inspect_err(|error| shown.error(error));
    let turn = session.prompt(&prompt);
    sandbox.faults().cut_connections();
    let _ = turn.await.inspect_err(|error| shown.error(error));

    shown.failed(session.prompt("fail -32000 login").await);
    let long = PROMPT.repeat(400_000);
    assert!(matches!(shown.failed(session.prompt(long).await).kind(), ErrorKind::TooLarge { .. }));
    let keyed = || Prompt::new(&prompt).idempotency_key(PROMPT);
    // The connections that were cut may still take one with them.
    while let Err(error) = session.prompt(keyed()).await {
        shown.error(&error);
        if error.delivery() != Some(Delivery::NotSent) {
            break;
        }
    }
    shown.failed(session.prompt(keyed()).await);

    sandbox.faults().send_bytes(&server(&session), format!("id: 9999\ndata: {PROMPT}\n\n")).unwrap();
    shown.failed(session.prompt(format!("say {PROMPT}; exit 3")).await);
    shown.handles(&sdk, &session).await;
    sandbox.restart().await.unwrap();
    let _ = session.prompt(&prompt).await.inspect_err(|error| shown.error(error));
    sandbox.stop_listening().await;
    shown.failed(session.prompt(&prompt).await);
    shown.handles(&sdk, &session).await;
    shown.assert_free_of(&[TOKEN, HEADER, MCP, PROMPT]);
}

#[tokio::test]
async fn where_the_store_fails() {
    let (shown, _listening) = listen();
    let sandbox = guarded().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = builder(sandbox.url()).persist(driver.clone()).connect().await.unwrap();
    let session = sdk.create_session(secretive()).await.unwrap();
    driver.fail(Operation::Insert, PersistErrorKind::Other);
    assert!(shown.failed(session.prompt(format!("say {PROMPT}")).await).is_persist());
    driver.fail(Operation::GetSession, PersistErrorKind::Corrupt);
    shown.failed(sdk.resume_session("one").await);
    shown.debug(&driver);
    driver.open();
    shown.handles(&sdk, &session).await;
    shown.assert_free_of(&[TOKEN, HEADER, MCP, PROMPT]);
}

#[tokio::test]
async fn where_nobody_lets_us_in() {
    let (shown, _listening) = listen();
    let sandbox = Sandbox::builder().token("another").start().await.unwrap();
    assert!(shown.failed(builder(sandbox.url()).connect().await).is_unauthorized());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(shown.failed(builder(&format!("http://{closed}")).connect().await).is_unreachable());
    let no_header = |text: &str| format!("{text}\nmore");
    shown.failed(builder(sandbox.url()).token(no_header(TOKEN)).connect().await);
    shown.failed(builder(sandbox.url()).header("x-more", no_header(HEADER)).connect().await);
    for url in [
        format!("http://user:{TOKEN}@127.0.0.1:9"),
        format!("http://{TOKEN}@127.0.0.1:9"),
        format!("http://127.0.0.1:9/?token={TOKEN}"),
        format!("http://127.0.0.1:9/#{TOKEN}"),
    ] {
        let builder = builder(&url);
        shown.debug(&builder);
        assert_eq!(*shown.failed(builder.connect().await).kind(), ErrorKind::InvalidInput);
    }
    shown.assert_free_of(&[TOKEN, HEADER]);
}

#[tokio::test]
async fn where_the_server_points_elsewhere() {
    let (shown, _listening) = listen();
    let sandbox = guarded().await;
    let elsewhere = guarded().await;
    for status in [301, 302, 307, 308] {
        let to = format!("{}/v1/health?t={TOKEN}", elsewhere.url());
        let proxy = redirecting(status, &to).await;
        shown.failed(builder(&proxy).connect().await);
    }
    assert!(elsewhere.requests().is_empty(), "nothing of ours goes to another host");
    // Somebody else's page, where the server should be.
    sandbox.faults().next(On::any()).times(100).answer(404, "text/html", "<html>Nothing here</html>");
    shown.failed(builder(sandbox.url()).connect().await);
    shown.assert_free_of(&[TOKEN, HEADER]);
}

/// Sends whoever comes to another address.
async fn redirecting(status: u16, to: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_turn_is_a_span_with_its_figures_and_nothing_of_its_content() {
    let sandbox = guarded().await;
    let (shown, _listening) = listen();
    let sdk = builder(sandbox.url()).connect().await.unwrap();
    let session = sdk.create_session(SessionRequest::new("one", "mock").cwd("/tmp")).await.unwrap();
    session.prompt("say plum; stream 3").await.unwrap();
    let process = session.record().last_connection_id;
    let figures = [
        "session=one",
        "agent=mock",
        &format!("server_id={process}"),
        "stop_reason=EndTurn",
        "events=5",
        "missing=0",
        "method=\"initialize\"",
    ];
    let texts = shown.0.lock().unwrap().clone();
    for figure in figures {
        assert!(texts.iter().any(|text| text == figure), "no {figure}");
    }
    assert!(texts.iter().any(|text| text.starts_with("duration_ms=")));
    assert!(!texts.iter().any(|text| text.contains("plum")));
}
