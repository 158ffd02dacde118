//! Sleep, and what holds it off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandbox_agent_multiplayer::{ControlPolicy, Phase, Status};
use sandbox_agent_multiplayer_rivet::{ActorLimits, RivetWorkspaces};
use sandbox_agent_testkit::Sandbox;
use tokio::time::{Instant, sleep, timeout};

use crate::follower::{Follower, said, times_sent};
use crate::scene::{PATIENCE, counted, named, play, sandbox};

const IDLE: Duration = Duration::from_secs(1);

/// Waits until the sandbox has nobody any more that listens to it: the actor has parted.
async fn parted(sandbox: &Sandbox) {
    let since = Instant::now();
    while sandbox.open_streams() > 0 {
        assert!(since.elapsed() < PATIENCE, "the actor sleeps");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn after_sleep_all_is_as_it_was_and_the_agent_is_the_same() {
    let sandbox = Arc::new(sandbox().await);
    let opened = Arc::new(AtomicUsize::new(0));
    let workspaces = counted(sandbox.url(), opened.clone())
        .actor_limits(ActorLimits::default().sleep(IDLE))
        .control(ControlPolicy::default());
    play(workspaces, |actors| async move {
        let ada = Follower::enter(actors.url(), "sleepy", "ada").await;
        ada.prompt("first", "say one; whoami").await;
        assert_eq!(ada.over("first").await.phase, Phase::Done);
        let before = ada.agrees_with_the_store().await;
        let was = ada.client.snapshot();
        assert!(was.control.is_driver("ada"));
        ada.client.dispose();
        parted(&sandbox).await;
        assert_eq!(opened.load(Ordering::Relaxed), 1);

        let again = RivetWorkspaces::new(actors.url());
        let bob = timeout(PATIENCE, again.get(["team", "sleepy"], named("bob"))).await.unwrap().unwrap();
        let now = bob.snapshot();
        assert_eq!(opened.load(Ordering::Relaxed), 2);
        assert_eq!((&now.recent, now.sessions.len()), (&was.recent, was.sessions.len()));
        let ada = Follower::enter(actors.url(), "sleepy", "ada").await;
        ada.prompt("second", "whoami").await;
        assert_eq!(ada.over("second").await.phase, Phase::Done);
        let after = ada.agrees_with_the_store().await;
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old.json(), new.json());
        }
        let words = said(&after);
        let (first, second) = words.strip_prefix("one").unwrap().split_at((words.len() - 3) / 2);
        assert_eq!(first, second, "the same process answers");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_turn_holds_sleep_off_also_when_nobody_is_connected() {
    let sandbox = Arc::new(sandbox().await);
    let opened = Arc::new(AtomicUsize::new(0));
    let workspaces = counted(sandbox.url(), opened.clone()).actor_limits(ActorLimits::default().sleep(IDLE));
    play(workspaces, |actors| async move {
        let ada = Follower::enter(actors.url(), "busy", "ada").await;
        ada.prompt("long", "say begun; think 6000; say ended").await;
        ada.hears("begun").await;
        ada.client.dispose();
        drop(ada);
        let since = Instant::now();
        parted(&sandbox).await;
        assert!(since.elapsed() > Duration::from_secs(5), "it slept after {:?}", since.elapsed());
        assert_eq!(opened.load(Ordering::Relaxed), 1);

        let ada = Follower::enter(actors.url(), "busy", "ada").await;
        assert_eq!(ada.over("long").await.phase, Phase::Done);
        let line = ada.agrees_with_the_store().await;
        assert_eq!((said(&line), times_sent(&line, "long")), ("begunended".to_owned(), 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_workspace_that_is_destroyed_ends_its_agents_and_is_there_no_more() {
    let sandbox = Arc::new(sandbox().await);
    play(counted(sandbox.url(), Arc::default()), |actors| async move {
        let ada = Follower::enter(actors.url(), "gone", "ada").await;
        ada.prompt("p", "say here").await;
        assert_eq!(ada.over("p").await.phase, Phase::Done);
        actors.destroy(&actors.create("workspace", "team/gone").await).await;
        let ended = |sandbox: &Sandbox| sandbox.requests().iter().any(|request| request.method == "DELETE");
        timeout(PATIENCE, sandbox.wait_for(ended)).await.unwrap().unwrap();

        // Whoever was in it does not make it again.
        let mut status = ada.client.status();
        let over = timeout(PATIENCE, status.wait_for(Status::is_over)).await;
        drop(over.expect("its client is over").unwrap());
        let workspaces = RivetWorkspaces::new(actors.url());
        let gone = timeout(PATIENCE, workspaces.get(["team", "gone"], named("ada"))).await.unwrap();
        assert_eq!(gone.unwrap_err().to_failure().code, "not_found");
    })
    .await;
}
