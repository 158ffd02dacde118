//! For tests of the SDK, and of programs that embed it: a sandbox-agent server whose agents do
//! what the prompt says.
//!
//! - [`Sandbox`] is the server in this process, in milliseconds, with [`Faults`] on demand: lost
//!   events, cut connections, silent streams, dead agents.
//! - The binary `scripted-acp-agent` is the same agent as a process, for the real server to
//!   launch; [`real::RealServer`] starts one that does.
//! - [`proxy::Proxy`] breaks TCP connections between a client and either of them.
//!
//! The language of the prompts is in [`script`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sandbox_agent_testkit::{On, Sandbox};
//! use serde_json::{Value, json};
//!
//! let sandbox = Sandbox::start().await;
//! let url = format!("{}/v1/acp/one?agent=mock", sandbox.url());
//! let initialize = json!({
//!     "jsonrpc": "2.0", "id": "1", "method": "initialize", "params": {"protocolVersion": 1},
//! });
//! let http = reqwest::Client::new();
//! let answer: Value = http.post(&url).json(&initialize).send().await?.json().await?;
//! assert_eq!(answer["result"]["protocolVersion"], 1);
//!
//! sandbox.faults().next(On::post()).cut_before_delivery();
//! assert!(http.post(&url).json(&initialize).send().await.is_err());
//! assert_eq!(sandbox.received("one").len(), 1);
//! sandbox.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Needs a Unix.

mod agent;
mod install;
pub mod proxy;
pub mod real;
mod sandbox;
pub mod script;

pub use agent::{AgentOptions, FailInit};
pub use install::{AgentNotFound, find_agent_binary, install_agent};
pub use sandbox::{
    AgentLine, Direction, Events, Faults, NoSuchServer, On, Request, RequestFault, Sandbox, SandboxBuilder,
    Waited,
};

/// Serves the scripted agent on stdin and stdout: what the binary `scripted-acp-agent` does.
///
/// Returns when stdin ends; a script's `exit` ends the process.
pub fn run_agent_on_stdio() -> std::process::ExitCode {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(agent::stdio::run());
            // Reading stdin holds a thread; the end does not wait for it.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("scripted-acp-agent: no runtime: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
