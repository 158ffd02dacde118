//! Faults that no real server brings about on demand, on the testkit's sandbox.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod busy;
mod delivery;
mod events;
mod ids;
mod lifecycle;
mod limits;
mod permissions;
mod reattach;
mod resume;
mod review;
mod secrets;
mod sizes;
mod stores;
mod streams;

use std::time::Duration;

use sandbox_agent_sdk::{Limits, SandboxAgent, Session, SessionPersistDriver};
use sandbox_agent_testkit::Sandbox;

/// Heartbeats and limits as on the real server, a hundred times as fast.
const HEARTBEAT: Duration = Duration::from_millis(150);
/// What must not hang ends within this.
const PATIENCE: Duration = Duration::from_secs(8);

fn limits() -> Limits {
    Limits::default().heartbeat(3 * HEARTBEAT)
}

async fn sandbox() -> Sandbox {
    Sandbox::builder().heartbeat(HEARTBEAT).quick_delete().start().await.unwrap()
}

async fn session(sandbox: &Sandbox) -> (SandboxAgent, Session) {
    session_within(sandbox, limits()).await
}

async fn session_within(sandbox: &Sandbox, limits: Limits) -> (SandboxAgent, Session) {
    let sdk = SandboxAgent::builder(sandbox.url()).limits(limits).connect().await.unwrap();
    let session = sdk.create_session(support::request("one")).await.unwrap();
    (sdk, session)
}

async fn sdk_on(sandbox: &Sandbox, driver: impl SessionPersistDriver, limits: Limits) -> SandboxAgent {
    SandboxAgent::builder(sandbox.url()).persist(driver).limits(limits).connect().await.unwrap()
}

/// The server id of the session's process.
fn server(session: &Session) -> String {
    session.record().last_connection_id
}
