//! What the sandbox has seen, for a test to look at.

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

#[derive(Default)]
pub(super) struct Journal {
    pub(super) requests: Vec<Request>,
    /// What agents received: server id and envelope.
    pub(super) received: Vec<(String, Value)>,
}
