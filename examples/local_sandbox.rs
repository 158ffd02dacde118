//! Runs a server on this machine for as long as the program runs, and one session in it.
//!
//! Needs the feature `local`, and the server: `npm install @sandbox-agent/cli@0.4.2` here, or its binary in
//! `SANDBOX_AGENT_BIN`. `SANDBOX_AGENT_AGENT` names the agent, which the server installs when it is first used. Where a
//! folder is given as argument, it stays installed there.

use std::env;
use std::error::Error;

use futures::StreamExt;
use sandbox_agent_sdk::{LocalSandbox, PermissionPolicy, SandboxAgent, SessionRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
    let mut sandbox = LocalSandbox::builder();
    if let Some(folder) = env::args().nth(1) {
        sandbox = sandbox.data_dir(folder);
    }

    let sdk = SandboxAgent::start(sandbox.provider()).await?;
    println!("A server of its own, in sandbox {}.", sdk.sandbox_id().unwrap_or_default());
    let outcome = ask(&sdk, &agent).await;
    // Also after an error. It would end with the program as well, but here its end is waited for.
    sdk.destroy_sandbox().await?;
    println!("The sandbox is gone.");
    outcome
}

async fn ask(sdk: &SandboxAgent, agent: &str) -> Result<(), Box<dyn Error>> {
    // It works in this folder. Nobody sits here to be asked, so what needs a permission is not done.
    let request = SessionRequest::new("local", agent).permissions(PermissionPolicy::Reject);
    let session = sdk.create_session(request).await?;
    println!("The session's record names {}.", session.record().sandbox_id.unwrap_or_default());

    let mut turn = session.prompt("What is in your working directory? Answer in two sentences.");
    while let Some(event) = turn.next().await {
        print!("{}", event?.text().unwrap_or_default());
    }
    println!();
    Ok(())
}
