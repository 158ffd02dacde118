//! The rest of the server: files, processes, agents, configuration and the desktop, typed.
//!
//! Each area has a handle, a cheap clone that [`SandboxAgent`] gives: [`processes`](SandboxAgent::processes), ….
//! What all of them keep:
//!
//! - **Every call is bounded**: by [`Limits::call`](crate::Limits::call) for each try, by
//!   [`Limits::transfer`](crate::Limits::transfer) where a file is carried, and its answer by
//!   [`Limits::answer_bytes`](crate::Limits::answer_bytes).
//! - **Only idempotent calls are tried again**, [`Limits::tries`](crate::Limits::tries) times, within
//!   [`Limits::reconnect`](crate::Limits::reconnect), and no earlier than the server's `Retry-After`.
//! - **Refusals are typed**: [`Refused`](crate::ErrorKind::Refused) with the server's
//!   [`Problem`](crate::Problem) and all its details.
//! - **Newer servers are understood**: fields that this version doesn't know are passed over, and values of
//!   enums kept as `Other`.
//! - **Dropping a call** gives its answer up. What the server was asked to do it may do all the same.

pub mod agents;
mod call;
pub mod config;
#[cfg(test)]
mod coverage;
pub mod desktop;
mod download;
pub mod fs;
mod operation;
pub mod processes;
mod retry;
pub mod server;
#[cfg(feature = "websocket")]
mod socket;
mod values;

pub use download::ByteStream;
pub use values::Secrets;

use agents::Agents;
pub(crate) use call::Api;
use config::Config;
use desktop::Desktop;
use fs::Fs;
use processes::Processes;
use server::AcpServers;

use crate::client::SandboxAgent;

/// The areas of the server beside its sessions.
impl SandboxAgent {
    /// The agents that the server can run: which there are, and installing them.
    pub fn agents(&self) -> Agents {
        Agents::new(self.api())
    }

    /// The agent processes of the server, of all its clients.
    pub fn acp_servers(&self) -> AcpServers {
        AcpServers::new(self.api())
    }

    /// What agents in a folder are given: MCP servers and skills.
    pub fn config(&self) -> Config {
        Config::new(self.api())
    }

    /// The desktop of the sandbox: a screen, a mouse and a keyboard.
    pub fn desktop(&self) -> Desktop {
        Desktop::new(self.api())
    }

    /// Files in the sandbox.
    pub fn fs(&self) -> Fs {
        Fs::new(self.api())
    }

    /// Processes in the sandbox: long-lived ones, one-off commands, and their output.
    pub fn processes(&self) -> Processes {
        Processes::new(self.api())
    }
}
