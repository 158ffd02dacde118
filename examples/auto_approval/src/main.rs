//! What an agent asks for is answered on the server's side, by a hook, whoever is connected.
//!
//! ```sh
//! cargo run -- "Delete the folder build"
//! ```

use std::sync::Arc;

use sandbox_agent_multiplayer::{
    ConnectionRequest, Frame, FrameBody, NewPrompt, Participant, Person, Rights, Workspace,
};
use sandbox_agent_multiplayer_rivet::{
    Credentials, RivetWorkspaces, WorkspaceActor, WorkspaceHost, WorkspaceKey,
};
use sandbox_agent_sdk::{PermissionReply, SandboxAgent, SessionEventExt, SessionRequest};
use tokio::sync::oneshot;

/// Hosts of one pool have to be the same program: the engine places any actor of it on any of them.
const POOL: &str = "auto_approval";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let engine = var("ENGINE_URL", "http://127.0.0.1:6420");
    let sandbox = var("SANDBOX_AGENT_URL", "http://127.0.0.1:2468");
    let agent = var("SANDBOX_AGENT_AGENT", "codex");
    let question = std::env::args().nth(1).unwrap_or_else(|| "Delete the folder build".to_owned());

    let workspaces = WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", agent).cwd("/"))
    // An example lets everybody in, to look on and to ask, and not to answer permissions.
    .authorize_with(|_: ConnectionRequest| async {
        Ok(Participant::new(Person::new("ada"), Rights::MEMBER.without(Rights::ANSWER)))
    })
    .on_frame(approve);

    let (stop, stopped) = oneshot::channel::<()>();
    let host = WorkspaceHost::new(&engine).pool(POOL).actor("workspace", workspaces);
    let host = tokio::spawn(host.serve(async { drop(stopped.await) }));
    let asked = ask(&engine, question).await;
    drop(stop);
    host.await??;
    asked
}

/// Runs once for each frame of a workspace. Frames that were stored while nobody ran it are not told again:
/// a permission that waits since then is in `workspace.snapshot().permissions`.
async fn approve(workspace: Workspace, frame: Arc<Frame>) {
    let FrameBody::PermissionRequested(asked) = &frame.body else { return };
    let title = asked.tool_call.fields.title.as_deref().unwrap_or("something");
    // Look at `asked.tool_call` here to allow some and leave others to people.
    let (session, permission) = (&asked.session_id, &asked.permission_id);
    match workspace.host().respond_permission(session, permission, PermissionReply::Once).await {
        Ok(()) => println!("server: allowed {title:?}"),
        Err(error) => eprintln!("server: {title:?} waits for a person: {error}"),
    }
}

/// Somebody who asks, and has to answer nothing.
async fn ask(engine: &str, question: String) -> anyhow::Result<()> {
    let workspaces = RivetWorkspaces::builder(engine).pool(POOL).build();
    let workspace = workspaces.get_or_create("auto-approval", Credentials::new(), None).await?;
    let mut frames = workspace.frames();
    workspace.prompt(NewPrompt::new(question)).await?;
    while let Some(frame) = frames.recv().await {
        match &frame?.body {
            FrameBody::SessionEvent(event) => {
                if let Some(text) = event.agent_text() {
                    println!("agent: {text}");
                }
            }
            FrameBody::PermissionResolved(answered) => {
                println!("answered by {:?}", answered.by.as_deref().unwrap_or("nobody"));
            }
            FrameBody::State(state) => {
                if let Some(prompt) = state.prompt.as_ref().filter(|prompt| prompt.phase.is_over()) {
                    println!("it is over: {:?}", prompt.phase);
                    break;
                }
            }
            _ => {}
        }
    }
    workspace.dispose();
    Ok(())
}

fn var(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
