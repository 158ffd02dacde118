//! A command at once, a command and a prompt at a time, and a prompt every morning: the engine keeps the queue and
//! the schedule, and wakes the actor when something is due.
//!
//! ```sh
//! cargo run
//! ```

mod calendar;

use std::time::Duration;

use rivetkit_client::{Client, ClientConfig, EncodingKind, GetOrCreateOptions, SendOpts};
use rivetkit_core::{ActorConfig, ActorFactory, CoreRegistry, EngineSpawnMode, ServeConfig};
use sandbox_agent_multiplayer::{ConnectionRequest, Error, FrameBody, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces, WorkspaceActor, WorkspaceKey};
use sandbox_agent_sdk::{SandboxAgent, SessionEventExt, SessionRequest};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use calendar::{Errand, JOBS, Job, When};

/// So soon that the calendar sleeps before anything is due; the default is 30 s.
const SLEEP: Duration = Duration::from_secs(1);
const WORKSPACE: &str = "audits";

/// Hosts of one pool have to be the same program: the engine places any actor of it on any of them.
const POOL: &str = "scheduled_agent";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let engine = var("ENGINE_URL", "http://127.0.0.1:6420");
    let sandbox = var("SANDBOX_AGENT_URL", "http://127.0.0.1:2468");
    let agent = var("SANDBOX_AGENT_AGENT", "codex");

    let config = ActorConfig {
        has_database: true,
        remote_sqlite: true,
        sleep_timeout: SLEEP,
        ..ActorConfig::default()
    };
    let workspaces = RivetWorkspaces::builder(&engine).pool(POOL).build();
    let calendar = ActorFactory::new(config, move |start| Box::pin(calendar::run(start, workspaces.clone())));
    let agents = WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", agent).cwd("/"))
    .authorize_with(|request: ConnectionRequest| async move {
        match request.token.as_deref() {
            Some("the calendar's token") => Ok(Participant::new(Person::program("calendar"), Rights::OWNER)),
            Some("ada's token") => Ok(Participant::new(Person::new("ada"), Rights::OBSERVER)),
            _ => Err(Error::refused("log in first")),
        }
    });

    // A registry takes actors of any kind: those of this library, and your own.
    let mut registry = CoreRegistry::new();
    registry.register("calendar", calendar);
    registry.register("workspace", agents.factory());
    let served = ServeConfig {
        version: 1,
        endpoint: engine.clone(),
        namespace: "default".to_owned(),
        pool_name: POOL.to_owned(),
        engine_spawn: EngineSpawnMode::Never,
        ..ServeConfig::default()
    };
    let stop = CancellationToken::new();
    let host = tokio::spawn(registry.serve_with_config(served, stop.clone()));
    let done = plan_and_watch(&engine).await;
    stop.cancel();
    host.await??;
    done
}

async fn plan_and_watch(engine: &str) -> anyhow::Result<()> {
    let text =
        std::env::args().nth(1).unwrap_or_else(|| "Review the codebase for security issues".to_owned());
    // Somebody who only looks on: the turn begins by itself.
    let ada = Credentials::new().token("ada's token");
    let workspace =
        RivetWorkspaces::builder(engine).pool(POOL).build().get_or_create(WORKSPACE, ada, None).await?;
    let mut frames = workspace.frames();

    let config = ClientConfig::new(engine).namespace("default").pool_name(POOL);
    let client = Client::new(config.encoding(EncodingKind::Bare).disable_metadata_lookup(true));
    let calendar =
        client.get_or_create("calendar", vec!["team".to_owned()], GetOrCreateOptions::default())?;

    let daily = When::Cron { name: "audit".to_owned(), expression: "0 9 * * *".to_owned() };
    let prompt = Job::Prompt { workspace: WORKSPACE.to_owned(), text };
    calendar.action("schedule", vec![json!(daily), json!(prompt)]).await?;
    let (program, args) = ("echo".to_owned(), vec!["cleaned".to_owned()]);
    let command = Job::Command { workspace: WORKSPACE.to_owned(), program, args };
    let now = Errand { id: "at once".to_owned(), job: command.clone() };
    calendar.send(JOBS, now, SendOpts::default()).await?;
    calendar.action("schedule", vec![json!(When::In(4)), json!(command)]).await?;
    calendar.action("schedule", vec![json!(When::In(6)), json!(prompt)]).await?;
    println!("all is planned");

    while let Some(frame) = frames.recv().await {
        match &frame?.body {
            FrameBody::ChatUser(chat) => println!("{}: {}", chat.user_id, chat.text),
            FrameBody::SessionEvent(event) => {
                if let Some(text) = event.agent_text() {
                    println!("agent: {text}");
                }
            }
            FrameBody::State(state) if state.prompt.as_ref().is_some_and(|prompt| prompt.phase.is_over()) => {
                break;
            }
            _ => {}
        }
    }
    workspace.dispose();
    Ok(())
}

fn var(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
