//! Prompts: accepted once, sent once, followed to their end.

use sandbox_agent_multiplayer::{
    Activity, ControlPolicy, ErrorKind, FrameBody, NewPrompt, ObserverPrompts, Participant, Person, Phase,
    Rights,
};

use crate::{ask, join, of_prompt, open, over, said, sandbox, until, whole_line};

#[tokio::test]
async fn a_turns_end_comes_behind_all_of_the_turn() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    ada.prompt(NewPrompt::with_id("p1", "stream 200; say end")).await.unwrap();
    let seen =
        until(&mut frames, |body| of_prompt(body, "p1").is_some_and(|state| state.phase.is_over())).await;
    let state = of_prompt(&seen.last().unwrap().body, "p1").unwrap();
    assert_eq!((state.phase, state.stop_reason.as_deref()), (Phase::Done, Some("end_turn")));
    assert!(said(&seen).ends_with("u200 end"));
    let FrameBody::ChatUser(chat) =
        &seen.iter().find(|frame| matches!(frame.body, FrameBody::ChatUser(_))).unwrap().body
    else {
        unreachable!()
    };
    assert_eq!((&*chat.user_id, &*chat.text), ("ada", "stream 200; say end"));
}

#[tokio::test]
async fn an_id_is_prompted_once_also_when_it_comes_at_the_same_time_and_after_its_end() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    let prompt = || NewPrompt::with_id("same", "say once");
    let both = tokio::join!(ada.prompt(prompt()), ada.prompt(prompt()));
    assert_eq!(both.0.unwrap().known as u8 + both.1.unwrap().known as u8, 1);
    over(&mut frames, "same").await;
    let again = ada.prompt(prompt()).await.unwrap();
    assert!(again.known);
    assert_eq!(again.prompt.phase, Phase::Done);
    // So many that it is no longer among the newest.
    for _ in 0..40 {
        ask(&ada, "say more").await;
    }
    let again = ada.prompt(prompt()).await.unwrap();
    assert!(again.known);
    assert_eq!(again.prompt.phase, Phase::Done);
    let line = whole_line(&ada).await;
    assert_eq!(said(&line).matches("once").count(), 1);
}

#[tokio::test]
async fn a_prompt_that_fails_says_why() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    ada.prompt(NewPrompt::with_id("p", "fail -32001 broken")).await.unwrap();
    let state = over(&mut frames, "p").await;
    assert_eq!(state.phase, Phase::Failed);
    let failure = state.error.unwrap();
    assert_eq!((&*failure.code, failure.delivery.as_deref()), ("sandbox", Some("executed")));
    assert!(failure.message.contains("broken"), "{}", failure.message);
}

#[tokio::test]
async fn a_running_turn_is_cancelled_and_a_waiting_prompt_withdrawn() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    ada.prompt(NewPrompt::with_id("runs", "say begun; think 60000")).await.unwrap();
    ada.prompt(NewPrompt::with_id("waits", "say never")).await.unwrap();
    until(&mut frames, |body| of_prompt(body, "runs").is_some_and(|state| state.phase == Phase::Running))
        .await;
    ada.withdraw("waits").await.unwrap();
    assert_eq!(over(&mut frames, "waits").await.phase, Phase::Withdrawn);
    ada.cancel(None).await.unwrap();
    let state = over(&mut frames, "runs").await;
    assert_eq!((state.phase, state.stop_reason.as_deref()), (Phase::Done, Some("cancelled")));
    assert!(!said(&whole_line(&ada).await).contains("never"));
    assert!(workspace.snapshot().prompts.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_prompt_is_said_before_it_is_stored() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let kind = |result: Result<_, sandbox_agent_multiplayer::Error>| {
        result.map(|_: sandbox_agent_multiplayer::Accepted| ()).unwrap_err().kind().clone()
    };
    assert_eq!(kind(ada.prompt(NewPrompt::with_id("", "say x")).await), ErrorKind::InvalidInput);
    let long = "x".repeat(1024 * 1024 + 1);
    assert_eq!(kind(ada.prompt(NewPrompt::new(long)).await), ErrorKind::TooLarge { limit: 1024 * 1024 });
    assert_eq!(kind(ada.prompt(NewPrompt::new("say x").session("none")).await), ErrorKind::NotFound);
    assert!(whole_line(&ada).await.iter().all(|frame| !matches!(frame.body, FrameBody::ChatUser(_))));
}

#[tokio::test]
async fn a_proposal_waits_for_a_driver_or_for_free_control() {
    let sandbox = sandbox().await;
    let policy = ControlPolicy::default().observers(ObserverPrompts::Propose);
    let workspace = open(&sandbox, policy).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    ada.request_control().await.unwrap();
    let mut frames = bob.frames().unwrap();
    for (id, text) in [("one", "say one"), ("two", "say two"), ("three", "say three")] {
        let accepted = bob.prompt(NewPrompt::with_id(id, text)).await.unwrap();
        assert_eq!(accepted.prompt.phase, Phase::Proposed);
    }
    let error = bob.accept_proposal("one").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotDriving { drivers: vec!["ada".to_owned()] });
    ada.accept_proposal("one").await.unwrap();
    assert_eq!(over(&mut frames, "one").await.phase, Phase::Done);
    ada.withdraw("two").await.unwrap();
    assert_eq!(over(&mut frames, "two").await.phase, Phase::Withdrawn);
    ada.release_control(None).await.unwrap();
    assert_eq!(over(&mut frames, "three").await.phase, Phase::Done);
    assert_eq!(said(&whole_line(&ada).await), "onethree");
}

#[tokio::test]
async fn a_proposal_goes_at_once_where_nobody_drives() {
    let sandbox = sandbox().await;
    let policy = ControlPolicy::default().observers(ObserverPrompts::Propose);
    let workspace = open(&sandbox, policy).await;
    let rights = Rights::SEE.and(Rights::PROMPT);
    let eve = workspace.seat(Participant::new(Person::new("eve"), rights)).await.unwrap();
    let mut frames = eve.frames().unwrap();
    eve.prompt(NewPrompt::with_id("p", "say free")).await.unwrap();
    assert_eq!(over(&mut frames, "p").await.phase, Phase::Done);
    assert!(workspace.snapshot().control.drivers.is_empty());
}

#[tokio::test]
async fn a_session_that_was_destroyed_comes_back_when_it_is_opened_again() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    ask(&ada, "say one").await;
    let mut frames = ada.frames().unwrap();
    workspace.sdk().destroy_session("default").await.unwrap();
    until(&mut frames, |body| matches!(body, FrameBody::State(state) if state.state == Activity::Closed))
        .await;
    workspace.open_session(crate::request()).await.unwrap();
    ask(&ada, "say two").await;
    assert_eq!(said(&whole_line(&ada).await), "onetwo");
}
