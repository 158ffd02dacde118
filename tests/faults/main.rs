//! Faults that no real server brings about on demand, on the testkit's sandbox.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod adopted;
mod busy;
mod catalogue;
mod compaction;
mod control;
mod corners;
mod delivery;
mod events;
mod follow;
mod foreign;
mod handlers;
mod handover;
mod held;
mod ids;
mod lifecycle;
mod limits;
mod own;
mod permissions;
mod provider;
mod reattach;
mod resume;
mod secrets;
mod sharing;
mod sizes;
mod stores;
mod streams;
mod tokens;

use std::time::Duration;

use sandbox_agent_sdk::{Limits, MemorySessionPersistDriver, SandboxAgent, Session, SessionPersistDriver};
use sandbox_agent_testkit::{AgentOptions, Sandbox};
use serde_json::{Value, json};

/// Heartbeats and limits as on the real server, a hundred times as fast.
const HEARTBEAT: Duration = Duration::from_millis(150);
/// What must not hang ends within this.
const PATIENCE: Duration = Duration::from_secs(8);
/// A limit that is meant to run out.
const MOMENT: Duration = Duration::from_millis(300);

fn limits() -> Limits {
    Limits::default().heartbeat(3 * HEARTBEAT)
}

async fn sandbox() -> Sandbox {
    offering(AgentOptions::new()).await
}

/// A sandbox whose agents offer that.
async fn offering(agent: AgentOptions) -> Sandbox {
    Sandbox::builder().heartbeat(HEARTBEAT).quick_delete().agent(agent).start().await.unwrap()
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

/// A store, and a first SDK with a session on it.
async fn first(sandbox: &Sandbox) -> (MemorySessionPersistDriver, SandboxAgent, Session) {
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(support::request("one")).await.unwrap();
    (driver, sdk, session)
}

/// A turn of session "one" that its SDK let go of once the agent had begun; the process that it is on.
async fn leave_running(sandbox: &Sandbox, driver: impl SessionPersistDriver, prompt: &str) -> String {
    let sdk = sdk_on(sandbox, driver, limits()).await;
    let session = sdk.create_session(support::request("one")).await.unwrap();
    let mut turn = session.prompt(prompt);
    support::begun(&mut turn).await;
    sdk.detach().await.unwrap();
    server(&session)
}

/// Has this process answer the request of this method that never reached it.
async fn answer_unheard(
    sandbox: &Sandbox,
    driver: &MemorySessionPersistDriver,
    process: &str,
    method: &str,
    result: Value,
) {
    let events = support::stored(driver, "one").await;
    let mut ours = events.iter().filter(|event| event.connection_id == process);
    let asked = ours.find(|event| event.payload.get().contains(method)).unwrap();
    let request: Value = serde_json::from_str(asked.payload.get()).unwrap();
    let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
    sandbox.faults().agent_writes(process, &answer.to_string()).unwrap();
}

/// Looks again and again until it holds: for what nobody can be told of.
async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never came about: {what}"));
}

/// The server id of the session's process.
fn server(session: &Session) -> String {
    session.record().last_connection_id
}
