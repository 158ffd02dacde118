//! A page where several people share one session of a coding agent.
//!
//! ```sh
//! cargo run -p multiplayer_web
//! ```
//!
//! prints its address; open it in two browsers. `SANDBOX_AGENT_URL` names the sandbox and
//! `SANDBOX_AGENT_AGENT` the agent. When nothing answers at the default address, it starts a sandbox with a
//! scripted agent in its own process, as it does for `SANDBOX_AGENT_URL=scripted`. `MULTIPLAYER_LISTEN` is where it listens, 127.0.0.1:7878 unless told;
//! anywhere but on this machine it asks for the key that is in the link it prints.

mod guests;
mod pages;
mod sandbox;

use std::env;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use sandbox_agent_multiplayer::{ControlPolicy, ObserverPrompts, Workspace};
use sandbox_agent_multiplayer_axum::{Workspaces, workspace_router};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use tokio::net::TcpListener;

use guests::Guests;
use sandbox::Sandbox;

const DEFAULT_ADDRESS: &str = "127.0.0.1:7878";
/// The workspace's id, and its place below `/workspaces`.
const WORKSPACE: &str = "demo";

#[tokio::main]
async fn main() -> Result<()> {
    let listen = env::var("MULTIPLAYER_LISTEN").unwrap_or_else(|_| DEFAULT_ADDRESS.to_owned());
    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("can't listen on {listen}; MULTIPLAYER_LISTEN names another address"))?;
    let address = listener.local_addr()?;

    let sandbox = Sandbox::find().await?;
    let guests = Guests::new(address);
    println!("{}", sandbox.about);
    println!("Open this in two browsers: {}", guests.invitation(address));
    if address.ip().is_unspecified() {
        println!("On other machines, put a name of this one in the place of 127.0.0.1.");
    }

    let workspace = open(&sandbox, guests).await?;
    let served = serve(listener, address, &sandbox, workspace.clone()).await;
    // Ends the agent's process, also after an error.
    let closed = workspace.close().await;
    sandbox.shutdown().await;
    served?;
    Ok(closed?)
}

async fn open(sandbox: &Sandbox, guests: Guests) -> Result<Workspace> {
    let sdk = SandboxAgent::connect(&sandbox.url).await?;
    // Who does not drive suggests, and who does decides.
    let control = ControlPolicy::default().observers(ObserverPrompts::Propose);
    let workspace = Workspace::builder(WORKSPACE, sdk)
        .session(SessionRequest::new(WORKSPACE, &sandbox.agent))
        .control(control)
        .authorize(guests)
        .open()
        .await?;
    Ok(workspace)
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    sandbox: &Sandbox,
    workspace: Workspace,
) -> Result<()> {
    let workspaces = Workspaces::new();
    workspaces.insert(workspace);
    let router = pages::router(sandbox).nest("/workspaces", workspace_router(workspaces.clone()));
    let router = pages::guard(router, address);
    let overdue = workspaces.overdue();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        // Without a signal to wait for, it goes on until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        workspaces.shutdown().await;
    });
    tokio::select! {
        ended = serving => ended?,
        // A page that reads nothing doesn't keep it up.
        () = overdue => {}
    }
    Ok(())
}
