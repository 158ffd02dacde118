//! The SDK against the real server, with the scripted agent in place of a model.
//!
//! `cargo xtask test` installs the server and runs these.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod api;
mod bursts;
mod child;
mod connections;
mod control;
mod filter;
mod nodes;
mod permissions;
mod processes;
mod resume;
mod sessions;
mod stalled_store;

use sandbox_agent_sdk::{SandboxAgent, SandboxAgentBuilder};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};

async fn server() -> RealServer {
    RealServer::start(RealServerOptions::new()).await.unwrap()
}

fn builder(server: &RealServer) -> SandboxAgentBuilder {
    SandboxAgent::builder(server.url())
}
