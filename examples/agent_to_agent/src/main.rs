//! Two agents, each an actor with a sandbox of its own: a coder writes a file, and what it wrote goes to a
//! reviewer.
//!
//! ```sh
//! cargo run
//! ```

use std::path::Path;

use sandbox_agent_multiplayer::{
    Call, ConnectionRequest, Content, FrameBody, NewPrompt, Participant, Person, Phase, Rights,
    WorkspaceClient,
};
use sandbox_agent_multiplayer_rivet::{
    Credentials, RivetWorkspaces, WorkspaceActor, WorkspaceHost, WorkspaceKey,
};
use sandbox_agent_sdk::{SandboxAgent, SessionEventExt, SessionRequest};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let engine = var("ENGINE_URL", "http://127.0.0.1:6420");
    let sandbox = var("SANDBOX_AGENT_URL", "http://127.0.0.1:2468");
    let (coder, reviewer) = (var("CODER_URL", &sandbox), var("REVIEWER_URL", &sandbox));
    let agent = var("SANDBOX_AGENT_AGENT", "codex");

    let (stop, stopped) = oneshot::channel::<()>();
    let host = WorkspaceHost::new(&engine)
        .actor("coder", workspaces(coder, &agent))
        .actor("reviewer", workspaces(reviewer, &agent));
    let host = tokio::spawn(host.serve(async { drop(stopped.await) }));
    let done = pipeline(&engine).await;
    drop(stop);
    host.await??;
    done
}

/// The same program on both sides; what differs is where the agent works.
fn workspaces(sandbox: String, agent: &str) -> WorkspaceActor {
    WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(&sandbox);
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", agent).cwd("/"))
    // An example lets everybody in.
    .authorize_with(|_: ConnectionRequest| async {
        Ok(Participant::new(Person::program("pipeline"), Rights::OWNER))
    })
}

async fn pipeline(engine: &str) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join("agent_to_agent");
    let (written, copy) = (folder.join("coder/login.rs"), folder.join("reviewer/login.rs"));
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_else(|| format!("Write a login function into {}", written.display()));
    let review = args.next().unwrap_or_else(|| format!("Review {} for security issues", copy.display()));

    let coder = agent(engine, "coder").await?;
    println!("coder: {}", ask(&coder, &task).await?);

    let call = Call::ReadFile { path: path(&written)? };
    let content: Content = serde_json::from_str(coder.call(call).await?.get())?;
    let reviewer = agent(engine, "reviewer").await?;
    println!("{} bytes go to the reviewer", content.bytes()?.len());
    reviewer.call(Call::WriteFile { path: path(&copy)?, content }).await?;

    println!("reviewer: {}", ask(&reviewer, &review).await?);
    Ok(())
}

/// One feature, one actor of each kind: the same key finds them again.
async fn agent(engine: &str, kind: &str) -> anyhow::Result<WorkspaceClient> {
    let agents = RivetWorkspaces::builder(engine).actor(kind).build();
    Ok(agents.get_or_create("feature-login", Credentials::new(), None).await?)
}

/// What the agent answers.
async fn ask(agent: &WorkspaceClient, text: &str) -> anyhow::Result<String> {
    let mut frames = agent.frames();
    let asked = agent.prompt(NewPrompt::new(text)).await?.prompt.prompt_id;
    let mut answer = String::new();
    while let Some(frame) = frames.recv().await {
        match &frame?.body {
            FrameBody::SessionEvent(event) => answer.extend(event.agent_text()),
            FrameBody::State(state) => match &state.prompt {
                Some(prompt) if prompt.prompt_id == asked && prompt.phase == Phase::Done => {
                    return Ok(answer);
                }
                Some(prompt) if prompt.prompt_id == asked && prompt.phase.is_over() => {
                    anyhow::bail!("the agent did not answer: {:?}", prompt.error);
                }
                _ => {}
            },
            _ => {}
        }
    }
    anyhow::bail!("the workspace has ended")
}

fn path(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| anyhow::anyhow!("{} is not UTF-8", path.display()))
}

fn var(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
