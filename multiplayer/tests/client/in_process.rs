//! A client without a network.

use sandbox_agent_multiplayer::{
    Call, ErrorKind, FrameBody, NewPrompt, Participant, Person, Phase, Rights, Status, WorkspaceClient,
};
use sandbox_agent_sdk::PermissionReply;
use tokio::time::timeout;

use crate::{PATIENCE, client, member, sandbox, workspace};

#[tokio::test]
async fn a_prompt_goes_its_way_and_everybody_sees_it() {
    let sandbox = sandbox().await;
    let workspace = workspace(&sandbox).await;
    let ada = client(&workspace, "ada").await;
    let bob = client(&workspace, "bob").await;
    let mut frames = bob.frames_after(0);
    let chat = bob.once("chat.user");
    let accepted = ada.prompt(NewPrompt::new("say plum; ask Push")).await.unwrap();
    let id = accepted.prompt.prompt_id;
    let said = timeout(PATIENCE, chat).await.unwrap().unwrap();
    assert!(matches!(&said.body, FrameBody::ChatUser(chat) if chat.prompt_id == id && chat.user_id == "ada"));

    let asked = timeout(PATIENCE, async {
        loop {
            let frame = frames.recv().await.unwrap().unwrap();
            if let FrameBody::PermissionRequested(asked) = &frame.body {
                return asked.clone();
            }
        }
    });
    let asked = asked.await.unwrap();
    bob.request_control().await.unwrap();
    bob.respond_permission(&asked.session_id, &asked.permission_id, PermissionReply::Once).await.unwrap();
    let (of_ada, of_bob) = tokio::join!(ada.wait_for_prompt(&id), bob.wait_for_prompt(&id));
    let (of_ada, of_bob) = (of_ada.unwrap(), of_bob.unwrap());
    assert_eq!((of_ada.phase, of_ada.stop_reason.as_deref()), (Phase::Done, Some("end_turn")));
    assert_eq!(of_ada, of_bob);
    // The same id again is known.
    assert!(ada.prompt(NewPrompt::with_id(&id, "say plum")).await.unwrap().known);
    assert_eq!(sandbox.prompts_received().len(), 1);
    workspace.close().await.unwrap();
}

#[tokio::test]
async fn each_call_of_a_member_can_be_made() {
    let sandbox = sandbox().await;
    let workspace = workspace(&sandbox).await;
    let ada = client(&workspace, "ada").await;
    let control = ada.request_control().await.unwrap();
    assert!(control.is_driver("ada"));
    ada.open_session("other", "mock", Some("/")).await.unwrap();
    assert!(workspace.session("other").is_some());

    let first = ada.prompt(NewPrompt::new("think 60000")).await.unwrap().prompt.prompt_id;
    let second = ada.prompt(NewPrompt::new("say plum")).await.unwrap().prompt.prompt_id;
    ada.withdraw(&second).await.unwrap();
    assert_eq!(ada.wait_for_prompt(&second).await.unwrap().phase, Phase::Withdrawn);
    ada.cancel(None).await.unwrap();
    timeout(PATIENCE, ada.wait_for_prompt(&first)).await.unwrap().unwrap();
    let error = ada.accept_proposal("none").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);

    let bob = member(&workspace, "bob").await;
    assert!(ada.give_control("bob").await.unwrap().is_driver("bob"));
    assert!(ada.take_control().await.unwrap().is_driver("ada"));
    let control = ada.release_control(None).await.unwrap();
    assert!(!control.is_driver("ada"));
    drop(bob);

    let page = ada.page(0, 3).await.unwrap();
    assert_eq!(page.frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    let json = ada.call(Call::GetSessionInfo {}).await.unwrap();
    assert!(json.get().contains(r#""workspace":"w""#));
    workspace.close().await.unwrap();
}

#[tokio::test]
async fn somebody_is_here_as_long_as_their_client_is() {
    let sandbox = sandbox().await;
    let workspace = workspace(&sandbox).await;
    let bob = client(&workspace, "bob").await;
    let ada = client(&workspace, "ada").await;
    let mut frames = bob.frames();
    assert!(workspace.snapshot().here.iter().any(|person| person.id == "ada"));
    drop(ada);
    timeout(PATIENCE, async {
        loop {
            let frame = frames.recv().await.unwrap().unwrap();
            if matches!(&frame.body, FrameBody::Presence(now) if now.here == [Person::new("bob")]) {
                return;
            }
        }
    })
    .await
    .unwrap();
    workspace.close().await.unwrap();
}

#[tokio::test]
async fn a_client_ends_with_its_workspace_and_says_why() {
    let sandbox = sandbox().await;
    let workspace = workspace(&sandbox).await;
    let ada = client(&workspace, "ada").await;
    let frames = ada.frames();
    workspace.close().await.unwrap();
    let mut status = ada.status();
    timeout(PATIENCE, status.wait_for(Status::is_over)).await.unwrap().unwrap();
    let mut frames = frames;
    let last = timeout(PATIENCE, async {
        loop {
            if let Err(error) = frames.recv().await.unwrap() {
                return error;
            }
        }
    });
    assert_eq!(*last.await.unwrap().kind(), ErrorKind::Closed);
    assert_eq!(*ada.request_control().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn who_may_not_look_on_gets_no_client() {
    let sandbox = sandbox().await;
    let workspace = workspace(&sandbox).await;
    let blind = workspace.seat(Participant::new(Person::new("blind"), Rights::PROMPT)).await.unwrap();
    let error = WorkspaceClient::in_process(blind).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Refused);
    workspace.close().await.unwrap();
}
