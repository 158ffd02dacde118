//! The server itself: its health, and the agent processes that it has.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Api;
use crate::client::SandboxAgent;
use crate::error::Result;
use crate::limits::Area;

pub(crate) mod operations {
    //! Where they are.

    use super::super::operation::Operation;
    use super::*;

    pub(crate) const HEALTH: Operation<(), (), HealthResponse> = Operation::get("/v1/health");
    pub(crate) const LIST: Operation<(), (), AcpServerListResponse> = Operation::get("/v1/acp");
    pub(crate) const CLOSE: Operation<(), (), ()> = Operation::delete("/v1/acp/{server_id}");
}

/// While an agent lives this call is not answered; the server ends the agent when it is given up.
const CLOSE: Duration = Duration::from_secs(2);

impl SandboxAgent {
    /// How the server is. Bounded by [`Area::Health`](crate::Area::Health), 5 s, a try; a server that is away is
    /// tried again as in any other call.
    pub async fn health(&self) -> Result<HealthResponse> {
        self.api(Area::Health).call(&operations::HEALTH, &[], &(), &()).await
    }
}

/// How the server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HealthResponse {
    /// `ok`.
    pub status: String,
}

/// The agent processes of the server, of all its clients. A cheap clone.
///
/// A session has one of them while it is open, under an id of its own. This is for those that nobody has
/// any more; sessions end theirs by themselves.
#[derive(Clone, Debug)]
pub struct AcpServers {
    pub(in crate::api) api: Api,
}

impl AcpServers {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }

    /// All of them; also those whose process has ended and that were not closed.
    ///
    /// Bounded by [`Limits::call`](crate::Limits::call) a try.
    pub async fn list(&self) -> Result<Vec<AcpServerInfo>> {
        Ok(self.api.call(&operations::LIST, &[], &(), &()).await?.servers)
    }

    /// Ends an agent's process, whosever it is; one that isn't there is no error. Bounded by 2 s a try, whatever
    /// `within` says: while the agent lives the server doesn't answer, and ends it when the call is given up. So those
    /// 2 s without an answer are a success.
    pub async fn close(&self, server_id: &str) -> Result<()> {
        match self.api.call_within(CLOSE, &operations::CLOSE, &[server_id], &(), &()).await {
            // Not answered, and so done.
            Err(error) if error.is_timeout() => Ok(()),
            closed => closed,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AcpServerListResponse {
    pub(crate) servers: Vec<AcpServerInfo>,
}

/// An agent process of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AcpServerInfo {
    /// Its id.
    pub server_id: String,
    /// The agent.
    pub agent: String,
    /// When it was started, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}
