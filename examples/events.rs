//! Watches a session: every event as it is stored, then some of them again from the store.
//!
//! `SANDBOX_AGENT_URL` names the server and `SANDBOX_AGENT_AGENT` the agent.

use std::env;
use std::error::Error;
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::{
    EventView, From, Limits, PermissionPolicy, SandboxAgent, SessionEvent, SessionEventExt, SessionRequest,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());

    let limits = Limits::default().connect(Duration::from_secs(5));
    let sdk = SandboxAgent::builder(&url).limits(limits).connect().await.inspect_err(|_| {
        eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
    })?;
    let outcome = watch(&sdk, &agent).await;
    sdk.close().await?;
    outcome
}

async fn watch(sdk: &SandboxAgent, agent: &str) -> Result<(), Box<dyn Error>> {
    let request = SessionRequest::new("events", agent).permissions(PermissionPolicy::Reject);
    let session = sdk.create_session(request).await?;

    // The callback has a thread of its own: it may block, and the session waits for nobody.
    let subscription = session.on_event(|event| println!("{}", line(event)));
    session.prompt("What is in your working directory? Answer in two sentences.").await?;
    // All of the turn is stored by now. This waits for the callback to have seen it.
    subscription.caught_up().await?;

    println!("\nThe first three events of the session again:");
    let mut events = session.events(From::Start).take(3);
    while let Some(event) = events.next().await {
        println!("{}", line(&*event?));
    }
    Ok(())
}

/// An event in one line.
fn line(event: &SessionEvent) -> String {
    let what = match event.view() {
        EventView::Prompt(prompt) => format!("session/prompt of {} blocks", prompt.prompt.len()),
        EventView::Update(_) => match event.agent_text() {
            Some(text) => format!("session/update with text {text:?}"),
            None => "session/update".to_owned(),
        },
        EventView::PermissionRequest(request) => format!("asks for {:?}", request.tool_call.fields.title),
        EventView::Gap(gap) => format!("{} events are missing: {:?}", gap.missing(), gap.cause),
        // A request, a response, or something newer than this SDK: its JSON as it travelled.
        _ => event.payload.get().chars().take(80).collect(),
    };
    format!("{:>4} {:>6}  {what}", event.event_index, event.sender.as_str())
}
