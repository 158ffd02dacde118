//! The agents that the server can run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Api;
use super::values::{open_enum, options};
use crate::error::Result;

pub(crate) mod operations {
    //! Where they are.

    use super::super::operation::Operation;
    use super::*;

    pub(crate) const LIST: Operation<AgentsQuery, (), AgentListResponse> = Operation::get("/v1/agents");
    pub(crate) const GET: Operation<AgentsQuery, (), AgentInfo> = Operation::get("/v1/agents/{agent}");
    pub(crate) const INSTALL: Operation<(), AgentInstallRequest, AgentInstallResponse> =
        Operation::post("/v1/agents/{agent}/install");
}

/// The agents that the server can run. A cheap clone.
#[derive(Clone, Debug)]
pub struct Agents {
    pub(in crate::api) api: Api,
}

impl Agents {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }

    /// All of them, installed or not.
    ///
    /// Bounded by [`Limits::call`](crate::Limits::call), or by [`Limits::request`](crate::Limits::request) where the
    /// query wants what agents are to be asked for, a try.
    pub async fn list(&self, query: &AgentsQuery) -> Result<Vec<AgentInfo>> {
        Ok(self.api.call_within(self.limit(query), &operations::LIST, &[], query, &()).await?.agents)
    }

    /// One of them, bounded as [`list`](Self::list). One that the server doesn't know is refused
    /// (`unsupported_agent`).
    pub async fn get(&self, agent: &str, query: &AgentsQuery) -> Result<AgentInfo> {
        self.api.call_within(self.limit(query), &operations::GET, &[agent], query, &()).await
    }

    /// Installs an agent, where it isn't yet. Refused (`install_failed`) with what the installer said.
    ///
    /// Bounded by [`Area::Install`](crate::Area::Install), 10 minutes: the server fetches it. Never tried again; calling
    /// it again does no harm.
    pub async fn install(&self, agent: &str, request: &AgentInstallRequest) -> Result<AgentInstallResponse> {
        let limit = self.api.limits.install();
        self.api.call_within(limit, &operations::INSTALL, &[agent], &(), request).await
    }

    fn limit(&self, query: &AgentsQuery) -> std::time::Duration {
        let limits = &self.api.limits;
        if query.config == Some(true) { limits.request } else { limits.call }
    }
}

/// How much to say of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentsQuery {
    /// Whether to ask for its options, for which it may have to be started.
    pub config: Option<bool>,
    /// Whether to look anew instead of telling what was found before.
    pub no_cache: Option<bool>,
}

impl AgentsQuery {
    /// Without its options, from what was found before.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// Whether to ask for its options, for which it may have to be started.
        config: bool,
        /// Whether to look anew instead of telling what was found before.
        no_cache: bool,
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgentListResponse {
    pub(crate) agents: Vec<AgentInfo>,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AgentInfo {
    /// Its name, such as `claude`.
    pub id: String,
    /// Whether it is installed.
    pub installed: bool,
    /// Whether the server has credentials for its model.
    pub credentials_available: bool,
    /// What the server knows of what it can do.
    pub capabilities: AgentCapabilities,
    /// Its version, where it is installed.
    pub version: Option<String>,
    /// Where it is installed.
    pub path: Option<String>,
    /// Its server, where it has one for all of its sessions.
    pub server_status: Option<ServerStatusInfo>,
    /// Its options, where the query wanted them: those of the Agent Client Protocol, as the agent gave them.
    pub config_options: Option<Vec<Value>>,
    /// Why its options could not be had.
    pub config_error: Option<String>,
}

open_enum! {
    /// Whether an agent's own server runs.
    ServerStatus {
        /// It runs.
        Running = "running",
        /// It does not.
        Stopped = "stopped",
    }
}

/// An agent's own server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServerStatusInfo {
    /// Whether it runs.
    pub status: ServerStatus,
    /// For how long it has run, in milliseconds.
    pub uptime_ms: Option<u64>,
}

/// What an agent can do. What a server doesn't tell counts as not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct AgentCapabilities {
    /// Tells of commands that it runs.
    pub command_execution: bool,
    /// Tells of errors as events.
    pub error_events: bool,
    /// Takes files with a prompt.
    pub file_attachments: bool,
    /// Tells of files that it changes.
    pub file_changes: bool,
    /// Takes images with a prompt.
    pub images: bool,
    /// Tells when an item begins.
    pub item_started: bool,
    /// Uses tools of MCP servers.
    pub mcp_tools: bool,
    /// Asks for permission.
    pub permissions: bool,
    /// Has a mode in which it only plans.
    pub plan_mode: bool,
    /// Asks questions.
    pub questions: bool,
    /// Shows its reasoning.
    pub reasoning: bool,
    /// Tells of the begin and the end of its sessions.
    pub session_lifecycle: bool,
    /// Has one process for all of its sessions.
    pub shared_process: bool,
    /// Tells its status.
    pub status: bool,
    /// Sends its text in pieces.
    pub streaming_deltas: bool,
    /// Sends text.
    pub text_messages: bool,
    /// Tells of tools that it calls.
    pub tool_calls: bool,
    /// Tells what its tools returned.
    pub tool_results: bool,
}

/// What to install of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AgentInstallRequest {
    /// The version of the agent; the newest unless set.
    pub agent_version: Option<String>,
    /// The version of the program that speaks the Agent Client Protocol for it; the newest unless set.
    pub agent_process_version: Option<String>,
    /// Whether to install it also where it is installed.
    pub reinstall: Option<bool>,
}

impl AgentInstallRequest {
    /// The newest, where it isn't installed.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// The version of the agent; the newest unless set.
        agent_version: String,
        /// The version of the program that speaks the Agent Client Protocol for it; the newest unless set.
        agent_process_version: String,
        /// Whether to install it also where it is installed.
        reinstall: bool,
    }
}

/// What was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentInstallResponse {
    /// Whether it was installed before.
    pub already_installed: bool,
    /// What was put where.
    pub artifacts: Vec<AgentInstallArtifact>,
}

/// A part of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AgentInstallArtifact {
    /// What it is, such as `agent_process`.
    pub kind: String,
    /// Where it is.
    pub path: String,
    /// Where it came from, such as `registry`.
    pub source: String,
    /// Its version.
    pub version: Option<String>,
}
