//! What a session is opened with.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::auth::Authentication;
use super::conduct::Conduct;
use super::hold::Claim;
use super::permission::PermissionPolicy;
use crate::acp_types::{ClientCapabilities, McpServer};
use crate::error::{Error, Result};
use crate::handlers::ClientHandlers;

/// The session to open: its id, its agent, and how the agent is set up.
///
/// ```
/// use sandbox_agent_sdk::SessionRequest;
///
/// let request = SessionRequest::new("default", "codex").cwd("/repo").mode("plan");
/// # let _ = request;
/// ```
#[derive(Clone)]
pub struct SessionRequest {
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) setup: Setup,
    pub(crate) permissions: PermissionPolicy,
    pub(crate) conduct: Conduct,
    /// The agent's session to take up.
    pub(crate) agent_session: Option<String>,
}

/// Without what may hold secrets: the environment and headers of MCP servers, and `_meta`.
impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRequest")
            .field("id", &self.id)
            .field("agent", &self.agent)
            .field("cwd", &self.setup.cwd)
            .field("mode", &self.setup.mode)
            .field("model", &self.setup.model)
            .field("permissions", &self.permissions)
            .field("conduct", &self.conduct)
            .finish_non_exhaustive()
    }
}

/// What the record keeps, to open the session again in the same way.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Setup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cwd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mcp_servers: Option<Vec<McpServer>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<Map<String, Value>>,
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub(crate) meta: Option<Map<String, Value>>,
}

/// What one call wants of the session that it opens. What an agent doesn't offer is an error then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Also when it was destroyed.
    pub(crate) revive: bool,
    /// Also when somebody else holds it.
    pub(crate) claim: Claim,
    pub(crate) mode: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) options: Option<Map<String, Value>>,
}

impl Wish {
    pub(crate) fn revive() -> Self {
        Self { revive: true, ..Self::default() }
    }
}

impl SessionRequest {
    pub(crate) fn wish(&self) -> Wish {
        let Setup { mode, model, options, .. } = self.setup.clone();
        Wish { mode, model, options, ..Wish::revive() }
    }

    /// A session with this id, run by this agent (`claude`, `codex`, `opencode`, …).
    ///
    /// The id is the caller's name for it in the store: any text that is not empty.
    pub fn new(id: impl Into<String>, agent: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            agent: agent.into(),
            setup: Setup::default(),
            permissions: PermissionPolicy::Ask,
            conduct: Conduct::default(),
            agent_session: None,
        }
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The absolute path in the sandbox that the agent works in; `/` unless told.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.setup.cwd = Some(cwd.into());
        self
    }

    /// An MCP server (stdio, HTTP or SSE) that the agent is to connect to; call it again for more.
    #[must_use]
    pub fn mcp_server(mut self, server: McpServer) -> Self {
        self.setup.mcp_servers.get_or_insert_default().push(server);
        self
    }

    /// The mode to begin in. Opening fails when the agent doesn't offer it, and says what it offers.
    #[must_use]
    pub fn mode(mut self, mode: impl Into<String>) -> Self {
        self.setup.mode = Some(mode.into());
        self
    }

    /// The model to use. Opening fails when the agent doesn't offer it, and says what it offers.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.setup.model = Some(model.into());
        self
    }

    /// Sets an option of the agent's, by its id or category, such as `thought_level`; call it again for more.
    /// Opening fails when the agent doesn't offer it, and says what it offers.
    #[must_use]
    pub fn config_option(mut self, id_or_category: impl Into<String>, value: impl Into<Value>) -> Self {
        self.setup.options.get_or_insert_default().insert(id_or_category.into(), value.into());
        self
    }

    /// Takes up one of the [agent's own](crate::Session::list_agent_sessions) sessions, by the agent's id of it, where
    /// this one is created; what the agent tells of its past is stored. Opening fails with
    /// [`NotOffered`](crate::ErrorKind::NotOffered) where the agent neither loads nor resumes sessions.
    #[must_use]
    pub fn agent_session(mut self, agent_session_id: impl Into<String>) -> Self {
        self.agent_session = Some(agent_session_id.into());
        self
    }

    /// How the agent is logged in before the session is opened; as the
    /// [SDK](crate::SandboxAgentBuilder::authentication) is told unless set. Not kept in the record.
    #[must_use]
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.conduct.authentication = Some(authentication);
        self
    }

    /// What may be asked of the client, beside permissions; as the [SDK](crate::SandboxAgentBuilder::handlers)
    /// is told unless set. Not kept in the record.
    #[must_use]
    pub fn handlers(mut self, handlers: ClientHandlers) -> Self {
        self.conduct.handlers = Some(handlers);
        self
    }

    /// What else `initialize` says that the client can do, `_meta` among it. Files, terminals and
    /// elicitation in it are set by the [handlers](Self::handlers), whatever it says: only what is handled is
    /// declared. Not kept in the record.
    #[must_use]
    pub fn client_capabilities(mut self, capabilities: ClientCapabilities) -> Self {
        self.conduct.capabilities = Some(capabilities);
        self
    }

    /// The `_meta` of the agent's `session/new`, `session/load` and `session/resume`.
    #[must_use]
    pub fn meta(mut self, meta: Map<String, Value>) -> Self {
        self.setup.meta = Some(meta);
        self
    }

    /// What becomes of permission requests; [`Ask`](PermissionPolicy::Ask) unless told.
    #[must_use]
    pub fn permissions(mut self, policy: PermissionPolicy) -> Self {
        self.permissions = policy;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.id.is_empty() {
            return Err(Error::invalid("a session's id must not be empty"));
        }
        if self.agent.is_empty() {
            return Err(Error::invalid(
                "the agent's name must not be empty; agents are `claude`, `codex`, …",
            ));
        }
        match &self.setup.cwd {
            Some(cwd) if !is_absolute(cwd) => Err(Error::invalid(format!(
                "the working directory {cwd:?} must be an absolute path in the sandbox"
            ))),
            _ => Ok(()),
        }
    }
}

/// Absolute in the sandbox, whose system need not be this one.
fn is_absolute(path: &str) -> bool {
    path.starts_with('/') || path.as_bytes().get(1) == Some(&b':')
}

impl Setup {
    pub(crate) fn read(stored: Option<&Value>) -> Self {
        // Another program's record may hold what this version can't read; it opens with the defaults then.
        stored.and_then(|stored| Self::deserialize(stored).ok()).unwrap_or_default()
    }

    /// What is set here, and for the rest what `stored` says.
    pub(crate) fn or(self, stored: Self) -> Self {
        Self {
            cwd: self.cwd.or(stored.cwd),
            mcp_servers: self.mcp_servers.or(stored.mcp_servers),
            mode: self.mode.or(stored.mode),
            model: self.model.or(stored.model),
            options: self.options.or(stored.options),
            meta: self.meta.or(stored.meta),
        }
    }
}
