//! What an agent has learned is in the SQLite of an actor: it is there in the next session, and after sleep.
//!
//! ```sh
//! cargo run
//! ```

mod memory;

use std::time::Duration;

use rivetkit_client::{Client, ClientConfig, EncodingKind, GetOrCreateOptions};
use rivetkit_core::{ActorConfig, ActorFactory, CoreRegistry, EngineSpawnMode, ServeConfig};
use sandbox_agent_multiplayer::{ConnectionRequest, FrameBody, NewPrompt, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces, WorkspaceActor, WorkspaceKey};
use sandbox_agent_sdk::{SandboxAgent, SessionEventExt, SessionRequest};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// So soon that the example can wait for it; the default is 30 s.
const SLEEP: Duration = Duration::from_secs(1);

/// Hosts of one pool have to be the same program: the engine places any actor of it on any of them.
const POOL: &str = "long_term_memory";

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
    let workspaces = WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", agent).cwd("/"))
    // An example lets everybody in.
    .authorize_with(|_: ConnectionRequest| async {
        Ok(Participant::new(Person::new("ada"), Rights::MEMBER))
    });

    // A registry takes actors of any kind: those of this library, and your own.
    let mut registry = CoreRegistry::new();
    registry.register("memory", ActorFactory::new(config, |start| Box::pin(memory::run(start))));
    registry.register("workspace", workspaces.factory());
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
    let done = learn_and_ask(&engine).await;
    stop.cancel();
    host.await??;
    done
}

async fn learn_and_ask(engine: &str) -> anyhow::Result<()> {
    let workspaces = RivetWorkspaces::builder(engine).pool(POOL).build();
    let workspace = workspaces.get_or_create("tuesday", Credentials::new(), None).await?;
    let config = ClientConfig::new(engine).namespace("default").pool_name(POOL);
    let client = Client::new(config.encoding(EncodingKind::Bare).disable_metadata_lookup(true));
    let memory = client.get_or_create("memory", vec!["ada".to_owned()], GetOrCreateOptions::default())?;
    for (category, content) in
        [("taste", "Tabs, never spaces"), ("project", "The API is served on port 8080")]
    {
        memory.action("store", vec![json!("monday"), json!(category), json!(content)]).await?;
    }
    // Nobody calls for longer than it takes to sleep.
    tokio::time::sleep(3 * SLEEP).await;

    let found = memory.action("search", vec![json!("API")]).await?;
    let known: Vec<_> = found.as_array().into_iter().flatten().filter_map(|row| row[1].as_str()).collect();
    println!("remembered: {known:?}");

    let question = format!("On which port is the API?\n\nWhat you know from earlier:\n{}", known.join("\n"));
    let (mut frames, mut answer) = (workspace.frames(), String::new());
    workspace.prompt(NewPrompt::new(question)).await?;
    while let Some(frame) = frames.recv().await {
        match &frame?.body {
            FrameBody::SessionEvent(event) => answer.extend(event.agent_text()),
            FrameBody::State(state) if state.prompt.as_ref().is_some_and(|prompt| prompt.phase.is_over()) => {
                break;
            }
            _ => {}
        }
    }
    println!("agent: {answer}");
    workspace.dispose();
    let stored = memory.action("search", vec![json!("")]).await?;
    println!("{} memories", stored.as_array().map_or(0, Vec::len));
    Ok(())
}

fn var(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
