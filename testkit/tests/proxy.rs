//! The proxy breaks what it is told to break.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Http, ids};
use sandbox_agent_testkit::Sandbox;
use sandbox_agent_testkit::proxy::{Policy, Proxy, Way};
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
async fn it_cuts_in_the_middle_of_what_is_sent() {
    let (sandbox, proxy, http) = start().await;
    let session = Http::new(sandbox.url()).session("a").await;
    proxy.policy(|_| Policy::pass().cut_after_sent(20_000));
    let post = http.prompt("a", &session, "p", &format!("say {}", "x".repeat(100_000))).send().await;
    assert!(post.is_err(), "{post:?}");
    assert_eq!(sandbox.prompts_received().len(), 0);
    http.prompt("a", &session, "q", "say x").send().await.unwrap();
    assert_eq!(sandbox.prompts_received().len(), 1, "a smaller one goes through");
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

#[tokio::test(start_paused = true)]
async fn open_connections_become_slow_and_fast_again() {
    let (sandbox, proxy, http) = start().await;
    let direct = Http::new(sandbox.url());
    let session = direct.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    proxy.slow_all(10_000);
    let since = Instant::now();
    direct.prompt("a", &session, "p", "big 100000").send().await.unwrap();
    events.take(1).await;
    assert!(since.elapsed().as_secs() >= 9, "{:?}", since.elapsed());
    events.take(1).await;
    proxy.resume_all();
    let since = Instant::now();
    direct.prompt("a", &session, "q", "big 100000").send().await.unwrap();
    events.take(1).await;
    assert!(since.elapsed().as_secs() < 1, "{:?}", since.elapsed());
}

#[tokio::test]
async fn what_the_server_sends_vanishes_and_nothing_is_closed() {
    let (sandbox, proxy, http) = start().await;
    let direct = Http::new(sandbox.url());
    let session = direct.session("a").await;
    let mut events = http.events("a", Some(2)).await;
    proxy.lose_all(Way::Down);
    direct.prompt("a", &session, "p", "say x").send().await.unwrap();
    assert!(events.silent_for(Duration::from_millis(100)).await);
    // What is lost stays lost, and the end of the connection with it.
    proxy.resume_all();
    sandbox.faults().cut_streams();
    assert!(events.silent_for(Duration::from_millis(100)).await);
    assert_eq!(ids(&http.events("a", Some(2)).await.take(2).await), [3, 4]);
}

#[tokio::test]
async fn what_the_client_sends_vanishes() {
    let (sandbox, proxy, http) = start().await;
    let session = http.session("a").await;
    proxy.policy(|line| match line.starts_with("POST ") {
        true => Policy::pass().lose(Way::Up),
        false => Policy::pass(),
    });
    let fresh = Http::new(proxy.url());
    let post = fresh.prompt("a", &session, "p", "say x").send();
    assert!(tokio::time::timeout(Duration::from_millis(100), post).await.is_err());
    assert_eq!(sandbox.prompts_received().len(), 0);
    assert_eq!(ids(&fresh.events("a", None).await.take(2).await), [1, 2]);
}

#[tokio::test]
async fn a_post_is_delivered_and_never_answered() {
    let (sandbox, proxy, http) = start().await;
    let session = http.session("a").await;
    proxy.policy(|line| match line.starts_with("POST ") {
        true => Policy::pass().lose(Way::Down),
        false => Policy::pass(),
    });
    let fresh = Http::new(proxy.url());
    let post = fresh.prompt("a", &session, "p", "say x").send();
    assert!(tokio::time::timeout(Duration::from_millis(100), post).await.is_err());
    assert_eq!(sandbox.prompts_received().len(), 1);
    assert_eq!(ids(&fresh.events("a", Some(2)).await.take(2).await), [3, 4]);
}

#[tokio::test]
async fn a_half_open_connection_hides_the_end_of_either_side() {
    let (sandbox, proxy, http) = start().await;
    let session = http.session("a").await;
    let mut kept = http.events("a", Some(2)).await;
    let given_up = http.events("a", Some(2)).await;
    sandbox.wait_for(|sandbox| sandbox.open_streams() == 2).await.unwrap();
    proxy.half_open_all();
    drop(given_up);
    let fresh = Http::new(proxy.url());
    fresh.prompt("a", &session, "p", "say x").send().await.unwrap();
    assert!(kept.silent_for(Duration::from_millis(100)).await);
    assert_eq!(sandbox.open_streams(), 2);
    proxy.cut_all();
    assert!(kept.frame().await.unwrap().is_err());
}
