//! A session in a store of one's own: a file of JSON lines.
//!
//! [`driver`] is the whole store. `SANDBOX_AGENT_URL` names the server and `SANDBOX_AGENT_AGENT`
//! the agent.

mod driver;

use std::env;
use std::error::Error;
use std::time::Duration;

use driver::JsonLinesDriver;
use sandbox_agent_sdk::{Limits, PermissionPolicy, SandboxAgent, SessionRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());

    let store = JsonLinesDriver::open("sessions.jsonl").await?;
    let limits = Limits::default().connect(Duration::from_secs(5));
    let sdk =
        SandboxAgent::builder(&url).limits(limits).persist(store).connect().await.inspect_err(|_| {
            eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
        })?;
    let outcome = talk(&sdk, &agent).await;
    sdk.close().await?;
    outcome
}

async fn talk(sdk: &SandboxAgent, agent: &str) -> Result<(), Box<dyn Error>> {
    let request = SessionRequest::new("default", agent).permissions(PermissionPolicy::Reject);
    let session = sdk.resume_or_create_session(request).await?;
    session.prompt("What is in your working directory? Answer in two sentences.").await?;
    println!("The turn is stored in sessions.jsonl.");
    Ok(())
}
