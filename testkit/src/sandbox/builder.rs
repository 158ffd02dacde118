//! How a sandbox is set up.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::time::Duration;

use super::Sandbox;
use super::rest::AGENTS;
use crate::agent::AgentOptions;

#[derive(Clone)]
pub(super) struct Options {
    pub(super) token: Option<String>,
    pub(super) heartbeat: Duration,
    pub(super) ring: usize,
    pub(super) channel: usize,
    pub(super) post_timeout: Duration,
    pub(super) quick_delete: bool,
    pub(super) installed: BTreeSet<String>,
    pub(super) agent: AgentOptions,
}

/// Sets up a [`Sandbox`]. Every default is what the real server does.
#[must_use = "a sandbox has to be started"]
#[derive(Clone)]
pub struct SandboxBuilder {
    port: u16,
    options: Options,
}

impl SandboxBuilder {
    pub(super) fn new() -> Self {
        Self {
            port: 0,
            options: Options {
                token: None,
                heartbeat: Duration::from_secs(15),
                ring: 1024,
                channel: 512,
                post_timeout: Duration::from_secs(120),
                quick_delete: false,
                installed: AGENTS.map(str::to_owned).into(),
                agent: AgentOptions::default(),
            },
        }
    }

    /// The port on 127.0.0.1; by default one that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The bearer token that every request must carry; none by default.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.token = Some(token.into());
        self
    }

    /// How long a stream is silent before a heartbeat; 15 s by default.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.options.heartbeat = interval;
        self
    }

    /// How many events are kept for `Last-Event-ID`; 1024 by default.
    pub fn ring(mut self, events: usize) -> Self {
        self.options.ring = events;
        self
    }

    /// How far a reader may lag before it is skipped ahead; 512 events by default, at least 1.
    pub fn channel(mut self, events: usize) -> Self {
        self.options.channel = events.max(1);
        self
    }

    /// How long a POST waits for the agent; 120 s by default. Past it the request hangs
    /// without end, and is an error only when the agent has exited by then.
    pub fn post_timeout(mut self, limit: Duration) -> Self {
        self.options.post_timeout = limit;
        self
    }

    /// Answers DELETE at once. By default it hangs on a live agent until the client gives up.
    pub fn quick_delete(mut self) -> Self {
        self.options.quick_delete = true;
        self
    }

    /// The agents that are installed, all of them the scripted one; by default every name that
    /// the server knows. The first POST for another one fails as an install without a network.
    pub fn installed<'a>(mut self, agents: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.installed = agents.into_iter().map(str::to_owned).collect();
        self
    }

    /// How agent processes start.
    pub fn agent(mut self, options: AgentOptions) -> Self {
        self.options.agent = options;
        self
    }

    /// Starts it, on the runtime of the caller.
    ///
    /// # Errors
    /// When the port can't be had.
    pub async fn start(self) -> io::Result<Sandbox> {
        Sandbox::listen(self.port, self.options).await
    }
}

impl fmt::Debug for SandboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxBuilder")
            .field("port", &self.port)
            .field("token", &self.options.token.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}
