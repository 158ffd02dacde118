//! Control: who drives, and how it changes hands.

use sandbox_agent_multiplayer::{
    ControlPolicy, ErrorKind, FrameBody, NewPrompt, Participant, Person, Rights, Workspace,
};
use tokio::time::timeout;

use crate::{PATIENCE, ask, join, open, sandbox, until};

fn drivers(workspace: &Workspace) -> Vec<String> {
    workspace.snapshot().control.drivers.into_iter().map(|driver| driver.id).collect()
}

#[tokio::test]
async fn one_drives_and_an_observers_prompt_is_refused_until_control_is_handed_over() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    ask(&ada, "say mine").await;
    assert_eq!(drivers(&workspace), ["ada"], "who prompts first drives");
    let error = bob.prompt(NewPrompt::new("say no")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotDriving { drivers: vec!["ada".to_owned()] });
    let asked = bob.request_control().await.unwrap();
    assert_eq!((asked.drivers.len(), asked.requests.len()), (1, 1));
    let given = ada.give_control("bob").await.unwrap();
    assert!(given.is_driver("bob") && given.requests.is_empty() && given.term > asked.term);
    ask(&bob, "say yes").await;
    assert!(ada.prompt(NewPrompt::new("say no")).await.is_err());
    let error = bob.give_control("nobody").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn who_acts_on_a_term_that_is_over_is_refused() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    let first = ada.request_control().await.unwrap().term;
    ada.give_control("bob").await.unwrap();
    let now = bob.give_control("ada").await.unwrap().term;
    let error = ada.prompt(NewPrompt::new("say late").term(first)).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StaleControl { term: now });
    let error = ada.release_control(Some(first)).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StaleControl { term: now });
    ada.prompt(NewPrompt::new("say in time").term(now)).await.unwrap();
}

#[tokio::test]
async fn control_of_somebody_who_is_gone_goes_to_who_asked() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    ada.request_control().await.unwrap();
    bob.request_control().await.unwrap();
    let mut frames = bob.frames().unwrap();
    // Who has two pages open is here as long as one is.
    let second = join(&workspace, "ada").await;
    drop(ada);
    drop(second);
    let changed =
        until(&mut frames, |body| matches!(body, FrameBody::Control(control) if control.is_driver("bob")));
    timeout(PATIENCE, changed).await.unwrap();
    assert_eq!(drivers(&workspace), ["bob"]);
}

#[tokio::test]
async fn who_comes_back_in_time_still_drives() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    let term = ada.request_control().await.unwrap().term;
    let mut frames = bob.frames().unwrap();
    drop(ada);
    let here = |name: &'static str, is: bool| move |body: &FrameBody| matches!(body, FrameBody::Presence(now) if now.here.iter().any(|person| person.id == name) == is);
    until(&mut frames, here("ada", false)).await;
    let ada = join(&workspace, "ada").await;
    until(&mut frames, here("ada", true)).await;
    // Somebody else goes for good; by then the time of the first is over as well.
    let eve = join(&workspace, "eve").await;
    eve.request_control().await.unwrap();
    drop(eve);
    until(&mut frames, |body| matches!(body, FrameBody::Control(control) if control.requests.is_empty()))
        .await;
    assert_eq!(workspace.snapshot().control.term, term);
    ask(&ada, "say still").await;
}

#[tokio::test]
async fn control_is_taken_by_policy_and_by_right() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    ada.request_control().await.unwrap();
    let error = bob.take_control().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotDriving { .. }), "{error}");
    drop(workspace);
    let workspace = open(&crate::sandbox().await, ControlPolicy::default().take(true)).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    ada.request_control().await.unwrap();
    bob.take_control().await.unwrap();
    assert_eq!(drivers(&workspace), ["bob"]);
    let member = Participant::new(Person::new("eve"), Rights::MEMBER);
    let error = workspace.visit(member).take_control().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_program_takes_over_from_a_person_and_gives_back() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let bot = workspace.seat(Participant::new(Person::program("bot"), Rights::MEMBER)).await.unwrap();
    ada.request_control().await.unwrap();
    ada.give_control("bot").await.unwrap();
    let drivers = workspace.snapshot().control.drivers;
    assert!(drivers[0].program && drivers[0].id == "bot");
    ask(&bot, "say automatic").await;
    bot.give_control("ada").await.unwrap();
    ask(&ada, "say by hand").await;
}

#[tokio::test]
async fn several_drive_where_the_workspace_says_so() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default().drivers(2)).await;
    let (ada, bob, eve) =
        (join(&workspace, "ada").await, join(&workspace, "bob").await, join(&workspace, "eve").await);
    ask(&ada, "say a").await;
    ask(&bob, "say b").await;
    assert_eq!(drivers(&workspace), ["ada", "bob"]);
    assert!(eve.prompt(NewPrompt::new("say e")).await.is_err());
}

#[tokio::test]
async fn control_is_freed_also_when_the_seat_is_given_up_on_a_thread_without_a_runtime() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    ada.request_control().await.unwrap();
    let mut frames = bob.frames().unwrap();
    std::thread::spawn(move || drop(ada)).join().unwrap();
    let freed =
        until(&mut frames, |body| matches!(body, FrameBody::Control(control) if control.drivers.is_empty()));
    timeout(PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn control_of_somebody_who_only_called_is_freed_too() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    let caller = workspace.visit(Participant::new(Person::new("caller"), Rights::MEMBER));
    caller.request_control().await.unwrap();
    ada.request_control().await.unwrap();
    let freed =
        until(&mut frames, |body| matches!(body, FrameBody::Control(control) if control.is_driver("ada")));
    timeout(PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn control_goes_to_nobody_who_may_not_have_it_and_the_host_hands_it_round() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let (ada, bob) = (join(&workspace, "ada").await, join(&workspace, "bob").await);
    let _eve = workspace.seat(Participant::new(Person::new("eve"), Rights::OBSERVER)).await.unwrap();
    ada.request_control().await.unwrap();
    assert_eq!(*ada.give_control("eve").await.unwrap_err().kind(), ErrorKind::Refused);
    let host = workspace.host();
    host.give_control("bob").await.unwrap();
    assert_eq!(drivers(&workspace), ["bob"]);
    drop(bob);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_line_with_one_driver_a_term() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let people: Vec<_> = [join(&workspace, "ada").await, join(&workspace, "bob").await].into();
    for round in 0..50 {
        let (asking, other) = (&people[round % 2], &people[(round + 1) % 2]);
        // Polled so often, then dropped in the middle.
        let mut call = Box::pin(asking.request_control());
        for _ in 0..round % 5 {
            if futures::poll!(call.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        let _ = other.request_control().await;
        for person in &people {
            person.release_control(None).await.unwrap();
        }
    }
    let mut terms = std::collections::BTreeMap::new();
    for frame in crate::whole_line(&people[0]).await {
        if let FrameBody::Control(control) = &frame.body {
            let driver = control.drivers.first().map(|driver| driver.id.clone());
            let known = terms.entry(control.term).or_insert_with(|| driver.clone());
            assert_eq!(*known, driver, "two drivers in term {}", control.term);
        }
    }
}
