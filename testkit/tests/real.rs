//! The real server under the testkit's hand.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Http, said};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn it_launches_the_scripted_agent_and_dies_with_it() {
    let mut server = RealServer::start(RealServerOptions::new()).await.unwrap();
    let http = Http::new(server.url());
    let session = http.session("a").await;
    http.prompt("a", &session, "p", "whoami").send().await.unwrap();
    let told = http.events("a", Some(2)).await.next().await;
    let pid = said(&told).split(' ').nth(1).unwrap().to_owned();
    let agent = std::path::Path::new("/proc").join(pid);
    assert!(agent.exists());

    server.kill();
    assert!(http.get("a", None).send().await.unwrap_err().is_connect());
    let gone = async {
        while agent.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), gone).await.unwrap();

    server.restart().await.unwrap();
    assert_eq!(http.get("a", None).send().await.unwrap().status(), 404);
    http.session("a").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn its_environment_reaches_the_agent() {
    let options = RealServerOptions::new().env("SCRIPTED_AGENT_FAIL_INIT", "error");
    let server = RealServer::start(options).await.unwrap();
    let http = Http::new(server.url());
    let params = serde_json::json!({"protocolVersion": 1});
    let answer = http.request("a", "i", "initialize", params).await;
    assert_eq!(answer["error"]["code"], -32603);
}
