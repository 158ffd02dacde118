//! Two nodes share a store. One drives a session, the other watches it, and then takes it over.
//!
//! Both are in this program, so that one run shows it; each would be a service on a machine of
//! its own. The file is `shared.db` here. `SANDBOX_AGENT_URL` names the server and
//! `SANDBOX_AGENT_AGENT` the agent.

use std::env;
use std::error::Error;
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{
    ErrorKind, From, Limits, PermissionPolicy, SandboxAgent, SessionEventExt, SessionRequest,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
    let (blue, green) = (node(&url, "blue").await?, node(&url, "green").await?);

    let request = SessionRequest::new("shared", &agent).permissions(PermissionPolicy::Reject);
    let session = blue.resume_or_create_session(request).await?;
    let watching = green.get_session("shared").await?.ok_or("the session is in the store")?;
    let mut seen = watching.events(From::Index(session.last_index() + 1));

    let turn = session.prompt("Say in one sentence what you are.");
    match green.resume_session("shared").await {
        Err(error) if matches!(error.kind(), ErrorKind::Held { .. }) => println!("green is told: {error}"),
        other => return Err(format!("two nodes drive one session: {other:?}").into()),
    }
    turn.await?;
    let last = session.last_index();
    print!("green sees: ");
    while let Some(event) = seen.next().await {
        let event = event?;
        print!("{}", event.agent_text().unwrap_or_default());
        if event.event_index >= last {
            break;
        }
    }
    println!();

    let taken = green.take_over_session("shared").await?;
    println!("green drives now: {:?}", taken.outcome);
    taken.session.prompt("And once more, in other words.").await?;
    let refused = session.prompt("Do you hear me?").await;
    println!("blue is refused: {}", refused.is_err_and(|error| error.is_fenced()));
    blue.close().await?;
    green.close().await?;
    Ok(())
}

/// A node of this name, on the file that all of them share.
async fn node(url: &str, name: &str) -> Result<SandboxAgent, Box<dyn Error>> {
    let store = SqliteSessionPersistDriver::open("shared.db").await?;
    let limits = Limits::default().connect(Duration::from_secs(5));
    let builder = SandboxAgent::builder(url).persist(store).holder(name).limits(limits);
    Ok(builder.connect().await.inspect_err(|_| {
        eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
    })?)
}
