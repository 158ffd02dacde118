//! Opens a session, sends one prompt and prints the answer as it comes.
//!
//! `SANDBOX_AGENT_URL` names the server and `SANDBOX_AGENT_AGENT` the agent. When nothing answers
//! at the default address, it starts a sandbox with a scripted agent in its own process.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use futures::StreamExt;
use sandbox_agent_sdk::{PermissionPolicy, SandboxAgent, SessionRequest, TurnEvent};
use sandbox_agent_testkit::Sandbox;
use tokio::net::TcpStream;

const DEFAULT_ADDRESS: &str = "127.0.0.1:2468";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| format!("http://{DEFAULT_ADDRESS}"));
    let mut agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());

    let mut in_process = None;
    if env::var_os("SANDBOX_AGENT_URL").is_none() && TcpStream::connect(DEFAULT_ADDRESS).await.is_err() {
        let sandbox = Sandbox::builder().quick_delete().start().await?;
        println!("No server at {url}: using a sandbox in-process, whose agent only echoes.\n");
        (url, agent) = (sandbox.url().to_owned(), "mock".to_owned());
        in_process = Some(sandbox);
    }

    let sdk = SandboxAgent::connect(&url).await?;
    let outcome = ask(&sdk, &agent).await;
    // Ends the agent's process, also after an error.
    sdk.close().await?;
    if let Some(sandbox) = in_process {
        sandbox.shutdown().await;
    }
    outcome
}

async fn ask(sdk: &SandboxAgent, agent: &str) -> Result<(), Box<dyn Error>> {
    // Nobody sits here to be asked, so what needs a permission is not done.
    let request = SessionRequest::new("quickstart", agent).permissions(PermissionPolicy::Reject);
    let session = sdk.create_session(request).await?;

    let mut turn = session.prompt("What is in your working directory? Answer in two sentences.");
    while let Some(event) = turn.next().await {
        let event = event?;
        if let Some(text) = event.text() {
            print!("{text}");
            io::stdout().flush()?;
        }
        if let TurnEvent::Finished(response) = event {
            println!("\n\nThe turn ended: {:?}.", response.stop_reason);
        }
    }
    Ok(())
}
