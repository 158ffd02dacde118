//! The server's half: one actor for each workspace, which owns its agent's session and tells all who are
//! connected. Sandboxes are reached from here only; people reach the engine.

use std::error::Error as StdError;

use sandbox_agent_multiplayer::{ConnectionRequest, Error, FrameBody, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{WorkspaceActor, WorkspaceHost, WorkspaceKey, asked_to_end};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let engine = var("ENGINE_URL", "http://127.0.0.1:6420");
    let sandbox = var("SANDBOX_AGENT_URL", "http://127.0.0.1:2468");
    let agent = var("SANDBOX_AGENT_AGENT", "codex");

    let workspaces = WorkspaceActor::new(move |_: WorkspaceKey| {
        // All share one sandbox here. Yours are looked up, or started, by the workspace's key.
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", agent).cwd("/"))
    .authorize_with(|request: ConnectionRequest| async move { who(&request) })
    // Once for each frame, however many look on.
    .on_frame(|_, frame| async move {
        if let FrameBody::ChatUser(chat) = &frame.body {
            println!("{} says: {}", chat.user_id, chat.text);
        }
    });
    println!("workspaces are served to {engine}");
    WorkspaceHost::new(engine).actor("workspace", workspaces).serve(asked_to_end()).await?;
    Ok(())
}

/// Who may come in. Yours asks your users' directory, and compares secrets in constant time.
fn who(request: &ConnectionRequest) -> Result<Participant, Error> {
    match request.token.as_deref() {
        Some("ada's token") => Ok(Participant::new(Person::new("ada").named("Ada"), Rights::OWNER)),
        Some("bob's token") => Ok(Participant::new(Person::new("bob").named("Bob"), Rights::OBSERVER)),
        _ => Err(Error::refused("log in first")),
    }
}

fn var(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
