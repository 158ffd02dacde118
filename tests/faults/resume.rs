//! A new process takes a session up, as far as the agent can, and is brought to its settings.

use std::sync::Arc;

use sandbox_agent_sdk::persist::envelope;
use sandbox_agent_sdk::{
    ErrorKind, MemorySessionPersistDriver, ResumeOutcome, SessionPersistDriver, SessionRequest,
};
use sandbox_agent_testkit::{AgentOptions, Events, On};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{assert_sound, notes, recorded, request, said, session_update, stored, updates};
use crate::{PATIENCE, answer_unheard, eventually, first, limits, offering, sandbox, sdk_on, server};

#[tokio::test]
async fn an_agent_that_forgot_the_session_gets_a_transcript() {
    let sandbox = offering(AgentOptions::new().load().resume()).await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    // Another machine's agent.
    let elsewhere = offering(AgentOptions::new().load().resume()).await;
    let sdk = sdk_on(&elsewhere, driver.clone(), limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    opened.session.prompt("recall").await.unwrap();
    assert!(said(&recorded(&opened.session).await).contains("Agent: plum"));
}

#[tokio::test]
async fn what_a_load_tells_again_is_recognised_also_when_chunks_come_merged() {
    let sandbox = offering(AgentOptions::new().load().merge_replay()).await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("thought hm; stream 40; tool Read").await.unwrap();
    sdk.close_session("one").await.unwrap();
    let before = stored(&driver, "one").await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Loaded);
    opened.session.prompt("stream 5").await.unwrap();
    let events = stored(&driver, "one").await;
    assert_sound(&events);
    let new = &events[before.len()..];
    assert_eq!(updates(new), [1, 2, 3, 4, 5]);
    assert_eq!(notes(new, envelope::REPLAYED), 1);
    let commands =
        |event: &&sandbox_agent_sdk::SessionEvent| event.payload.get().contains("available_commands");
    assert_eq!(new.iter().filter(commands).count(), 1, "what is told as it is now is stored");
}

#[tokio::test]
async fn mode_model_and_options_are_put_back_on_every_rung() {
    for agent in [AgentOptions::new(), AgentOptions::new().load(), AgentOptions::new().resume()] {
        let sandbox = offering(agent).await;
        let driver = MemorySessionPersistDriver::new();
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let session = sdk.create_session(request("one").mode("plan")).await.unwrap();
        session.prompt("say hello").await.unwrap();
        let model = json!({ "configId": "model", "value": "large" });
        session.raw_send("session/set_config_option", model).await.unwrap();
        sdk.close().await.unwrap();

        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let opened = sdk.resume_session("one").await.unwrap();
        assert_eq!(opened.not_restored, []);
        opened.session.prompt("mode").await.unwrap();
        assert!(
            said(&recorded(&opened.session).await)
                .ends_with("mode: plan model: large config: {\"model\":\"large\"}")
        );
        // What a request asks for goes over what was.
        sdk.close().await.unwrap();
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let session = sdk.resume_or_create_session(request("one").mode("default")).await.unwrap();
        session.prompt("mode").await.unwrap();
        assert!(said(&recorded(&session).await).contains("mode: default model: large"));
        // And that holds for a living process as well.
        sdk.detach().await.unwrap();
        let sdk = sdk_on(&sandbox, driver, limits()).await;
        let opened = sdk.resume_or_create(request("one").model("small")).await.unwrap();
        assert_eq!(opened.outcome, ResumeOutcome::Reattached);
        opened.session.prompt("mode").await.unwrap();
        assert!(said(&recorded(&opened.session).await).contains("mode: default model: small"));
    }
}

#[tokio::test]
async fn what_can_not_be_put_back_is_named_and_what_is_asked_for_is_an_error() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    let mode = json!({"sessionUpdate": "current_mode_update", "currentModeId": "yolo"});
    sandbox.faults().agent_writes(&process, &session_update(mode)).unwrap();
    session.prompt("say hello").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    let [lost] = &opened.not_restored[..] else { panic!("{:?}", opened.not_restored) };
    assert_eq!((lost.setting.as_str(), lost.wanted.as_str()), ("mode", "yolo"));
    assert_eq!(lost.offered, ["default", "plan"]);
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let error = sdk.resume_or_create(SessionRequest::new("one", "mock").mode("yolo")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("[\"default\", \"plan\"]"), "{error}");
}

#[tokio::test]
async fn a_transcript_that_was_not_sent_yet_is_still_due_after_a_reattach() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    assert_eq!(sdk.resume_session("one").await.unwrap().outcome, ResumeOutcome::Transcript);
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    session.prompt("recall").await.unwrap();
    assert!(said(&recorded(&session).await).contains("Agent: plum"), "the agent never learnt of the past");
}

