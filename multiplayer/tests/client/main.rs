//! Clients of real workspaces, on the testkit's sandbox.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod chaos;
mod in_process;
mod shaky;

use std::time::Duration;

use sandbox_agent_multiplayer::{
    ControlPolicy, Limits, Member, Participant, Person, Rights, Workspace, WorkspaceClient,
};
use sandbox_agent_sdk::{MemorySessionPersistDriver, SandboxAgent, SessionRequest};
use sandbox_agent_testkit::{AgentOptions, Sandbox};

/// What must not hang ends within this.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn sandbox() -> Sandbox {
    let heartbeat = Duration::from_millis(150);
    let agent = AgentOptions::new();
    Sandbox::builder().heartbeat(heartbeat).quick_delete().agent(agent).start().await.unwrap()
}

/// A workspace that several drive at once.
pub async fn workspace(sandbox: &Sandbox) -> Workspace {
    let sdk = SandboxAgent::builder(sandbox.url())
        .persist(MemorySessionPersistDriver::new())
        .connect()
        .await
        .unwrap();
    Workspace::builder("w", sdk)
        .session(SessionRequest::new("default", "mock").cwd("/"))
        .control(ControlPolicy::default().drivers(16))
        .limits(Limits::default().grace(Duration::from_millis(200)))
        .open()
        .await
        .unwrap()
}

pub async fn member(workspace: &Workspace, name: &str) -> Member {
    workspace.seat(Participant::new(Person::new(name), Rights::OWNER)).await.unwrap()
}

pub async fn client(workspace: &Workspace, name: &str) -> WorkspaceClient {
    WorkspaceClient::in_process(member(workspace, name).await).await.unwrap()
}
