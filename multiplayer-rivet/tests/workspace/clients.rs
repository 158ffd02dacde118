//! Clients of workspaces, over the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sandbox_agent_multiplayer::{Error, ErrorKind, NewPrompt, Phase, WorkspaceClient};
use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces};
use tokio::time::timeout;

use crate::follower::{Follower, said, times_sent};
use crate::scene::{PATIENCE, counted, named, play, sandbox, workspaces};

async fn error(of: impl Future<Output = Result<WorkspaceClient, Error>>) -> Error {
    timeout(PATIENCE, of).await.unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn workspaces_are_found_made_and_refused() {
    let sandbox = sandbox().await;
    let opened = Arc::new(AtomicUsize::new(0));
    play(counted(sandbox.url(), opened.clone()), |actors| async move {
        let workspaces = RivetWorkspaces::new(actors.url());
        let stranger = error(workspaces.get_or_create("strange", Credentials::new(), None)).await;
        assert_eq!(*stranger.kind(), ErrorKind::Refused, "{stranger}");
        assert_eq!(opened.load(Ordering::Relaxed), 0, "nothing is started for somebody who is not let in");

        let missing = error(workspaces.get("none", named("ada"))).await;
        assert_eq!(*missing.kind(), ErrorKind::NotFound, "{missing}");

        let made = timeout(PATIENCE, workspaces.create("one", named("ada"), None)).await.unwrap().unwrap();
        assert_eq!(made.snapshot().workspace, "one");
        let again = error(workspaces.create("one", named("ada"), None)).await;
        assert_eq!(*again.kind(), ErrorKind::InvalidInput, "{again}");
        let found = timeout(PATIENCE, workspaces.get("one", named("ada"))).await.unwrap().unwrap();
        assert_eq!(found.snapshot().workspace, "one");

        for who in [Credentials::new(), named("ada").token("bad")] {
            let refused = error(workspaces.get("one", who)).await;
            assert_eq!(*refused.kind(), ErrorKind::Refused, "{refused}");
            assert_eq!(refused.to_string(), "say who you are");
        }

        let bob =
            timeout(PATIENCE, workspaces.get_or_create("one", named("bob"), None)).await.unwrap().unwrap();
        let refused = timeout(PATIENCE, bob.prompt(NewPrompt::new("say no"))).await.unwrap().unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Refused);
        let ada = Follower::of(made);
        assert_eq!(ada.prompt("p", "say yes").await.prompt_id, "p");
        assert_eq!(ada.over("p").await.phase, Phase::Done);
        let driven = ada.client.take_control().await.unwrap();
        assert!(driven.is_driver("ada"));
        let line = ada.agrees_with_the_store().await;
        assert_eq!((said(&line), times_sent(&line, "p")), ("yes".to_owned(), 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn who_does_not_drive_an_old_term_and_a_place_that_is_not_there_are_refused() {
    let sandbox = sandbox().await;
    play(workspaces(sandbox.url()), |actors| async move {
        let ada = Follower::enter(actors.url(), "terms", "ada").await;
        let eve = Follower::enter(actors.url(), "terms", "eve").await;
        let term = ada.client.request_control().await.unwrap().term;
        let refused = eve.client.prompt(NewPrompt::new("say no")).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::NotDriving { drivers: vec!["ada".to_owned()] });
        ada.client.give_control("eve").await.unwrap();
        let stale = ErrorKind::StaleControl { term: term + 1 };
        let refused = ada.client.prompt(NewPrompt::new("say late").term(term)).await.unwrap_err();
        assert_eq!(*refused.kind(), stale);
        assert_eq!(*eve.client.release_control(Some(term)).await.unwrap_err().kind(), stale);

        let last = eve.client.page(0, 1).await.unwrap().last;
        let refused = eve.client.page(last + 1000, 1).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::FutureSequence { .. }), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn floods_and_what_is_too_large_for_a_message_arrive_whole() {
    let sandbox = sandbox().await;
    play(workspaces(sandbox.url()), |actors| async move {
        let ada = Follower::enter(actors.url(), "large", "ada").await;
        let bob = Follower::enter(actors.url(), "large", "bob").await;
        ada.prompt("flood", "stream 5000 size=200; big 3000000; say after").await;
        let words = "é".repeat(512 * 1024);
        ada.prompt("words", &words).await;
        assert_eq!(ada.over("flood").await.phase, Phase::Done);
        assert_eq!(ada.over("words").await.phase, Phase::Done);
        let more = format!("{words}!");
        let refused = timeout(PATIENCE, ada.client.prompt(NewPrompt::new(more))).await.unwrap().unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::TooLarge { .. }), "{refused}");
        let line = ada.agrees_with_the_store().await;
        let line_of_bob = bob.agrees_with_the_store().await;
        assert_eq!(line.len(), line_of_bob.len());
        assert!(line.iter().any(|frame| frame.json().len() > 3_000_000));
        assert!(said(&line).contains("u5000 "));
    })
    .await;
}
