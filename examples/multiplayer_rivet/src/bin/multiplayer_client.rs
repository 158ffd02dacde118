//! The client's half: `multiplayer_client ada "Propose a refactor plan"` asks, `multiplayer_client bob` looks on.
//! Both end with the turn.

use std::error::Error;

use sandbox_agent_multiplayer::{FrameBody, NewPrompt};
use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces};
use sandbox_agent_sdk::SessionEventExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or("say who you are: ada or bob")?;
    let question = args.next();
    let engine = std::env::var("ENGINE_URL").unwrap_or_else(|_| "http://127.0.0.1:6420".to_owned());

    let me = Credentials::new().token(format!("{name}'s token"));
    let workspace = RivetWorkspaces::new(engine).get_or_create("workspace-42", me, None).await?;
    // From here on no frame is missed, whatever breaks on the way.
    let mut frames = workspace.frames();
    println!("{} are here", workspace.snapshot().here.len());
    if let Some(question) = question {
        // Returns when it is stored; what comes of it is in the frames.
        workspace.prompt(NewPrompt::new(question)).await?;
    }
    while let Some(frame) = frames.recv().await {
        match &frame?.body {
            FrameBody::ChatUser(chat) => println!("{}: {}", chat.user_id, chat.text),
            FrameBody::SessionEvent(event) => {
                if let Some(text) = event.agent_text() {
                    println!("agent: {text}");
                }
            }
            FrameBody::State(state) => {
                if let Some(prompt) = state.prompt.as_ref().filter(|prompt| prompt.phase.is_over()) {
                    println!("{}'s prompt is over: {:?}", prompt.by, prompt.phase);
                    break;
                }
            }
            _ => {}
        }
    }
    workspace.dispose();
    Ok(())
}
