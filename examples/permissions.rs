//! Asks a person on the terminal whenever the agent wants a permission.
//!
//! `cargo run --example permissions "Delete the folder build/"`. `SANDBOX_AGENT_URL` names the
//! server and `SANDBOX_AGENT_AGENT` the agent.

use std::env;
use std::error::Error;
use std::io;
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::{
    Limits, PermissionReply, PermissionRequest, SandboxAgent, SessionRequest, TurnEvent,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
    let prompt = env::args().nth(1).unwrap_or_else(|| "Delete the folder build/".to_owned());

    let limits = Limits::default().connect(Duration::from_secs(5));
    let sdk = SandboxAgent::builder(&url).limits(limits).connect().await.inspect_err(|_| {
        eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
    })?;
    let outcome = run(&sdk, &agent, prompt).await;
    sdk.close().await?;
    outcome
}

async fn run(sdk: &SandboxAgent, agent: &str, prompt: String) -> Result<(), Box<dyn Error>> {
    let session = sdk.create_session(SessionRequest::new("permissions", agent)).await?;

    // The callback has a thread of its own, so that it may wait for the person.
    let answerer = session.clone();
    let _subscription = session.on_permission_request(move |request| {
        answerer.respond_detached(&request.id, ask_person(&request));
    });

    let mut turn = session.prompt(prompt);
    while let Some(event) = turn.next().await {
        match event? {
            TurnEvent::Finished(response) => println!("The turn ended: {:?}.", response.stop_reason),
            event => {
                if let Some(text) = event.text() {
                    println!("{text}");
                }
            }
        }
    }
    Ok(())
}

/// Anything but a clear yes is a no, and so is the end of the input.
fn ask_person(request: &PermissionRequest) -> PermissionReply {
    let what = request.tool_call.fields.title.as_deref().unwrap_or("something without a title");
    println!("The agent asks for a permission: {what}. Allow it? [once/always/no]");
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        Ok(_) if answer.trim() == "once" => PermissionReply::Once,
        Ok(_) if answer.trim() == "always" => PermissionReply::Always,
        _ => PermissionReply::Reject,
    }
}
