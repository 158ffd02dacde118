//! What agents in a folder are given: MCP servers and skills.

mod mcp;
mod skills;

pub use mcp::{
    McpCommand, McpLocalServer, McpOAuth, McpOAuthConfig, McpRemoteServer, McpRemoteTransport,
    McpServerConfig, Unknown,
};
pub use skills::{SkillSource, SkillsConfig};

use super::call::Api;
use crate::error::{Error, Result};
use mcp::McpConfigQuery;
use skills::SkillsConfigQuery;

pub(crate) mod operations {
    //! Where they are.

    use super::super::operation::Operation;
    use super::*;

    pub(crate) const MCP: Operation<McpConfigQuery, (), McpServerConfig> = Operation::get("/v1/config/mcp");
    pub(crate) const SET_MCP: Operation<McpConfigQuery, McpServerConfig, ()> =
        Operation::put("/v1/config/mcp");
    pub(crate) const DELETE_MCP: Operation<McpConfigQuery, (), ()> = Operation::delete("/v1/config/mcp");
    pub(crate) const SKILLS: Operation<SkillsConfigQuery, (), SkillsConfig> =
        Operation::get("/v1/config/skills");
    pub(crate) const SET_SKILLS: Operation<SkillsConfigQuery, SkillsConfig, ()> =
        Operation::put("/v1/config/skills");
    pub(crate) const DELETE_SKILLS: Operation<SkillsConfigQuery, (), ()> =
        Operation::delete("/v1/config/skills");
}

/// What agents in a folder are given. A cheap clone.
///
/// The server keeps it in the folder, by name. Each call is bounded by [`Limits::call`](crate::Limits::call) a try.
#[derive(Clone, Debug)]
pub struct Config {
    pub(in crate::api) api: Api,
}

impl Config {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }

    /// An MCP server of a folder's; none where the folder has none of this name.
    pub async fn mcp(&self, directory: &str, name: &str) -> Result<Option<McpServerConfig>> {
        found(self.api.call(&operations::MCP, &[], &McpConfigQuery::new(directory, name), &()).await)
    }

    /// Gives agents in a folder an MCP server; one of this name is replaced.
    pub async fn set_mcp(&self, directory: &str, name: &str, server: &McpServerConfig) -> Result<()> {
        self.api.call(&operations::SET_MCP, &[], &McpConfigQuery::new(directory, name), server).await
    }

    /// Takes an MCP server away; that there is none of this name is no error.
    pub async fn delete_mcp(&self, directory: &str, name: &str) -> Result<()> {
        self.api.call(&operations::DELETE_MCP, &[], &McpConfigQuery::new(directory, name), &()).await
    }

    /// Skills of a folder's; none where the folder has none of this name.
    pub async fn skills(&self, directory: &str, name: &str) -> Result<Option<SkillsConfig>> {
        found(self.api.call(&operations::SKILLS, &[], &SkillsConfigQuery::new(directory, name), &()).await)
    }

    /// Gives agents in a folder skills; those of this name are replaced.
    pub async fn set_skills(&self, directory: &str, name: &str, skills: &SkillsConfig) -> Result<()> {
        self.api.call(&operations::SET_SKILLS, &[], &SkillsConfigQuery::new(directory, name), skills).await
    }

    /// Takes skills away; that there are none of this name is no error.
    pub async fn delete_skills(&self, directory: &str, name: &str) -> Result<()> {
        self.api.call(&operations::DELETE_SKILLS, &[], &SkillsConfigQuery::new(directory, name), &()).await
    }
}

/// The server refuses what isn't there. A refusal of somebody else's is no such answer.
fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    let missing = |error: &Error| {
        error.problem().is_some_and(|problem| problem.status == 404 && problem.is_the_servers())
    };
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