#[tokio::test]
async fn a_load_whose_answer_came_by_post_alone_ends_the_replay() {
    let sandbox = offering(AgentOptions::new().load()).await;
    let (_driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    sdk.close_session("one").await.unwrap();
    // Those of `initialize` and `session/load`.
    sandbox.faults().lose_for_good(Events::responses(2));
    let opened = timeout(PATIENCE, sdk.resume_session("one")).await.unwrap().unwrap();
    assert_eq!((opened.outcome, sandbox.faults().unspent()), (ResumeOutcome::Loaded, 0));
    opened.session.prompt("say pear").await.unwrap();
    let events = recorded(&opened.session).await;
    assert!(said(&events).contains("pear"), "what the agent said is gone without a gap: {:?}", said(&events));
}

#[test]
fn a_past_that_was_being_told_again_when_the_sdk_was_killed_is_not_stored_twice() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (main, killed) = (runtime(), runtime());
    let (sandbox, driver) = main.block_on(async {
        let sandbox = offering(AgentOptions::new().load()).await;
        let (driver, sdk, session) = first(&sandbox).await;
        session.prompt("say plum").await.unwrap();
        sdk.close().await.unwrap();
        (sandbox, driver)
    });
    let late = Arc::new(GatedStore::over(&driver));
    let mut held = late.hold_inserts(|event| event.payload.get().contains(envelope::REPLAYED));
    killed.block_on(async {
        let sdk = sdk_on(&sandbox, late.clone(), limits()).await;
        tokio::spawn(async move { sdk.resume_session("one").await });
        held.reached().await;
    });
    killed.shutdown_background();
    main.block_on(async {
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let opened = timeout(PATIENCE, sdk.resume_session("one")).await.unwrap().unwrap();
        assert_eq!(opened.outcome, ResumeOutcome::Loaded);
        let said = said(&stored(&driver, "one").await);
        assert_eq!(said.matches("plum").count(), 1, "{said}");
    });
}

#[tokio::test]
async fn a_load_that_says_nothing_of_modes_does_not_forget_the_mode() {
    let sandbox = offering(AgentOptions::new().load()).await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one").mode("plan")).await.unwrap();
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sandbox.faults().next(On::rpc("session/load")).hang_undelivered();
    let resuming = tokio::spawn(async move { sdk.resume_session("one").await });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let [process] = sandbox.servers().try_into().unwrap();
    answer_unheard(&sandbox, &driver, &process, "session/load", Value::Null).await;
    let opened = timeout(PATIENCE, resuming).await.unwrap().unwrap().unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Loaded);
    let modes = driver.get_session("one").await.unwrap().unwrap().modes;
    assert_eq!(modes.map(|modes| modes["currentModeId"].clone()), Some(json!("plan")));
}

#[tokio::test]
async fn a_mode_that_could_not_be_had_does_not_haunt_the_session() {
    let sandbox = sandbox().await;
    let (driver, sdk, _session) = first(&sandbox).await;
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.get_session("one").await.unwrap().unwrap();
    let refused = sdk.resume_or_create(request("one").mode("yolo")).await;
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    session.prompt("say hello").await.expect("whoever prompts asked for no mode");
}

#[tokio::test]
async fn two_settings_that_change_at_once_are_both_kept() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    let mode = json!({"sessionUpdate": "current_mode_update", "currentModeId": "plan"});
    let options = json!({"sessionUpdate": "config_option_update", "configOptions": []});
    let mut held = driver.hold(Operation::UpdateSession);
    sandbox.faults().agent_writes(&process, &session_update(mode)).unwrap();
    held.reached().await;
    // Comes while the one before it is being stored.
    sandbox.faults().agent_writes(&process, &session_update(options)).unwrap();
    eventually("known", async || session.record().config_options == Some(json!([]))).await;
    drop(held);
    eventually("both are stored", async || {
        let record = driver.get_session("one").await.unwrap().unwrap();
        record.config_options == Some(json!([])) && record.modes.unwrap()["currentModeId"] == "plan"
    })
    .await;
}

#[tokio::test]
async fn an_option_without_a_value_is_no_panic() {
    let sandbox = sandbox().await;
    let (driver, _sdk, session) = first(&sandbox).await;
    let process = server(&session);
    let options = json!([{"id": "odd", "name": "Odd", "type": "select", "options": []}]);
    let change = json!({"sessionUpdate": "config_option_update", "configOptions": options});
    sandbox.faults().agent_writes(&process, &session_update(change)).unwrap();
    eventually("kept", async || session.record().config_options == Some(options.clone())).await;
    sandbox.faults().next(On::rpc("session/set_config_option")).hang_undelivered();
    let asking = session.clone();
    let asking = tokio::spawn(async move {
        asking.raw_send("session/set_config_option", json!({"configId": "odd", "value": "x"})).await
    });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    answer_unheard(&sandbox, &driver, &process, "session/set_config_option", json!({})).await;
    let answered = timeout(PATIENCE, asking).await.unwrap();
    assert!(answered.is_ok(), "{answered:?}");
}
