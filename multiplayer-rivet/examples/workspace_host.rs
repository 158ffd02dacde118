//! A host of workspaces: `ENGINE_URL` and `SANDBOX_URL` say where the two are, and the connection parameters
//! who comes in. Try it beside an engine and a sandbox-agent server:
//!
//! ```sh
//! ENGINE_URL=http://127.0.0.1:6420 SANDBOX_URL=http://127.0.0.1:2468 cargo run --example workspace_host
//! ```

use std::error::Error as StdError;

use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{WorkspaceActor, WorkspaceHost, WorkspaceKey, asked_to_end};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let (engine, sandbox) = (std::env::var("ENGINE_URL")?, std::env::var("SANDBOX_URL")?);
    let workspaces = WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", "mock").cwd("/"))
    .authorize_with(|request: ConnectionRequest| async move {
        let rights = if request.param("name") == Some("bob") { Rights::OBSERVER } else { Rights::OWNER };
        match (request.token.as_deref(), request.param("name")) {
            (Some("good"), Some(name)) => Ok(Participant::new(Person::new(name), rights)),
            _ => Err(Error::refused("say who you are")),
        }
    });
    WorkspaceHost::new(engine).actor("workspace", workspaces).serve(asked_to_end()).await?;
    Ok(())
}
