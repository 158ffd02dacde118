//! The areas of the server beside its sessions: each operation is called here.

#[cfg(feature = "files")]
mod cuts;
mod desktop;
#[cfg(feature = "files")]
mod doubt;
mod files;
#[cfg(feature = "websocket")]
mod flood;
#[cfg(feature = "files")]
mod front;
#[cfg(feature = "files")]
mod hostile;
mod kept;
#[cfg(feature = "files")]
mod large;
mod logs;
mod ports;
mod processes;
mod seeded;
mod settings;
#[cfg(feature = "websocket")]
mod terminal;
mod tokens;
#[cfg(feature = "files")]
mod transfer;

use sandbox_agent_sdk::{Error, SandboxAgent};
use sandbox_agent_testkit::real::RealServer;

use crate::{builder, server};

/// A server, and an SDK on it.
async fn connected() -> (RealServer, SandboxAgent) {
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    (server, sdk)
}

/// The code of the server's refusal.
fn code(error: &Error) -> &str {
    error.problem().unwrap_or_else(|| panic!("no refusal of the server's: {error:?}")).code()
}
