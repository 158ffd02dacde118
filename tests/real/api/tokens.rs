//! Tokens of a provider, on calls, on streams of output and on WebSockets.

use futures::StreamExt;
use sandbox_agent_sdk::api::processes::{FollowLogs, LogEvent, ProcessCreateRequest};
use sandbox_agent_sdk::{SandboxAgent, Token, TokenProvider, async_trait};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};

/// Gives one that the server refuses, before each request anew, and then the right one.
struct Stale;

#[async_trait]
impl TokenProvider for Stale {
    async fn token(
        &self,
        refused: Option<&Token>,
    ) -> Result<Token, Box<dyn std::error::Error + Send + Sync>> {
        Ok(if refused.is_some() { "secret-token" } else { "stale-token" }.into())
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_is_refused_for_its_token_is_sent_with_another_one() {
    let server = RealServer::start(RealServerOptions::new().token("secret-token")).await.unwrap();
    let sdk = SandboxAgent::builder(server.url()).token_provider(Stale).connect().await.unwrap();
    let processes = sdk.processes();
    let request = ProcessCreateRequest::new("sh").args(["-c", "stty -echo; read a; echo \"<$a>\""]).tty(true);
    let info = processes.create(&request).await.unwrap();
    assert_eq!(processes.list(None).await.unwrap().len(), 1, "a POST that was refused did nothing");
    #[cfg(feature = "websocket")]
    let mut shown = {
        let terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
        terminal.input().write("typed\n").await.unwrap();
        terminal
    };
    #[cfg(not(feature = "websocket"))]
    let mut shown = {
        processes.input(&info.id, "typed\n").await.unwrap();
        processes.follow_logs(&info.id, FollowLogs::new()).await.unwrap()
    };
    let mut text = Vec::new();
    while let Some(event) = shown.next().await {
        if let LogEvent::Output(output) = event.unwrap() {
            text.extend_from_slice(&output.bytes);
        }
    }
    assert!(String::from_utf8_lossy(&text).contains("<typed>"));
}
