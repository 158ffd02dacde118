//! Keeps a session in an SQLite file. Run it twice: the second run resumes the session.
//!
//! The file is `sessions.db` here, or the one named as argument. `SANDBOX_AGENT_URL` names the
//! server and `SANDBOX_AGENT_AGENT` the agent.

use std::env;
use std::error::Error;
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{Limits, PermissionPolicy, ResumeOutcome, SandboxAgent, SessionRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
    let file = env::args().nth(1).unwrap_or_else(|| "sessions.db".to_owned());

    let store = SqliteSessionPersistDriver::open(&file).await?;
    let limits = Limits::default().connect(Duration::from_secs(5));
    let builder = SandboxAgent::builder(&url).limits(limits).persist(store.clone());
    let sdk = builder.connect().await.inspect_err(|_| {
        eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
    })?;
    let outcome = talk(&sdk, &agent, &file).await;
    sdk.close().await?;
    store.close().await?;
    outcome
}

async fn talk(sdk: &SandboxAgent, agent: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let request = SessionRequest::new("default", agent).permissions(PermissionPolicy::Reject);
    let opened = sdk.resume_or_create(request).await?;
    let prompt = match opened.outcome {
        ResumeOutcome::Fresh => {
            println!("The session was created. Run this again to resume it from {file}.");
            "Remember the word that I tell you: lighthouse."
        }
        outcome => {
            println!("The session was resumed from {file}: {outcome:?}.");
            "Which word did I tell you to remember?"
        }
    };

    println!("> {prompt}");
    let mut turn = opened.session.prompt(prompt);
    while let Some(event) = turn.next().await {
        print!("{}", event?.text().unwrap_or_default());
    }
    println!();
    Ok(())
}
