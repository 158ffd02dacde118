//! Steps for an agent that no crash repeats. With `CRASH` set the host dies in the middle of a turn; run it
//! again without, and it goes on where it was:
//!
//! ```sh
//! CRASH=1 cargo run
//! cargo run
//! ```

mod steps;
mod workflow;

use std::time::Duration;

use rivetkit_client::{Client, ClientConfig, EncodingKind, GetOrCreateOptions};
use rivetkit_core::{ActorConfig, ActorFactory, CoreRegistry, EngineSpawnMode, ServeConfig};
use sandbox_agent_multiplayer::{ConnectionRequest, Error, FrameBody, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces, WorkspaceActor, WorkspaceKey};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const ISSUE: &str = "42";
/// The engine finds out in seconds that a host is gone, and answers until then that it knows of none.
const AGAIN: Duration = Duration::from_secs(1);

/// Hosts of one pool have to be the same program: the engine places any actor of it on any of them.
const POOL: &str = "durable_workflow";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let engine = var("ENGINE_URL", "http://127.0.0.1:6420");
    let sandbox = var("SANDBOX_AGENT_URL", "http://127.0.0.1:2468");
    let agent = var("SANDBOX_AGENT_AGENT", "codex");

    let config = ActorConfig { has_database: true, remote_sqlite: true, ..ActorConfig::default() };
    let workspaces = RivetWorkspaces::builder(&engine).pool(POOL).build();
    let workflows =
        ActorFactory::new(config, move |start| Box::pin(workflow::run(start, workspaces.clone())));
    let agents = WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", agent).cwd("/"))
    .authorize_with(|request: ConnectionRequest| async move {
        match request.token.as_deref() {
            Some("the workflow's token") => Ok(Participant::new(Person::program("workflow"), Rights::OWNER)),
            _ => Err(Error::refused("log in first")),
        }
    });

    // A registry takes actors of any kind: those of this library, and your own.
    let mut registry = CoreRegistry::new();
    registry.register("workflow", workflows);
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
    let done = fix(&engine).await;
    stop.cancel();
    host.await??;
    done
}

async fn fix(engine: &str) -> anyhow::Result<()> {
    let config = ClientConfig::new(engine).namespace("default").pool_name(POOL);
    let client = Client::new(config.encoding(EncodingKind::Bare).disable_metadata_lookup(true));
    let workflow = client.get_or_create("workflow", vec![ISSUE.to_owned()], GetOrCreateOptions::default())?;
    // The same key is the same workflow, and starting it again changes nothing.
    while let Err(error) = workflow.action("start", vec![json!(ISSUE)]).await {
        eprintln!("not yet: {error:#}");
        tokio::time::sleep(AGAIN).await;
    }
    let result = loop {
        match workflow.action("result", Vec::new()).await {
            Ok(result) if result.is_string() => break result,
            Ok(_) => {}
            Err(error) => eprintln!("not yet: {error:#}"),
        }
        tokio::time::sleep(AGAIN).await;
    };
    println!("result: {result}");
    println!("the agent was asked {} times", times_asked(engine).await?);
    Ok(())
}

/// How often somebody said something to the agent, by the workspace's whole line.
async fn times_asked(engine: &str) -> anyhow::Result<usize> {
    let me = Credentials::new().token("the workflow's token");
    let workspace = RivetWorkspaces::builder(engine).pool(POOL).build().get(["fix", ISSUE], me).await?;
    let page = workspace.page(0, 1_000).await?;
    workspace.dispose();
    Ok(page.frames.iter().filter(|frame| matches!(frame.body, FrameBody::ChatUser(_))).count())
}

fn var(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
