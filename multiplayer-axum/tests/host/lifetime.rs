//! How connections and workspaces end, and how workspaces come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use sandbox_agent_multiplayer::{ConnectionRequest, Error, ErrorKind, Workspace};
use sandbox_agent_multiplayer_axum::{HostOptions, Workspaces};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use sandbox_agent_testkit::Sandbox;
use sandbox_agent_testkit::proxy::Proxy;
use serde_json::json;

use crate::support::{Client, Host, serve, team, within};

#[tokio::test]
async fn who_is_cut_off_without_a_word_is_found_out() {
    let options = HostOptions::default().ping(Duration::from_millis(50)).silence(Duration::from_millis(400));
    let host = Host::with_options(options).await;
    let proxy = Proxy::start(host.address).await.unwrap();
    let mut ada = Client::connect(&format!("ws://{}/at/w/ws", proxy.address())).await;
    ada.say(&json!({ "type": "hello", "token": "ada" })).await;
    assert_eq!(ada.hear().await["type"], "welcome");
    let (mut bob, _) = host.enter("bob").await;
    proxy.half_open_all();
    let gone = bob.hear_until(|message| message["type"] == "presence").await;
    let here = gone["data"]["here"].as_array().unwrap();
    assert!(here.len() == 1 && here[0]["id"] == "bob", "who answers pings stays: {gone}");
}

#[tokio::test]
async fn a_server_that_ends_says_so_and_waits_for_nobody() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    // One that has not said hello yet.
    let mut mute = Client::connect(&host.ws()).await;
    let ending = tokio::spawn({
        let workspaces = host.workspaces.clone();
        async move { workspaces.shutdown().await }
    });
    for client in [&mut ada, &mut mute] {
        let (error, close) = client.farewell().await;
        assert_eq!((&error["code"], u16::from(close.code)), (&json!("closed"), 1001));
    }
    within(ending).await.unwrap();
    within(host.serving).await.unwrap();
    assert!(host.workspace.is_open(), "the workspace is its owner's to close");
}

#[tokio::test]
async fn a_workspace_that_is_closed_closes_its_connections() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    host.workspace.close().await.unwrap();
    let (error, close) = ada.farewell().await;
    assert_eq!((&error["code"], u16::from(close.code)), (&json!("closed"), 1001));
    let mut late = Client::connect(&host.ws()).await;
    late.say(&json!({ "type": "hello", "token": "ada" })).await;
    assert_eq!(late.farewell().await.0["code"], "closed");
}

#[tokio::test]
async fn a_workspace_that_was_taken_out_is_gone_for_who_comes_and_not_for_who_is_there() {
    let host = Host::start().await;
    let (mut ada, _) = host.enter("ada").await;
    assert!(host.workspaces.remove("w").is_some() && host.workspaces.get("w").is_none());
    let mut late = Client::connect(&host.ws()).await;
    late.say(&json!({ "type": "hello", "token": "ada" })).await;
    assert_eq!(late.farewell().await.0["code"], "not_found");
    ada.prompt("p", "say hello").await.unwrap();
}

#[tokio::test]
async fn a_workspace_is_opened_once_for_all_who_come_for_it_and_again_when_it_was_closed() {
    let sandbox = Arc::new(Sandbox::builder().quick_delete().start().await.unwrap());
    let opened = Arc::new(AtomicUsize::new(0));
    let workspaces = Workspaces::new().open_with({
        let (sandbox, opened) = (sandbox.clone(), opened.clone());
        move |request: ConnectionRequest| {
            let (sandbox, opened) = (sandbox.clone(), opened.clone());
            async move {
                team(request.token.as_deref())?;
                if request.workspace != "on-demand" {
                    return Err(Error::new(ErrorKind::NotFound, "there is no such workspace"));
                }
                opened.fetch_add(1, Ordering::SeqCst);
                let sdk = SandboxAgent::connect(sandbox.url()).await?;
                Workspace::builder(request.workspace, sdk)
                    .session(SessionRequest::new("default", "mock"))
                    .authorize_with(
                        |request: ConnectionRequest| async move { team(request.token.as_deref()) },
                    )
                    .open()
                    .await
            }
        }
    });
    let (address, _serving) = serve(workspaces.clone(), HostOptions::default()).await;
    let come = |id: &'static str, token: &'static str| async move {
        let mut client = Client::connect(&format!("ws://{address}/at/{id}/ws")).await;
        client.say(&json!({ "type": "hello", "token": token })).await;
        client.hear().await
    };
    assert_eq!(come("on-demand", "mallory").await["error"]["code"], "refused");
    assert_eq!(come("other", "ada").await["error"]["code"], "not_found");
    assert_eq!(opened.load(Ordering::SeqCst), 0);
    for welcome in join_all((0..10).map(|_| come("on-demand", "ada"))).await {
        assert_eq!(welcome["type"], "welcome");
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    workspaces.get("on-demand").unwrap().close().await.unwrap();
    assert_eq!(come("on-demand", "ada").await["type"], "welcome");
    assert_eq!(opened.load(Ordering::SeqCst), 2);
    workspaces.shutdown().await;
    workspaces.get("on-demand").unwrap().close().await.unwrap();
}
