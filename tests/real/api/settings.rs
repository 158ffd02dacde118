//! Agents, what they are given, and the server itself.

use sandbox_agent_sdk::api::agents::{AgentInstallRequest, AgentsQuery};
use sandbox_agent_sdk::api::config::{
    McpLocalServer, McpOAuthConfig, McpRemoteServer, McpRemoteTransport, McpServerConfig, SkillSource,
    SkillsConfig,
};
use tempfile::tempdir;

use super::{code, connected};
use crate::support::request;

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn agents_are_listed_looked_at_and_installed() {
    let (_server, sdk) = connected().await;
    let agents = sdk.agents();
    let listed = agents.list(&AgentsQuery::new()).await.unwrap();
    assert!(listed.iter().any(|agent| agent.id == "claude" && agent.capabilities.permissions), "{listed:?}");
    assert!(listed.iter().any(|agent| agent.id == "mock"), "{listed:?}");

    let query = AgentsQuery::new().config(true).no_cache(true);
    let mock = agents.get("mock", &query).await.unwrap();
    assert!(mock.config_options.unwrap().iter().any(|option| option["id"] == "model"));
    assert_eq!(code(&agents.get("nobody", &query).await.unwrap_err()), "unsupported_agent");

    let installed = agents.install("mock", &AgentInstallRequest::new().reinstall(true)).await.unwrap();
    assert_eq!(installed.artifacts[0].kind, "agent_process");
    assert_eq!(
        code(&agents.install("nobody", &AgentInstallRequest::new()).await.unwrap_err()),
        "unsupported_agent"
    );
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn agent_processes_are_listed_and_closed() {
    let (_server, sdk) = connected().await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let id = session.record().last_connection_id;
    let servers = sdk.acp_servers();
    let listed = servers.list().await.unwrap();
    assert_eq!(listed.iter().map(|one| one.server_id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    assert_eq!(listed[0].agent, "mock");
    assert!(listed[0].created_at_ms > 0);
    servers.close(&id).await.unwrap();
    servers.close("nobody").await.unwrap();
    assert_eq!(servers.list().await.unwrap(), []);
    assert_eq!(sdk.health().await.unwrap().status, "ok");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn mcp_servers_are_kept_as_they_are() {
    let (_server, sdk) = connected().await;
    let (config, folder) = (sdk.config(), tempdir().unwrap());
    let folder = folder.path().to_str().unwrap();
    let local = McpLocalServer::new("npx").args(["-y", "server"]).env("KEY", "value");
    let oauth = McpOAuthConfig::new().client_id("id").client_secret("secret").scope("all");
    let remote = McpRemoteServer::new("https://mcp.example.com").oauth(oauth).timeout_ms(7_u64);
    let servers: [McpServerConfig; 4] = [
        local.cwd("/repo").enabled(false).timeout_ms(5_u64).into(),
        McpLocalServer::new(vec!["npx".to_owned(), "-y".to_owned()]).into(),
        remote.header("x-team", "blue").env_header("x-key", "KEY").transport(McpRemoteTransport::Sse).into(),
        McpRemoteServer::new("http://mcp").oauth(false).bearer_token_env_var("TOKEN").enabled(true).into(),
    ];
    for server in servers {
        config.set_mcp(folder, "one", &server).await.unwrap();
        assert_eq!(config.mcp(folder, "one").await.unwrap(), Some(server));
    }
    assert_eq!(config.mcp(folder, "two").await.unwrap(), None);
    config.delete_mcp(folder, "one").await.unwrap();
    assert_eq!(config.mcp(folder, "one").await.unwrap(), None);
    let unknown = McpRemoteServer::new("http://mcp").transport("pigeon");
    let error = config.set_mcp(folder, "one", &unknown.into()).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 422);
    assert!(error.to_string().contains("pigeon"), "{error}");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn skills_are_kept_as_they_are() {
    let (_server, sdk) = connected().await;
    let (config, folder) = (sdk.config(), tempdir().unwrap());
    let folder = folder.path().to_str().unwrap();
    let source = SkillSource::new("github", "owner/repository").skills(["review"]);
    let skills =
        SkillsConfig::new([source.reference("main").subpath("skills"), SkillSource::new("local", "/s")]);
    config.set_skills(folder, "ours", &skills).await.unwrap();
    assert_eq!(config.skills(folder, "ours").await.unwrap(), Some(skills));
    config.delete_skills(folder, "ours").await.unwrap();
    assert_eq!(config.skills(folder, "ours").await.unwrap(), None);
}
