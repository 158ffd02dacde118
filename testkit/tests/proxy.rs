//! The proxy breaks what it is told to break.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Http, ids};
use sandbox_agent_testkit::Sandbox;
use sandbox_agent_testkit::proxy::{Policy, Proxy};
use tokio::time::Instant;

async fn start() -> (Sandbox, Proxy, Http) {
    let sandbox = Sandbox::start().await;
    let proxy = Proxy::start(sandbox.address()).await.unwrap();
    let http = Http::new(proxy.url());
    (sandbox, proxy, http)
}

#[tokio::test]
async fn it_passes_everything_on() {
    let (_sandbox, proxy, http) = start().await;
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    http.prompt("a", &session, "p", "stream 500; big 500000").send().await.unwrap();
    assert_eq!(events.until_response("p").await.len(), 502);
    assert!(proxy.connections() >= 2);
    proxy.wait_for_connections(2).await;
}

#[tokio::test]
async fn it_cuts_what_is_open() {
    let (_sandbox, proxy, http) = start().await;
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    proxy.cut_all();
    assert!(events.frame().await.unwrap().is_err());
    let post = http.prompt("a", &session, "p", "say x").send().await;
    assert_eq!(post.unwrap().status(), 200);
    assert_eq!(ids(&http.events("a", Some(2)).await.take(2).await), [3, 4]);
}

#[tokio::test]
async fn it_cuts_posts_and_spares_gets() {
    let (sandbox, proxy, http) = start().await;
    let session = Http::new(sandbox.url()).session("a").await;
    proxy.policy(|line| if line.starts_with("POST ") { Policy::refuse() } else { Policy::pass() });
    assert!(http.prompt("a", &session, "p", "say x").send().await.is_err());
    assert_eq!(sandbox.prompts_received().len(), 0);
    assert_eq!(ids(&http.events("a", None).await.take(2).await), [1, 2]);
}

#[tokio::test]
async fn it_cuts_after_so_many_bytes() {
    let (sandbox, proxy, http) = start().await;
    let direct = Http::new(sandbox.url());
    let session = direct.session("a").await;
    direct.prompt("a", &session, "p", "stream 100").send().await.unwrap();
    proxy.policy(|_| Policy::pass().cut_after(4000));
    let mut events = http.events("a", Some(2)).await;
    let mut seen = 0;
    while let Some(Ok(_)) = events.frame().await {
        seen += 1;
    }
    assert!((1..100).contains(&seen), "{seen}");
}

#[tokio::test]
async fn it_stalls_and_resumes() {
    let (_sandbox, proxy, http) = start().await;
    let session = http.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    proxy.stall_all();
    // Over a new connection, for the old ones are stalled.
    let fresh = Http::new(proxy.url());
    fresh.prompt("a", &session, "p", "say x").send().await.unwrap();
    assert!(events.silent_for(Duration::from_millis(100)).await);
    proxy.resume_all();
    assert_eq!(ids(&events.take(2).await), [3, 4]);
}

#[tokio::test]
async fn it_refuses_new_connections_for_a_time() {
    let (_sandbox, proxy, http) = start().await;
    proxy.stop_listening().await;
    assert!(http.get("a", None).send().await.unwrap_err().is_connect());
    proxy.listen_again().await.unwrap();
    assert_eq!(http.get("a", None).send().await.unwrap().status(), 404);
}

#[tokio::test(start_paused = true)]
async fn it_is_slow() {
    let (sandbox, proxy, http) = start().await;
    let direct = Http::new(sandbox.url());
    let session = direct.session("a").await;
    direct.prompt("a", &session, "p", "big 100000").send().await.unwrap();
    proxy.policy(|_| Policy::pass().slow(10_000));
    let since = Instant::now();
    http.events("a", Some(2)).await.take(1).await;
    assert!((9..12).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}
