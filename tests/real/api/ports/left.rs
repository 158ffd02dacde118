//! Nothing is left in the sandbox.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::join_all;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::processes::{ExecRequest, Processes};
use sandbox_agent_testkit::proxy::{Policy, Proxy};
use sandbox_agent_testkit::real::RealServer;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::services::echo;
use super::{PATIENCE, in_use, nothing_is_left};
use crate::api::connected;

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_dropped_forward_leaves_nothing() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let forward = sdk.ports().forward(echo().await).await.unwrap();
    let address = forward.address();
    let mut locals = join_all((0..3).map(|_| in_use(&forward))).await;
    assert_eq!(forward.connections(), 3);
    assert_eq!(processes.list(None).await.unwrap().len(), 3);
    drop(forward);
    for local in &mut locals {
        let outcome = timeout(PATIENCE, local.read(&mut [0; 10])).await.unwrap();
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
    nothing_is_left(&processes).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");

    let forward = sdk.ports().forward(echo().await).await.unwrap();
    let _local = in_use(&forward).await;
    forward.close().await;
    assert_eq!(processes.list(None).await.unwrap(), [], "close waits for it");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_relay_is_ended_also_when_the_first_try_does_not_arrive() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    // The service does not end by itself, so that its relay has to be killed.
    let _socket = listener.accept().await.unwrap();
    let mut tried = [false; 2];
    proxy.policy(move |line| {
        let step = if line.contains("/kill") { 0 } else { 1 };
        let is_step = step == 0 || line.starts_with("DELETE");
        if is_step && !std::mem::replace(&mut tried[step], true) { Policy::refuse() } else { Policy::pass() }
    });
    drop(stream);
    nothing_is_left(&sdk.processes()).await;
}

/// Through a proxy, whose requests to start a process are answered seconds after it was started.
async fn answered_late() -> (RealServer, Proxy, SandboxAgent, Processes) {
    let (server, direct) = connected().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    proxy.policy(|line| {
        if line.starts_with("POST /v1/processes ") { Policy::pass().slow(300) } else { Policy::pass() }
    });
    (server, proxy, sdk, direct.processes())
}

async fn one_is_there(processes: &Processes) {
    while processes.list(None).await.unwrap().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_call_that_is_dropped_before_its_answer_leaves_nothing() {
    let (_server, _proxy, sdk, processes) = answered_late().await;
    let (ports, port, sdks) = (sdk.ports(), echo().await, sdk.processes());
    tokio::select! {
        opened = ports.connect(port) => panic!("{opened:?}"),
        () = one_is_there(&processes) => {}
    }
    nothing_is_left(&processes).await;
    tokio::select! {
        done = sdks.exec(ExecRequest::new("sleep").arg("1000")) => panic!("{done:?}"),
        () = one_is_there(&processes) => {}
    }
    nothing_is_left(&processes).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn close_waits_also_for_a_connection_that_is_only_being_made() {
    let (_server, _proxy, sdk, processes) = answered_late().await;
    let forward = sdk.ports().forward(echo().await).await.unwrap();
    let _local = TcpStream::connect(forward.address()).await.unwrap();
    one_is_there(&processes).await;
    timeout(PATIENCE, forward.close()).await.unwrap();
    assert_eq!(processes.list(None).await.unwrap(), []);
}
