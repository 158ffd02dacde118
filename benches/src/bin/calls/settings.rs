//! The server itself, its agents, and what they are given.

use anyhow::{Context, Result};
use reqwest::Method;
use sandbox_agent_sdk::api::agents::{AgentInfo, AgentsQuery};
use sandbox_agent_sdk::api::config::{McpLocalServer, McpServerConfig, SkillSource, SkillsConfig};
use sandbox_agent_sdk::api::server::{AcpServerInfo, HealthResponse};
use serde::Deserialize;
use serde_json::json;

use crate::bare::answer;
use crate::bench::Bench;

#[derive(Deserialize)]
struct Agents {
    agents: Vec<AgentInfo>,
}

#[derive(Deserialize)]
struct Servers {
    servers: Vec<AcpServerInfo>,
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<()> {
    let (sdk, bare) = (bench.sdk.clone(), bench.bare.clone());
    let health = async || bare.get::<HealthResponse>("/v1/health", &[]).await;
    bench.compare("health", async || Ok(sdk.health().await?), health).await?;

    let servers = async || Ok(bare.get::<Servers>("/v1/acp", &[]).await?.servers);
    bench.compare("acp_servers list", async || Ok(sdk.acp_servers().list().await?), servers).await?;

    let agents = async || Ok(bare.get::<Agents>("/v1/agents", &[]).await?.agents);
    let query = AgentsQuery::new();
    bench.compare("agents list", async || Ok(sdk.agents().list(&query).await?), agents).await?;
    configuration(bench).await
}

async fn configuration(bench: &mut Bench) -> Result<()> {
    let (config, bare) = (bench.sdk.config(), bench.bare.clone());
    let folder = bench.path("");
    let query = [("directory", folder.as_str()), ("mcpName", "files")];
    let server: McpServerConfig = McpLocalServer::new("npx").args(["-y", "some-server"]).into();
    let body = json!({"type": "local", "command": "npx", "args": ["-y", "some-server"]});
    let put = async || {
        let request = bare.request(Method::PUT, "/v1/config/mcp", &query)?.json(&body);
        answer(request).await.map(drop)
    };
    let ours = async || Ok(config.set_mcp(&folder, "files", &server).await?);
    bench.compare("config set_mcp", ours, put).await?;
    let get = async || bare.get::<McpServerConfig>("/v1/config/mcp", &query).await;
    let ours = async || config.mcp(&folder, "files").await?.context("it was set");
    bench.compare("config mcp", ours, get).await?;
    let before = async || Ok(config.set_mcp(&folder, "files", &server).await?);
    let delete = async || answer(bare.request(Method::DELETE, "/v1/config/mcp", &query)?).await.map(drop);
    let ours = async || Ok(config.delete_mcp(&folder, "files").await?);
    bench.compare_after("config delete_mcp", before, ours, delete).await?;

    let query = [("directory", folder.as_str()), ("skillName", "review")];
    let skills = SkillsConfig::new([SkillSource::new("local", "/skills")]);
    let body = json!({"sources": [{"type": "local", "source": "/skills"}]});
    let put = async || {
        let request = bare.request(Method::PUT, "/v1/config/skills", &query)?.json(&body);
        answer(request).await.map(drop)
    };
    let ours = async || Ok(config.set_skills(&folder, "review", &skills).await?);
    bench.compare("config set_skills", ours, put).await?;
    let get = async || bare.get::<SkillsConfig>("/v1/config/skills", &query).await;
    let ours = async || config.skills(&folder, "review").await?.context("they were set");
    bench.compare("config skills", ours, get).await
}
