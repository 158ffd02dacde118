//! Shows a turn as it comes, by a view: text as it grows, tool calls with their state; then the whole session as plain
//! text, from the store.
//!
//! `cargo run --example transcript "Read the README"`. `SANDBOX_AGENT_URL` names the server and
//! `SANDBOX_AGENT_AGENT` the agent.

use std::env;
use std::error::Error;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use sandbox_agent_sdk::{
    Limits, MemorySessionPersistDriver, PermissionPolicy, PlainText, SandboxAgent, SessionRequest,
    SessionView, TurnEvent, What,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
    let prompt = env::args().nth(1).unwrap_or_else(|| "What is in this folder?".to_owned());

    let store = MemorySessionPersistDriver::new();
    let limits = Limits::default().connect(Duration::from_secs(5));
    let builder = SandboxAgent::builder(&url).limits(limits).persist(store.clone());
    let sdk = builder.connect().await.inspect_err(|_| {
        eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
    })?;
    let outcome = run(&sdk, &agent, prompt).await;
    sdk.close().await?;
    outcome?;

    println!("\nThe session, from the store:\n");
    let text: String = PlainText::of(&store, "transcript").try_collect().await?;
    print!("{text}");
    Ok(())
}

async fn run(sdk: &SandboxAgent, agent: &str, prompt: String) -> Result<(), Box<dyn Error>> {
    // Nobody is here to be asked, so what needs a permission is refused.
    let request = SessionRequest::new("transcript", agent).permissions(PermissionPolicy::Reject);
    let session = sdk.create_session(request).await?;

    let mut view = SessionView::new();
    let mut turn = session.prompt(prompt);
    while let Some(event) = turn.next().await {
        let TurnEvent::Event(event) = event? else { continue };
        let changed = view.add(event);
        match changed.and_then(|number| view.entry(number)).map(|entry| &entry.what) {
            Some(What::Message(message)) => println!("{:?} so far: {:?}", message.speaker, message.text()),
            Some(What::Tool(call)) => println!("Tool {:?} is {:?}", call.title, call.status),
            _ => {}
        }
    }
    if let Some(turn) = view.turn() {
        println!("The turn: {:?}, tokens {:?}, cost {:?}", turn.state, turn.tokens, turn.cost);
    }
    println!("The session: {:?}", view.usage());
    Ok(())
}
