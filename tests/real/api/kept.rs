//! Connections that are kept for what may be sent again.

use std::time::Duration;

use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::processes::ProcessRunRequest;
use sandbox_agent_testkit::proxy::Proxy;

use crate::server;

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_may_be_sent_again_shares_a_connection_where_told() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let builder = SandboxAgent::builder(proxy.url()).keep_connections(Duration::from_secs(60));
    let sdk = builder.connect().await.unwrap();
    sdk.fs().stat("/").await.unwrap();
    let before = proxy.connections();
    for _ in 0..5 {
        sdk.fs().stat("/").await.unwrap();
    }
    assert_eq!(proxy.connections(), before, "one is enough");
    for run in 1..=2 {
        sdk.processes().run(&ProcessRunRequest::new("true")).await.unwrap();
        assert_eq!(proxy.connections(), before + run, "what must not happen twice has its own");
    }
    // The other side closes what was kept.
    proxy.cut_all();
    sdk.fs().stat("/").await.unwrap();

    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let before = proxy.connections();
    for call in 1..=3 {
        sdk.fs().stat("/").await.unwrap();
        assert_eq!(proxy.connections(), before + call, "none is kept unless told");
    }
}
