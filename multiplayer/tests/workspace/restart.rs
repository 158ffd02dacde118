//! What a workspace is like when it is opened again.

use sandbox_agent_multiplayer::{FrameBody, Limits, Member, NewPrompt, Phase, Workspace};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{MemorySessionPersistDriver, SessionEventExt};
use sandbox_agent_testkit::Sandbox;
use tokio::time::timeout;

use crate::{PATIENCE, ask, builder, join, of_prompt, over, said, sandbox, until, whole_line};

/// The workspace as the store has it, and somebody in it.
async fn enter(sandbox: &Sandbox, driver: &MemorySessionPersistDriver) -> (Workspace, Member) {
    let workspace = builder(sandbox, driver.clone()).await.open().await.unwrap();
    let ada = join(&workspace, "ada").await;
    (workspace, ada)
}

/// Leaves the workspace while the agent works on the first of these, once it has said something.
async fn leave_in_a_turn(workspace: Workspace, ada: Member, prompts: impl IntoIterator<Item = NewPrompt>) {
    let mut frames = ada.frames().unwrap();
    for prompt in prompts {
        ada.prompt(prompt).await.unwrap();
    }
    until(&mut frames, |body| matches!(body, FrameBody::SessionEvent(event) if event.agent_text().is_some()))
        .await;
    drop((ada, frames));
    workspace.detach().await.unwrap();
}

#[tokio::test]
async fn history_and_control_are_as_they_were_and_the_line_goes_on() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = || async { SqliteSessionPersistDriver::open(&path).await.unwrap() };
    let workspace = builder(&sandbox, store().await).await.open().await.unwrap();
    let ada = join(&workspace, "ada").await;
    ask(&ada, "stream 100; say before").await;
    let before = whole_line(&ada).await;
    let was = workspace.snapshot();
    drop(ada);
    workspace.detach().await.unwrap();
    drop(workspace);

    let workspace = builder(&sandbox, store().await).await.open().await.unwrap();
    let now = workspace.snapshot();
    assert_eq!(now.control, was.control);
    assert_eq!(now.recent, was.recent);
    assert!(now.here.is_empty());
    let ada = join(&workspace, "ada").await;
    ask(&ada, "say after").await;
    let line = whole_line(&ada).await;
    for (old, new) in before.iter().zip(&line) {
        assert_eq!(old.json(), new.json());
    }
    assert!(said(&line).ends_with("beforeafter"), "{}", said(&line));
}

#[tokio::test]
async fn a_line_keeps_its_name_for_as_long_as_its_store_has_it() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let mut lines = Vec::new();
    for driver in [driver.clone(), driver, MemorySessionPersistDriver::new()] {
        let workspace = builder(&sandbox, driver).await.open().await.unwrap();
        let ada = join(&workspace, "ada").await;
        let page = ada.page(0, 1, 1024).await.unwrap();
        assert_eq!(page.line, workspace.snapshot().line);
        ada.check_line(Some(&page.line)).unwrap();
        lines.push(page.line);
        drop(ada);
        workspace.close().await.unwrap();
    }
    assert_eq!(lines[0], lines[1]);
    assert_ne!(lines[1], lines[2]);
}

#[tokio::test]
async fn a_turn_that_runs_goes_on_and_its_end_is_told() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (workspace, ada) = enter(&sandbox, &driver).await;
    let prompts = [
        NewPrompt::with_id("long", "say begun; think 700; say ended"),
        NewPrompt::with_id("next", "say next"),
    ];
    leave_in_a_turn(workspace, ada, prompts).await;

    let (_workspace, ada) = enter(&sandbox, &driver).await;
    let mut frames = ada.frames_after(0).unwrap();
    let known = ada.prompt(NewPrompt::with_id("long", "say begun; think 700; say ended")).await.unwrap();
    assert!(known.known);
    assert_eq!(timeout(PATIENCE, over(&mut frames, "long")).await.unwrap().phase, Phase::Done);
    assert_eq!(timeout(PATIENCE, over(&mut frames, "next")).await.unwrap().phase, Phase::Done);
    assert_eq!(said(&whole_line(&ada).await), "begunendednext");
}

#[tokio::test]
async fn what_is_behind_the_checkpoint_is_read_and_no_more() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    for checkpoint in [1, 3, 1000] {
        let limits = Limits::default().checkpoint(checkpoint);
        let workspace = builder(&sandbox, driver.clone()).await.limits(limits).open().await.unwrap();
        let ada = join(&workspace, "ada").await;
        ask(&ada, "say word").await;
        let was = workspace.snapshot();
        // While the first one is still there, which keeps what it has beside the line when it goes.
        let again = builder(&sandbox, driver.clone()).await.open().await.unwrap();
        let now = again.snapshot();
        assert_eq!((now.control, now.recent), (was.control, was.recent));
        drop((ada, workspace));
        again.detach().await.unwrap();
    }
}

#[tokio::test]
async fn events_that_came_while_nobody_ran_the_workspace_are_in_the_line() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (workspace, ada) = enter(&sandbox, &driver).await;
    ask(&ada, "say first").await;
    drop(ada);
    workspace.detach().await.unwrap();
    let sdk = crate::sdk(&sandbox, driver.clone()).await;
    let session = sdk.resume_session("default").await.unwrap().session;
    session.prompt("say elsewhere").await.unwrap();
    sdk.detach().await.unwrap();
    let (_workspace, ada) = enter(&sandbox, &driver).await;
    let mut frames = ada.frames_after(0).unwrap();
    until(
        &mut frames,
        |body| matches!(body, FrameBody::SessionEvent(event) if event.payload.get().contains("elsewhere")),
    )
    .await;
    ada.prompt(NewPrompt::with_id("p", "say last")).await.unwrap();
    until(&mut frames, |body| of_prompt(body, "p").is_some_and(|state| state.phase.is_over())).await;
    assert_eq!(said(&whole_line(&ada).await), "firstelsewherelast");
}

#[tokio::test]
async fn a_turn_that_ended_while_nobody_ran_the_workspace_is_not_prompted_again() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (workspace, ada) = enter(&sandbox, &driver).await;
    leave_in_a_turn(workspace, ada, [NewPrompt::with_id("p", "say begun; think 300; say ended")]).await;
    let sdk = crate::sdk(&sandbox, driver.clone()).await;
    let session = sdk.resume_session("default").await.unwrap().session;
    if let Some(turn) = session.running_turn() {
        turn.await.unwrap();
    }
    sdk.detach().await.unwrap();

    let (_workspace, ada) = enter(&sandbox, &driver).await;
    let mut frames = ada.frames_after(0).unwrap();
    assert_eq!(timeout(PATIENCE, over(&mut frames, "p")).await.unwrap().phase, Phase::Done);
    assert_eq!(said(&whole_line(&ada).await), "begunended");
}

#[tokio::test]
async fn a_prompt_whose_session_was_deleted_is_over() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (workspace, ada) = enter(&sandbox, &driver).await;
    ada.request_control().await.unwrap();
    ada.open_session(sandbox_agent_sdk::SessionRequest::new("other", "mock").cwd("/")).await.unwrap();
    let prompt = NewPrompt::with_id("p", "say begun; think 60000").session("other");
    leave_in_a_turn(workspace, ada, [prompt]).await;
    let sdk = crate::sdk(&sandbox, driver.clone()).await;
    sdk.delete_session("other").await.unwrap();
    let workspace = builder(&sandbox, driver).await.open().await.unwrap();
    let ended = workspace.snapshot().recent.into_iter().find(|prompt| prompt.prompt_id == "p").unwrap();
    assert_eq!(ended.phase, Phase::Failed);
}
