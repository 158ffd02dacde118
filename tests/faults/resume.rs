//! A new process takes a session up, as far as the agent can, and is brought to its settings.

use sandbox_agent_sdk::persist::envelope;
use sandbox_agent_sdk::{ErrorKind, MemorySessionPersistDriver, ResumeOutcome, SessionRequest};
use sandbox_agent_testkit::{AgentOptions, Sandbox};
use serde_json::json;

use crate::support::{assert_sound, notes, recorded, request, said, stored, updates};
use crate::{HEARTBEAT, limits, sandbox, sdk_on, server};

async fn offering(agent: AgentOptions) -> Sandbox {
    Sandbox::builder().heartbeat(HEARTBEAT).quick_delete().agent(agent).start().await.unwrap()
}

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
    let update = json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "x",
        "update": {"sessionUpdate": "current_mode_update", "currentModeId": "yolo"}}});
    sandbox.faults().agent_writes(&process, &update.to_string()).unwrap();
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
