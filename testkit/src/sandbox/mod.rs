//! The in-process sandbox: the server's HTTP surface over scripted agents.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

mod acp;
mod builder;
mod core;
mod faults;
mod gate;
mod journal;
mod outlet;
mod plan;
mod problem;
mod process;
mod rest;
mod stream;
mod wire;

pub use builder::SandboxBuilder;
pub use faults::{Faults, NoSuchServer, RequestFault};
pub use journal::{AgentLine, Direction, Request};
pub use plan::{Events, On};

use self::core::Core;
use builder::Options;
use problem::Problem;
use wire::{Door, Line};

/// How long [`Sandbox::wait_for`] waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox-agent server in this process, whose agents are scripted.
///
/// It serves `/v1/health`, `/v1/agents`, `/v1/agents/{agent}`, `/v1/agents/{agent}/install`,
/// `/v1/acp` and `/v1/acp/{server_id}` on 127.0.0.1, with the real server's statuses, problem
/// documents, ring, ids and omissions. What a prompt says decides what the agent does: see
/// [`script`](crate::script). [`faults`](Self::faults) makes things go wrong.
///
/// It runs on the runtime that started it; with tokio's paused time it works as well, for it
/// knows no other clock. Dropping it ends everything that it runs, and panics when one of its
/// handlers or agents had panicked, so that the test fails.
pub struct Sandbox {
    core: Arc<Core>,
    address: SocketAddr,
    url: String,
    serving: Mutex<Option<JoinHandle<()>>>,
}

/// What was waited for did not come about in time.
#[derive(Clone, Debug)]
pub struct Waited {
    last_requests: Vec<Request>,
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "did not come about within {PATIENCE:?}; the last requests were")?;
        for request in &self.last_requests {
            write!(f, " {} {}", request.method, request.path)?;
        }
        Ok(())
    }
}

impl std::error::Error for Waited {}

impl Sandbox {
    /// Starts a sandbox on a free port of 127.0.0.1, with the defaults of the real server.
    ///
    /// # Panics
    /// When the machine has no free port; [`SandboxBuilder::start`] returns the error instead.
    pub async fn start() -> Self {
        match Self::builder().start().await {
            Ok(sandbox) => sandbox,
            Err(error) => panic!("no free port for a sandbox: {error}"),
        }
    }

    /// Sets up a sandbox that differs.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::new()
    }

    async fn listen(port: u16, options: Options) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = tcp.local_addr()?;
        let sandbox = Self {
            core: Arc::new(Core::new(options)),
            address,
            url: format!("http://{address}"),
            serving: Mutex::new(None),
        };
        sandbox.serve(tcp);
        Ok(sandbox)
    }

    fn serve(&self, tcp: TcpListener) {
        let door = Door::new(tcp, self.core.lines.clone());
        let service = router(&self.core).into_make_service_with_connect_info::<Line>();
        let serving = tokio::spawn(async move {
            // Serving never ends by itself; it ends when it is aborted.
            let _ = axum::serve(door, service).await;
        });
        *self.serving() = Some(serving);
    }

    fn serving(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its base URL, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new connections and cuts those that are open. The agents live on: this is an
    /// outage of the network, and [`listen_again`](Self::listen_again) ends it.
    pub async fn stop_listening(&self) {
        let serving = self.serving().take();
        if let Some(serving) = serving {
            serving.abort();
            let _ = serving.await;
        }
        self.core.lines.cut_all();
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// When somebody else has taken the port meanwhile.
    pub async fn listen_again(&self) -> io::Result<()> {
        if self.serving().is_none() {
            self.serve(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }

    /// Restarts the server as its process would: connections are cut, all agents and their
    /// server ids are gone, the port is the same.
    ///
    /// # Errors
    /// When somebody else has taken the port meanwhile.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop_listening().await;
        self.end_agents();
        self.listen_again().await
    }

    /// Ends everything that it runs, and waits for the port to be free.
    ///
    /// # Panics
    /// When a handler or an agent had panicked.
    pub async fn shutdown(self) {
        self.stop_listening().await;
    }

    fn end_agents(&self) {
        let processes = std::mem::take(&mut *self.core.processes());
        drop(processes);
    }

    /// Makes things go wrong.
    pub fn faults(&self) -> Faults {
        Faults::new(self.core.clone())
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.core.journal().requests.clone()
    }

    /// Every envelope that agents under this server id have received.
    pub fn received(&self, server_id: &str) -> Vec<Value> {
        let journal = self.core.journal();
        let received = journal.received.iter().filter(|(server, _)| server == server_id);
        received.map(|(_, envelope)| envelope.clone()).collect()
    }

    /// The `session/prompt` requests that agents have received, with any server id.
    pub fn prompts_received(&self) -> Vec<Value> {
        let journal = self.core.journal();
        let received = journal.received.iter().map(|(_, envelope)| envelope);
        received.filter(|envelope| envelope["method"] == "session/prompt").cloned().collect()
    }

    /// Every line that agents have received or written, of any server id, in order.
    pub fn agent_lines(&self) -> Vec<AgentLine> {
        self.core.journal().lines.clone()
    }

    /// The server ids that have a process, dead or alive, sorted.
    pub fn servers(&self) -> Vec<String> {
        let mut servers: Vec<_> = self.core.processes().keys().cloned().collect();
        servers.sort();
        servers
    }

    /// The id of the newest event under a server id; 0 before the first.
    pub fn last_event_id(&self, server_id: &str) -> u64 {
        let process = self.core.process(server_id);
        process.map_or(0, |process| process.outlet.last_id())
    }

    /// How many streams are open.
    pub fn open_streams(&self) -> usize {
        self.core.streams.count()
    }

    /// Waits until the condition holds. It is looked at after each request, event, delivery,
    /// and stream that opens or ends. Bounded to 30 s.
    ///
    /// # Errors
    /// When it does not come about in time.
    pub async fn wait_for(&self, mut condition: impl FnMut(&Self) -> bool) -> Result<(), Waited> {
        let mut changes = self.core.changes();
        let waiting = async {
            while !condition(self) {
                // The sender is the core's, which `self` holds.
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| {
            let requests = self.requests();
            let last = requests.len().saturating_sub(8);
            Waited { last_requests: requests[last..].to_vec() }
        })
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("url", &self.url)
            .field("servers", &self.servers())
            .finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(serving) = self.serving().take() {
            serving.abort();
        }
        self.core.lines.cut_all();
        self.end_agents();
        let panics = self.core.panics();
        if !panics.is_empty() && !std::thread::panicking() {
            panic!("{}", panics.join("; "));
        }
    }
}

fn router(core: &Arc<Core>) -> Router {
    Router::new()
        .route("/", get(rest::root))
        .route("/v1/health", get(rest::health))
        .route("/v1/agents", get(rest::agents))
        .route("/v1/agents/{agent}", get(rest::agent))
        .route("/v1/agents/{agent}/install", post(rest::install))
        .route("/v1/acp", get(acp::list))
        .route("/v1/acp/{server_id}", post(acp::post).get(acp::get).delete(acp::delete))
        .fallback(async || Problem::unknown_endpoint())
        .layer(middleware::from_fn_with_state(core.clone(), gate::pass))
        .with_state(core.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "a handler of the sandbox panicked: asked to")]
    async fn a_handler_that_panics_fails_the_test() {
        let sandbox = Sandbox::start().await;
        sandbox.faults().next(On::any()).panic();
        let health = format!("{}/v1/health", sandbox.url());
        assert_eq!(reqwest::get(health).await.unwrap().status(), 500);
    }
}
