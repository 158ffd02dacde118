//! What the sandbox has seen, for a test to look at.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// `GET`, `POST`, `DELETE`, ….
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The header `Last-Event-ID`.
    pub last_event_id: Option<String>,
    /// The body, if it was JSON within the limit.
    pub body: Option<Value>,
    /// Whether the token was right; always `true` without one.
    pub authorized: bool,
}

impl Request {
    /// The server id of a request to `/v1/acp/{server_id}`, as it stands in the path.
    pub fn server_id(&self) -> Option<&str> {
        let path = self.path.split('?').next().unwrap_or_default();
        path.strip_prefix("/v1/acp/").filter(|id| !id.is_empty())
    }
}

/// A line that an agent process received or wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentLine {
    /// The server id of the process.
    pub server_id: String,
    /// The process: the next one under the same server id has another.
    pub pid: u32,
    /// Which way it went.
    pub direction: Direction,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What was written, without its newline.
    pub line: String,
}

/// Which way a line of an agent went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the agent.
    Received,
    /// From the agent. The lines of a process get the ids 1, 2, 3, … in this order; its exit gets one too.
    Wrote,
}

#[derive(Default)]
pub(super) struct Journal {
    pub(super) requests: Vec<Request>,
    /// What agents received: server id and envelope.
    pub(super) received: Vec<(String, Value)>,
    pub(super) lines: Vec<AgentLine>,
}

impl Journal {
    pub(super) fn line(&mut self, server_id: &str, pid: u32, direction: Direction, line: String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = now.unwrap_or_default().as_millis() as u64;
        self.lines.push(AgentLine { server_id: server_id.to_owned(), pid, direction, at_ms, line });
    }
}
