//! Workspaces on the testkit's sandbox.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod access;
mod control;
mod flaky;
mod large;
mod line;
mod permissions;
mod prompts;
mod restart;

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_multiplayer::{
    ConnectionRequest, ControlPolicy, Error, Frame, FrameBody, Frames, Limits, Member, NewPrompt,
    Participant, Person, Phase, PromptState, Rights, Workspace, WorkspaceBuilder,
};
use sandbox_agent_sdk::{
    MemorySessionPersistDriver, SandboxAgent, SessionEventExt, SessionPersistDriver, SessionRequest,
};
use sandbox_agent_testkit::{AgentOptions, Sandbox};
use tokio::time::timeout;

/// What must not hang ends within this.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub async fn sandbox() -> Sandbox {
    let heartbeat = Duration::from_millis(150);
    Sandbox::builder().heartbeat(heartbeat).quick_delete().agent(AgentOptions::new()).start().await.unwrap()
}

pub async fn sdk(sandbox: &Sandbox, driver: impl SessionPersistDriver) -> SandboxAgent {
    SandboxAgent::builder(sandbox.url()).persist(driver).connect().await.unwrap()
}

pub fn request() -> SessionRequest {
    SessionRequest::new("default", "mock").cwd("/")
}

/// A workspace that lets in who says a name, as an owner.
pub async fn builder(sandbox: &Sandbox, driver: impl SessionPersistDriver) -> WorkspaceBuilder {
    Workspace::builder("w", sdk(sandbox, driver).await)
        .session(request())
        .authorize_with(|request: ConnectionRequest| async move {
            match request.param("name") {
                Some(name) => Ok(Participant::new(Person::new(name), Rights::OWNER)),
                None => Err(Error::refused("say who you are")),
            }
        })
        .limits(Limits::default().grace(Duration::from_millis(200)))
}

pub async fn open(sandbox: &Sandbox, policy: ControlPolicy) -> Workspace {
    let driver = MemorySessionPersistDriver::new();
    builder(sandbox, driver).await.control(policy).open().await.unwrap()
}

pub async fn join(workspace: &Workspace, name: &str) -> Member {
    workspace.join(&named(name)).await.unwrap()
}

pub fn named(name: &str) -> ConnectionRequest {
    ConnectionRequest::new("w").params(serde_json::json!({ "name": name }))
}

pub async fn next(frames: &mut Frames) -> Arc<Frame> {
    timeout(PATIENCE, frames.recv()).await.unwrap().unwrap().unwrap()
}

/// Frames up to the first that is wanted, which comes last.
pub async fn until(frames: &mut Frames, wanted: impl Fn(&FrameBody) -> bool) -> Vec<Arc<Frame>> {
    let mut seen = Vec::new();
    loop {
        let frame = next(frames).await;
        let found = wanted(&frame.body);
        seen.push(frame);
        if found {
            return seen;
        }
    }
}

/// How a prompt ended.
pub async fn over(frames: &mut Frames, prompt_id: &str) -> PromptState {
    let seen =
        until(frames, |body| of_prompt(body, prompt_id).is_some_and(|state| state.phase.is_over())).await;
    of_prompt(&seen.last().unwrap().body, prompt_id).unwrap().clone()
}

pub fn of_prompt<'a>(body: &'a FrameBody, prompt_id: &str) -> Option<&'a PromptState> {
    match body {
        FrameBody::State(state) => state.prompt.as_ref().filter(|prompt| prompt.prompt_id == prompt_id),
        _ => None,
    }
}

/// Prompts, and waits for the end.
pub async fn ask(member: &Member, text: &str) -> PromptState {
    let mut frames = member.frames().unwrap();
    let accepted = member.prompt(NewPrompt::new(text)).await.unwrap();
    let state = timeout(PATIENCE, over(&mut frames, &accepted.prompt.prompt_id)).await.unwrap();
    assert_eq!(state.phase, Phase::Done, "{:?}", state.error);
    state
}

/// What the agent said in these frames.
pub fn said(frames: &[Arc<Frame>]) -> String {
    frames
        .iter()
        .filter_map(|frame| match &frame.body {
            FrameBody::SessionEvent(event) => event.agent_text(),
            _ => None,
        })
        .collect()
}

/// All frames that are stored, read anew; they have no hole.
pub async fn whole_line(member: &Member) -> Vec<Arc<Frame>> {
    let last = member.snapshot().unwrap().sequence;
    let mut frames = member.frames_after(0).unwrap();
    let mut line = Vec::new();
    while frames.position() < last {
        line.push(next(&mut frames).await);
    }
    assert_without_hole(&line);
    line
}

pub fn assert_without_hole(frames: &[Arc<Frame>]) {
    for pair in frames.windows(2) {
        assert_eq!(pair[1].from, pair[0].sequence + 1, "{:?} before {:?}", pair[0], pair[1]);
    }
}
