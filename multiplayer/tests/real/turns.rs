//! Turns: fast ones, and those that are broken.

use sandbox_agent_multiplayer::{FrameBody, NewPrompt, Phase};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{MemorySessionPersistDriver, SessionEventExt};

use crate::{is_over, open, owner, server, until};

fn words(frames: &[std::sync::Arc<sandbox_agent_multiplayer::Frame>]) -> String {
    let text = |body: &FrameBody| match body {
        FrameBody::SessionEvent(event) => event.agent_text(),
        _ => None,
    };
    frames.iter().filter_map(|frame| text(&frame.body)).collect()
}

#[tokio::test]
#[ignore = "needs the real server"]
async fn ten_that_look_on_have_all_of_a_fast_turn() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let driver = SqliteSessionPersistDriver::open(folder.path().join("s.db")).await.unwrap();
    let workspace = open(&server, driver).await;
    let ada = owner(&workspace, "ada").await;
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let mut frames = ada.frames().unwrap();
            tokio::spawn(async move { words(&until(&mut frames, |body| is_over(body, "fast")).await) })
        })
        .collect();
    ada.prompt(NewPrompt::with_id("fast", "stream 5000 rate=2500")).await.unwrap();
    let all: String = (1..=5000).map(|n| format!("u{n} ")).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), all);
    }
    workspace.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server"]
async fn an_agent_that_dies_in_its_turn_fails_the_prompt_and_the_next_one_runs() {
    let server = server().await;
    let workspace = open(&server, MemorySessionPersistDriver::new()).await;
    let ada = owner(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    ada.prompt(NewPrompt::with_id("dies", "say begun; exit 3")).await.unwrap();
    ada.prompt(NewPrompt::with_id("lives", "say alive")).await.unwrap();
    let seen = until(&mut frames, |body| is_over(body, "dies")).await;
    let FrameBody::State(state) = &seen.last().unwrap().body else { unreachable!() };
    let prompt = state.prompt.as_ref().unwrap();
    assert_eq!(prompt.phase, Phase::Failed);
    assert_eq!(prompt.error.as_ref().unwrap().delivery.as_deref(), Some("executed"));
    let seen = until(&mut frames, |body| is_over(body, "lives")).await;
    assert!(words(&seen).contains("alive"));
    workspace.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server"]
async fn a_sandbox_that_is_killed_fails_the_prompt_in_time() {
    let mut server = server().await;
    let workspace = open(&server, MemorySessionPersistDriver::new()).await;
    let ada = owner(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    ada.prompt(NewPrompt::with_id("lost", "say begun; think 600000")).await.unwrap();
    until(&mut frames, |body| matches!(body, FrameBody::SessionEvent(event) if event.agent_text().is_some()))
        .await;
    server.kill();
    let seen = until(&mut frames, |body| is_over(body, "lost")).await;
    let FrameBody::State(state) = &seen.last().unwrap().body else { unreachable!() };
    let error = state.prompt.as_ref().unwrap().error.as_ref().unwrap();
    assert_eq!((&*error.code, error.delivery.as_deref()), ("sandbox", Some("executed")));
    // What is stored is still to be had.
    assert!(
        words(&until(&mut ada.frames_after(0).unwrap(), |body| is_over(body, "lost")).await)
            .contains("begun")
    );
}
