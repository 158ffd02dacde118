//! The same with the real server and an agent that is a process.

use std::sync::Arc;

use sandbox_agent_multiplayer::{FrameBody, Phase};
use sandbox_agent_sdk::PermissionReply;
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::follower::{Follower, said, times_sent};
use crate::scene::{PATIENCE, play, workspaces};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, and the real server at SANDBOX_AGENT_BIN"]
async fn two_share_a_session_of_the_real_server_which_then_dies_during_a_turn() {
    let server = RealServer::start(RealServerOptions::new()).await.unwrap();
    let workspaces = workspaces(server.url());
    let server = Arc::new(Mutex::new(server));
    play(workspaces, |actors| async move {
        let ada = Follower::enter(actors.url(), "real", "ada").await;
        let eve = Follower::enter(actors.url(), "real", "eve").await;
        ada.prompt("asks", "stream 300; ask Delete it?; say done").await;
        let mut frames = eve.client.frames_after(0);
        let asked = async {
            loop {
                if let FrameBody::PermissionRequested(asked) = &frames.recv().await.unwrap().unwrap().body {
                    return asked.clone();
                }
            }
        };
        let asked = timeout(PATIENCE, asked).await.unwrap();
        let answer = PermissionReply::Once;
        let refused = eve.client.respond_permission(&asked.session_id, &asked.permission_id, answer.clone());
        assert_eq!(refused.await.unwrap_err().to_failure().code, "not_driving");
        ada.client.respond_permission(&asked.session_id, &asked.permission_id, answer).await.unwrap();
        assert_eq!(eve.over("asks").await.phase, Phase::Done);

        ada.prompt("cut", "say begun; think 60000; say ended").await;
        eve.hears("begun").await;
        server.lock().await.kill();
        server.lock().await.restart().await.unwrap();
        let cut = ada.over("cut").await;
        assert_eq!(cut.phase, Phase::Failed, "{cut:?}");
        assert_eq!(cut.error.unwrap().code, "sandbox");
        ada.prompt("next", "say next").await;
        assert_eq!(eve.over("next").await.phase, Phase::Done);
        let line = ada.agrees_with_the_store().await;
        assert_eq!(line.len(), eve.agrees_with_the_store().await.len());
        assert!(said(&line).ends_with("permission: allow-oncedonebegunnext"), "{}", said(&line));
        assert_eq!((times_sent(&line, "asks"), times_sent(&line, "cut")), (1, 1));
    })
    .await;
}
