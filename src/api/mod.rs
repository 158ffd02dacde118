//! The rest of the server: files, processes, agents, configuration and the desktop, typed.
//!
//! Each area has a handle, a cheap clone that [`SandboxAgent`] gives: [`processes`](SandboxAgent::processes), ….
//! What all of them keep:
//!
//! - **Every call is bounded**: by [`Limits::call`](crate::Limits::call) for each try, or what is set for its
//!   [area](crate::Limits::area) or for its handle by `within`, by
//!   [`Limits::transfer`](crate::Limits::transfer) where a file is carried, and its answer by
//!   [`Limits::answer_bytes`](crate::Limits::answer_bytes). The time of a token provider is added, within
//!   [`Limits::token`](crate::Limits::token).
//! - **Only idempotent calls are tried again**, [`Limits::tries`](crate::Limits::tries) times, within
//!   [`Limits::retry`](crate::Limits::retry), and no earlier than the server's `Retry-After`.
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
pub mod ports;
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
use ports::Ports;
use processes::Processes;
use server::AcpServers;

use crate::client::SandboxAgent;
use crate::limits::Area;

/// A limit for the calls of one handle.
macro_rules! within {
    ($($handle:ty)*) => {
        $(
            impl $handle {
                /// The same handle with another limit for each try of each of its calls, in place of all that
                /// [`Limits`](crate::Limits) says of them; what waits for something adds the time that it waits.
                /// [`AcpServers::close`] alone keeps to its 2 s, as no answer is what it waits for.
                ///
                /// ```no_run
                /// # async fn example(sdk: sandbox_agent_sdk::SandboxAgent) -> sandbox_agent_sdk::Result<()> {
                /// use std::time::Duration;
                ///
                /// let stat = sdk.fs().within(Duration::from_secs(2)).stat("/repo").await?;
                /// # Ok(()) }
                /// ```
                #[must_use]
                pub fn within(mut self, limit: std::time::Duration) -> Self {
                    self.api.limits = self.api.limits.within(limit);
                    self
                }
            }
        )*
    };
}

within! { Agents AcpServers Config Desktop Fs Processes }

/// The areas of the server beside its sessions.
impl SandboxAgent {
    /// The agents that the server can run: which there are, and installing them.
    pub fn agents(&self) -> Agents {
        Agents::new(self.api(Area::Agents))
    }

    /// The agent processes of the server, of all its clients.
    pub fn acp_servers(&self) -> AcpServers {
        AcpServers::new(self.api(Area::AcpServers))
    }

    /// What agents in a folder are given: MCP servers and skills.
    pub fn config(&self) -> Config {
        Config::new(self.api(Area::Config))
    }

    /// The desktop of the sandbox: a screen, a mouse and a keyboard.
    pub fn desktop(&self) -> Desktop {
        Desktop::new(self.api(Area::Desktop))
    }

    /// Files in the sandbox.
    pub fn fs(&self) -> Fs {
        Fs::new(self.api(Area::Fs))
    }

    /// Processes in the sandbox: long-lived ones, one-off commands, and their output.
    pub fn processes(&self) -> Processes {
        Processes::new(self.api(Area::Processes))
    }

    /// Ports in the sandbox: a connection to one, or a local one that leads to it.
    pub fn ports(&self) -> Ports {
        Ports::new(self.processes())
    }
}
