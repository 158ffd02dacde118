//! Permissions: shown to all, answered once.

use std::sync::Arc;

use sandbox_agent_multiplayer::{
    ControlPolicy, ErrorKind, Frame, FrameBody, Frames, NewPrompt, PermissionRequested, PermissionResolved,
};
use sandbox_agent_sdk::{MemorySessionPersistDriver, PermissionReply};

use crate::{ask, builder, join, open, over, said, sandbox, until, whole_line};

async fn requested(frames: &mut Frames) -> PermissionRequested {
    let seen = until(frames, |body| matches!(body, FrameBody::PermissionRequested(_))).await;
    match &seen.last().unwrap().body {
        FrameBody::PermissionRequested(asked) => *asked.clone(),
        _ => unreachable!(),
    }
}

async fn resolved(frames: &mut Frames) -> PermissionResolved {
    let seen = until(frames, |body| matches!(body, FrameBody::PermissionResolved(_))).await;
    match &seen.last().unwrap().body {
        FrameBody::PermissionResolved(answered) => answered.clone(),
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn the_first_answer_counts_and_everybody_sees_whose_it_is() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default().drivers(2)).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    ada.request_control().await.unwrap();
    bob.request_control().await.unwrap();
    let mut frames = bob.frames().unwrap();
    ada.prompt(NewPrompt::with_id("p", "ask \"rm -rf\"")).await.unwrap();
    let asked = requested(&mut frames).await;
    assert_eq!(workspace.snapshot().permissions, std::slice::from_ref(&asked));
    let answer = |reply| (asked.session_id.clone(), asked.permission_id.clone(), reply);
    let (session, id, reply) = answer(PermissionReply::Once);
    let (session2, id2, reply2) = answer(PermissionReply::Reject);
    let (one, two) = tokio::join!(
        ada.respond_permission(&session, &id, reply),
        bob.respond_permission(&session2, &id2, reply2)
    );
    let lost = match (&one, &two) {
        (Ok(()), Err(error)) | (Err(error), Ok(())) => error,
        other => panic!("one of two answers counts: {other:?}"),
    };
    assert_eq!(*lost.kind(), ErrorKind::NotFound);
    let shown = resolved(&mut frames).await;
    let winner = if one.is_ok() { ("ada", "allow-once") } else { ("bob", "reject-once") };
    assert_eq!((shown.by.as_deref(), shown.option_id.as_deref()), (Some(winner.0), Some(winner.1)));
    over(&mut frames, "p").await;
    assert!(said(&whole_line(&ada).await).contains(&format!("permission: {}", winner.1)));
    assert!(workspace.snapshot().permissions.is_empty());
}

#[tokio::test]
async fn who_does_not_drive_does_not_answer_unless_the_policy_lets_them() {
    let sandbox = sandbox().await;
    for (policy, may) in
        [(ControlPolicy::default(), false), (ControlPolicy::default().observers_answer(true), true)]
    {
        let workspace = open(&sandbox, policy).await;
        let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
        let mut frames = bob.frames().unwrap();
        ada.prompt(NewPrompt::new("ask something")).await.unwrap();
        let asked = requested(&mut frames).await;
        let answered =
            bob.respond_permission(&asked.session_id, &asked.permission_id, PermissionReply::Once).await;
        assert_eq!(answered.is_ok(), may, "{answered:?}");
        workspace.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_permission_whose_turn_is_cancelled_is_resolved_by_nobody() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    ada.prompt(NewPrompt::new("ask something")).await.unwrap();
    let asked = requested(&mut frames).await;
    ada.cancel(None).await.unwrap();
    let shown = resolved(&mut frames).await;
    assert_eq!((&shown.permission_id, shown.by, shown.option_id), (&asked.permission_id, None, None));
}

#[tokio::test]
async fn a_hook_answers_on_the_servers_side() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let workspace = builder(&sandbox, driver)
        .await
        .on_frame(|workspace, frame: Arc<Frame>| async move {
            if let FrameBody::PermissionRequested(asked) = &frame.body {
                let host = workspace.host();
                let answer = PermissionReply::Always;
                host.respond_permission(&asked.session_id, &asked.permission_id, answer).await.unwrap();
            }
        })
        .open()
        .await
        .unwrap();
    let ada = join(&workspace, "ada").await;
    ask(&ada, "ask something").await;
    assert!(said(&whole_line(&ada).await).contains("permission: allow-always"));
}

#[tokio::test]
async fn what_led_to_a_permission_is_told_before_it() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    for _ in 0..10 {
        let mut frames = ada.frames().unwrap();
        ada.prompt(NewPrompt::new("stream 50; ask something")).await.unwrap();
        let seen = until(&mut frames, |body| matches!(body, FrameBody::PermissionRequested(_))).await;
        assert!(said(&seen).ends_with("u50 "), "{}", said(&seen));
        ada.cancel(None).await.unwrap();
        until(&mut frames, |body| matches!(body, FrameBody::State(state) if state.prompt.is_some())).await;
    }
}
