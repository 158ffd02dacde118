//! Workspaces on the real server.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod processes;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_multiplayer::{Frame, FrameBody, Frames, Member, Participant, Person, Rights, Workspace};
use sandbox_agent_sdk::{SandboxAgent, SessionPersistDriver, SessionRequest};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tokio::time::timeout;

/// What must not hang ends within this; a server that is started again takes some.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn server() -> RealServer {
    RealServer::start(RealServerOptions::new()).await.unwrap()
}

pub async fn open(server: &RealServer, driver: impl SessionPersistDriver) -> Workspace {
    // So that whoever waits for a server that is gone waits less than this module's patience.
    let limits = sandbox_agent_sdk::Limits::default().reconnect(Duration::from_secs(15));
    let builder = SandboxAgent::builder(server.url()).persist(driver).limits(limits);
    let sdk = builder.connect().await.unwrap();
    let request = SessionRequest::new("default", "mock").cwd("/");
    Workspace::builder("w", sdk).session(request).open().await.unwrap()
}

pub async fn owner(workspace: &Workspace, name: &str) -> Member {
    workspace.seat(Participant::new(Person::new(name), Rights::OWNER)).await.unwrap()
}

/// Frames up to the first that is wanted, which comes last.
pub async fn until(frames: &mut Frames, wanted: impl Fn(&FrameBody) -> bool) -> Vec<Arc<Frame>> {
    let mut seen: Vec<Arc<Frame>> = Vec::new();
    loop {
        let frame = timeout(PATIENCE, frames.recv()).await.unwrap().unwrap().unwrap();
        if let Some(last) = seen.last() {
            assert_eq!(frame.from, last.sequence + 1, "no hole, no double");
        }
        let found = wanted(&frame.body);
        seen.push(frame);
        if found {
            return seen;
        }
    }
}

pub fn is_over(body: &FrameBody, prompt_id: &str) -> bool {
    match body {
        FrameBody::State(state) => {
            state.prompt.as_ref().is_some_and(|it| it.prompt_id == prompt_id && it.phase.is_over())
        }
        _ => false,
    }
}
