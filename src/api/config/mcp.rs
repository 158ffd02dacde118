//! MCP servers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::values::{Secrets, open_enum, options};

/// An MCP server.
///
/// ```
/// use sandbox_agent_sdk::api::config::{McpLocalServer, McpRemoteServer, McpServerConfig};
///
/// let files: McpServerConfig = McpLocalServer::new("npx").args(["-y", "some-server"]).into();
/// let search: McpServerConfig = McpRemoteServer::new("https://mcp.example.com").header("x-team", "blue").into();
/// # let _ = (files, search);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
#[non_exhaustive]
pub enum McpServerConfig {
    /// A program in the sandbox.
    #[serde(alias = "stdio")]
    Local(McpLocalServer),
    /// A server that is reached by HTTP.
    #[serde(alias = "http")]
    Remote(McpRemoteServer),
    /// One that this version doesn't know, as the server has it.
    #[serde(untagged)]
    Other(Unknown),
}

/// JSON that this version doesn't know. It may hold secrets, so that `Debug` doesn't show it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unknown(pub Value);

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unknown").finish_non_exhaustive()
    }
}

impl From<McpLocalServer> for McpServerConfig {
    fn from(server: McpLocalServer) -> Self {
        Self::Local(server)
    }
}

impl From<McpRemoteServer> for McpServerConfig {
    fn from(server: McpRemoteServer) -> Self {
        Self::Remote(server)
    }
}

/// A program, with or without its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum McpCommand {
    /// The program.
    Program(String),
    /// The program and its first arguments.
    Line(Vec<String>),
}

impl From<&str> for McpCommand {
    fn from(program: &str) -> Self {
        Self::Program(program.to_owned())
    }
}

impl From<String> for McpCommand {
    fn from(program: String) -> Self {
        Self::Program(program)
    }
}

impl From<Vec<String>> for McpCommand {
    fn from(line: Vec<String>) -> Self {
        Self::Line(line)
    }
}

/// An MCP server that is a program in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct McpLocalServer {
    /// The program.
    pub command: McpCommand,
    /// Its arguments, after those of the command.
    #[serde(default)]
    pub args: Vec<String>,
    /// The folder to start it in.
    pub cwd: Option<String>,
    /// Its environment beside what the agent has.
    pub env: Option<Secrets>,
    /// Whether it is used; it is unless set.
    pub enabled: Option<bool>,
    /// How long one of its answers may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl McpLocalServer {
    /// This program, without arguments.
    pub fn new(command: impl Into<McpCommand>) -> Self {
        let command = command.into();
        Self { command, args: Vec::new(), cwd: None, env: None, enabled: None, timeout_ms: None }
    }

    /// Arguments, after those that are set.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment; call it again for more. The value is in no `Debug` output.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.get_or_insert_default().0.insert(name.into(), value.into());
        self
    }

    options! {
        /// The folder to start it in.
        cwd: String,
        /// Whether it is used; it is unless set.
        enabled: bool,
        /// How long one of its answers may take, in milliseconds.
        timeout_ms: u64,
    }
}

open_enum! {
    /// How a remote MCP server is spoken to.
    McpRemoteTransport {
        /// By streamable HTTP.
        Http = "http",
        /// By HTTP with server-sent events, the older way.
        Sse = "sse",
    }
}

/// An MCP server that is reached by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct McpRemoteServer {
    /// Its address.
    pub url: String,
    /// How it is spoken to.
    pub transport: Option<McpRemoteTransport>,
    /// Headers for it.
    pub headers: Option<Secrets>,
    /// Headers for it whose values are in these variables of the agent's environment.
    pub env_headers: Option<BTreeMap<String, String>>,
    /// The variable of the agent's environment that has its bearer token.
    pub bearer_token_env_var: Option<String>,
    /// Whether and how the agent signs in.
    pub oauth: Option<McpOAuth>,
    /// Whether it is used; it is unless set.
    pub enabled: Option<bool>,
    /// How long one of its answers may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl McpRemoteServer {
    /// The server at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            transport: None,
            headers: None,
            env_headers: None,
            bearer_token_env_var: None,
            oauth: None,
            enabled: None,
            timeout_ms: None,
        }
    }

    /// A header for it; call it again for more. The value is in no `Debug` output.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.get_or_insert_default().0.insert(name.into(), value.into());
        self
    }

    /// A header for it whose value is in this variable of the agent's environment; call it again for more.
    #[must_use]
    pub fn env_header(mut self, name: impl Into<String>, variable: impl Into<String>) -> Self {
        self.env_headers.get_or_insert_default().insert(name.into(), variable.into());
        self
    }

    options! {
        /// How it is spoken to.
        transport: McpRemoteTransport,
        /// The variable of the agent's environment that has its bearer token.
        bearer_token_env_var: String,
        /// Whether and how the agent signs in.
        oauth: McpOAuth,
        /// Whether it is used; it is unless set.
        enabled: bool,
        /// How long one of its answers may take, in milliseconds.
        timeout_ms: u64,
    }
}

/// Whether and how an agent signs in to an MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum McpOAuth {
    /// Whether it does, as it finds out by itself.
    Enabled(bool),
    /// As this client.
    Config(McpOAuthConfig),
}

impl From<bool> for McpOAuth {
    fn from(enabled: bool) -> Self {
        Self::Enabled(enabled)
    }
}

impl From<McpOAuthConfig> for McpOAuth {
    fn from(config: McpOAuthConfig) -> Self {
        Self::Config(config)
    }
}

/// An OAuth client.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct McpOAuthConfig {
    /// Its id.
    pub client_id: Option<String>,
    /// Its secret; in no `Debug` output.
    pub client_secret: Option<String>,
    /// What it asks for.
    pub scope: Option<String>,
}

impl McpOAuthConfig {
    /// Nothing is set.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// Its id.
        client_id: String,
        /// Its secret; in no `Debug` output.
        client_secret: String,
        /// What it asks for.
        scope: String,
    }
}

impl fmt::Debug for McpOAuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpOAuthConfig")
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret.as_ref().map(|_| "…"))
            .field("scope", &self.scope)
            .finish()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct McpConfigQuery {
    pub(crate) directory: String,
    pub(crate) mcp_name: String,
}

impl McpConfigQuery {
    pub(super) fn new(directory: &str, name: &str) -> Self {
        Self { directory: directory.to_owned(), mcp_name: name.to_owned() }
    }
}
