//! Connections that break during a turn.

use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_testkit::proxy::Proxy;
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};

use crate::filter::Filter;
use crate::support::{assert_sound, begun, recorded, request, said, updates};
use crate::{builder, server};

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_cut_during_a_turn_loses_nothing() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("stream 200 rate=200");
    let mut seen = 0;
    while seen < 50 {
        seen += usize::from(turn.next().await.unwrap().unwrap().text().is_some());
    }
    proxy.cut_all();
    turn.await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert_eq!(updates(&events), (1..=200).collect::<Vec<_>>());
    session.prompt("say after").await.unwrap();
    assert!(said(&recorded(&session).await).ends_with("after"));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_response_lost_at_the_subscription_with_its_post_cut_ends_the_turn() {
    let server = server().await;
    // Takes the turn's response out of the running stream, and cuts the POST that waits for it.
    let filter = Filter::start(server.address()).await;
    let sdk = SandboxAgent::connect(filter.url()).await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("stream 20; say done").await.unwrap();
    assert!(filter.lost_the_response(), "the fault happened");
    let events = recorded(&session).await;
    assert_sound(&events);
    assert!(said(&events).ends_with("done"));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_turn_outlives_the_servers_own_limit_on_a_post() {
    let options = RealServerOptions::new().env("SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS", "2000");
    let server = RealServer::start(options).await.unwrap();
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let started = std::time::Instant::now();
    session.prompt("say a; think 5000; say b").await.unwrap();
    assert!(started.elapsed() > Duration::from_secs(4));
    assert_eq!(said(&recorded(&session).await), "ab");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_server_that_restarts_ends_the_turn_and_the_next_prompt_works() {
    let mut server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    server.restart().await.unwrap();
    let error = turn.await.unwrap_err();
    assert!(error.is_agent_gone(), "{error:?}");
    session.prompt("say again").await.unwrap();
    let events = recorded(&session).await;
    assert_sound(&events);
    assert!(said(&events).ends_with("again"));
}
