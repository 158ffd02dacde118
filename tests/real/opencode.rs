//! A real agent that is not ours, under the real server: OpenCode, with a model that does what the prompt says.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::acp_schema::{PlanEntryStatus, ToolCallStatus};
use sandbox_agent_sdk::{
    From, Limits, PermissionAnswer, PermissionReply, ResumeOutcome, SandboxAgent, Session, SessionEvent,
    SessionView, TurnState, What,
};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{assert_sound, request, stored};

/// Names its program; `cargo xtask test` installs it.
const VARIABLE: &str = "OPENCODE_BIN";
/// It starts slower than our own agent.
const SLOW: Duration = Duration::from_secs(120);

/// The server that runs OpenCode in place of the scripted agent.
struct Stage {
    server: RealServer,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let program = std::env::var_os(VARIABLE).map(PathBuf::from);
        let program =
            program.unwrap_or_else(|| panic!("{VARIABLE} names no program: run `cargo xtask test`"));
        let model = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = model.local_addr().unwrap().port();
        tokio::spawn(serve(model));
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["home", "repo"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let models = json!({ "stub": { "name": "stub" }, "other": { "name": "other" } });
        let options = json!({ "baseURL": format!("http://127.0.0.1:{port}/v1"), "apiKey": "k" });
        let config = json!({
            "model": "stub/stub", "small_model": "stub/stub", "autoupdate": false, "share": "disabled",
            "permission": { "bash": "ask" },
            "provider": { "stub": { "npm": "@ai-sdk/openai-compatible", "options": options, "models": models } },
        });
        std::fs::write(at("config.json"), config.to_string()).unwrap();
        let server = RealServer::start(RealServerOptions::new()).await.unwrap();
        let slot = server.data_home().join("sandbox-agent/bin/agent_processes/mock-acp");
        std::fs::remove_file(&slot).unwrap();
        let home = at("home");
        let quoted = |path: &Path| format!("'{}'", path.display());
        let launcher = format!(
            "#!/bin/sh\nexport HOME={home} XDG_DATA_HOME={home}/data XDG_CONFIG_HOME={home}/config \
             XDG_CACHE_HOME={home}/cache XDG_STATE_HOME={home}/state OPENCODE_CONFIG={config}\nexec {program} acp\n",
            home = quoted(&home),
            config = quoted(&at("config.json")),
            program = quoted(&program),
        );
        std::fs::write(&slot, launcher).unwrap();
        std::fs::set_permissions(&slot, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { server, folder }
    }

    async fn sdk(&self) -> (SandboxAgent, SqliteSessionPersistDriver) {
        let driver = SqliteSessionPersistDriver::open(self.folder.path().join("sessions.db")).await.unwrap();
        let builder = SandboxAgent::builder(self.server.url()).persist(driver.clone());
        let limits = Limits::default().request(SLOW).turn(Some(SLOW));
        (builder.limits(limits).connect().await.unwrap(), driver)
    }

    fn repo(&self) -> String {
        self.folder.path().join("repo").display().to_string()
    }
}

async fn view(session: &Session) -> SessionView {
    let mut view = SessionView::new();
    let mut events = session.events(From::Start);
    while view.last_index() < session.last_index() {
        view.add(events.next().await.unwrap().unwrap());
    }
    view
}

fn chosen(session: &Session) -> (Option<String>, Option<String>) {
    let id = |setting: Option<sandbox_agent_sdk::Setting>| setting?.current_id().map(str::to_owned);
    (id(session.modes()), id(session.models()))
}

/// What was said, by whom; each only once.
fn saying<'a>(events: &'a [SessionEvent], what: &'a str) -> impl Iterator<Item = &'a SessionEvent> {
    events.iter().filter(move |event| event.payload.get().contains(what))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and OpenCode: cargo xtask test"]
async fn opencode_chooses_asks_tells_and_resumes() {
    let stage = Stage::new().await;
    let (sdk, driver) = stage.sdk().await;
    let session = sdk.create_session(request("one").cwd(stage.repo())).await.unwrap();
    assert_eq!(chosen(&session), (Some("build".into()), Some("stub/stub".into())));
    session.set_model("stub/other").await.unwrap();
    session.set_mode("plan").await.unwrap();
    session.set_mode("build").await.unwrap();
    let error = session.set_mode("yolo").await.unwrap_err();
    assert_eq!(error.offered(), ["build", "plan"]);
    assert!(session.agent_capabilities().load_session);

    session.prompt("SAY a plum").await.unwrap();
    let turn = session.prompt("RUN it");
    let asked = session.permission_requests().next().await.unwrap();
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    session.prompt("TODO it").await.unwrap();

    let seen = view(&session).await;
    let tool = seen.entries().find_map(|entry| match &entry.what {
        What::Tool(call) if call.title == "echo hi" => Some(call),
        _ => None,
    });
    let tool = tool.unwrap();
    assert_eq!((tool.status, tool.content.len()), (ToolCallStatus::Completed, 1), "{tool:?}");
    let permission = seen.entries().find_map(|entry| match &entry.what {
        What::Permission(permission) => Some(permission),
        _ => None,
    });
    let permission = permission.unwrap();
    assert_eq!(
        (permission.title.as_str(), &permission.answer),
        ("echo hi", &PermissionAnswer::Option("once".into()))
    );
    let plan = seen.plan().unwrap();
    assert_eq!(
        (plan.entries[0].content.as_str(), &plan.entries[0].status),
        ("look", &PlanEntryStatus::InProgress)
    );
    assert!(seen.turns().all(|turn| turn.state == TurnState::Ended("end_turn".into())));
    let tokens = seen.usage().tokens.unwrap();
    assert_eq!((tokens.total, tokens.input, tokens.output), (18, 11, 7));
    assert!(seen.commands().iter().any(|command| command.name == "init"));
    let unknown: Vec<_> = seen
        .entries()
        .filter(|entry| matches!(entry.what, What::Unknown(_)))
        .map(ToString::to_string)
        .collect();
    assert_eq!(unknown, Vec::<String>::new());
    sdk.close().await.unwrap();

    let (sdk, _) = stage.sdk().await;
    let before = stored(&driver, "one").await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert!(matches!(opened.outcome, ResumeOutcome::Resumed | ResumeOutcome::Loaded), "{:?}", opened.outcome);
    assert_eq!(opened.not_restored, []);
    let session = opened.session;
    assert_eq!(chosen(&session), (Some("build".into()), Some("stub/other".into())));
    session.prompt("SAY a pear").await.unwrap();
    let events = stored(&driver, "one").await;
    assert_sound(&events);
    assert_eq!(events[..before.len()], before[..]);
    let agents = |what| saying(&events[before.len()..], what).filter(|event| is_said(event)).count();
    assert_eq!((agents("plum"), agents("pear")), (0, 1), "what was stored is not stored again");

    // It forks, too: with its past, and apart.
    let fork = sdk.fork_session("one", "two").await.unwrap();
    let told = view(&fork.session).await.to_plain_text();
    assert!(told.contains("plum") && told.contains("[tool] echo hi: done"), "{told}");
    fork.session.prompt("SAY a fig").await.unwrap();
    assert!(view(&fork.session).await.answer().contains("fig"));
    sdk.close().await.unwrap();
}

fn is_said(event: &SessionEvent) -> bool {
    event.payload.get().contains("agent_message_chunk")
}

/// The model: one answer a connection.
async fn serve(listener: TcpListener) -> Result<Infallible, std::io::Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let chunks = reply(&serde_json::from_slice(&body)?);
    let mut text =
        String::from("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    for chunk in chunks {
        text.push_str(&format!("data: {chunk}\n\n"));
    }
    text.push_str("data: [DONE]\n\n");
    stream.get_mut().write_all(text.as_bytes()).await?;
    stream.get_mut().shutdown().await
}

/// Does what the newest prompt says: `SAY words`, `RUN` a command, `TODO` a plan.
fn reply(asked: &Value) -> Vec<Value> {
    let newest =
        asked["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let words = newest["content"].to_string();
    let call = |name: &str, arguments: Value| {
        let function = json!({ "name": name, "arguments": arguments.to_string() });
        let id = format!("call-{name}");
        json!({ "role": "assistant", "tool_calls": [{ "index": 0, "id": id, "type": "function", "function": function }] })
    };
    let says = |text: &str| json!({ "role": "assistant", "content": text });
    let (delta, end) = if asked["tools"].as_array().is_none_or(Vec::is_empty) {
        (says("A title"), "stop")
    } else if newest["role"] == "tool" {
        (says("done"), "stop")
    } else if words.contains("RUN") {
        (call("bash", json!({ "command": "echo hi", "description": "says hi" })), "tool_calls")
    } else if words.contains("TODO") {
        let todo = json!({ "id": "1", "content": "look", "status": "in_progress", "priority": "high" });
        (call("todowrite", json!({ "todos": [todo] })), "tool_calls")
    } else {
        (
            says(
                words
                    .split_once("SAY ")
                    .map_or("nothing", |(_, said)| said.trim_matches(['"', ']', '}', '\\'])),
            ),
            "stop",
        )
    };
    let chunk = |delta: Value, end: Option<&str>| {
        json!({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "stub",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": end }],
            "usage": end.map(|_| json!({ "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 })),
        })
    };
    vec![chunk(delta, None), chunk(json!({}), Some(end))]
}
