//! Local sandboxes: the real server, started by the SDK, with the scripted agent in place of a model.
//!
//! `cargo xtask test` installs the server and runs these; what needs none runs always.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../real/child.rs"]
mod child;

mod apart;
mod binaries;
mod owner;
mod processes;
mod provider;

use std::path::Path;

use sandbox_agent_sdk::LocalSandbox;
use sandbox_agent_testkit::{find_agent_binary, install_agent};

/// A sandbox whose agent `mock` is the scripted one.
async fn sandbox() -> LocalSandbox {
    let sandbox = LocalSandbox::start().await.unwrap();
    scripted(sandbox.data_dir());
    sandbox
}

/// Has the server with this data launch the scripted agent.
fn scripted(data_dir: &Path) {
    install_agent(data_dir, &find_agent_binary().unwrap()).unwrap();
}
