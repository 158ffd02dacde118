//! A provider of one's own: sandboxes in containers, by Docker's command line.
//!
//! Needs Docker. The argument is an image with Node.js, `node:22` unless given. `SANDBOX_AGENT_AGENT` names the agent.

mod provider;

use std::env;
use std::error::Error;

use futures::StreamExt;
use sandbox_agent_sdk::{PermissionPolicy, SandboxAgent, SessionRequest};

use provider::DockerProvider;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let image = env::args().nth(1).unwrap_or_else(|| "node:22".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
    // A service takes it from its secrets, so that it can come back to its sandboxes after a restart.
    let token = uuid::Uuid::new_v4().to_string();
    let provider = DockerProvider::new(image, token);

    let sdk = SandboxAgent::start(provider.clone()).await?;
    let id = sdk.sandbox_id().unwrap_or_default().to_owned();
    println!("Made {id}.");
    let outcome = ask(&sdk, &agent).await;
    // It holds no memory while it is paused, and another process could wake it, too.
    sdk.pause_sandbox().await?;
    let sdk = SandboxAgent::reconnect(provider, &id).await?;
    println!("Came back to {id}.");
    sdk.destroy_sandbox().await?;
    outcome
}

async fn ask(sdk: &SandboxAgent, agent: &str) -> Result<(), Box<dyn Error>> {
    let request = SessionRequest::new("docker", agent).permissions(PermissionPolicy::Reject);
    let session = sdk.create_session(request).await?;
    let mut turn = session.prompt("Which operating system are you on? Answer in one sentence.");
    while let Some(event) = turn.next().await {
        print!("{}", event?.text().unwrap_or_default());
    }
    println!();
    Ok(())
}
