//! Mode, model and options are chosen by name, kept, and put back; agents are logged in by a method of theirs.

use sandbox_agent_sdk::acp_schema::ClientCapabilities;
use sandbox_agent_sdk::{
    Authentication, ErrorKind, MemorySessionPersistDriver, Prompt, ResumeOutcome, SandboxAgent,
    SessionPersistDriver, Setting,
};
use sandbox_agent_testkit::{AgentOptions, On, Sandbox};
use serde_json::{Value, json};

use crate::support::{recorded, request, said};
use crate::{first, limits, offering, sandbox, sdk_on, server, session};

fn is(setting: Option<Setting>) -> Option<String> {
    setting?.current_id().map(str::to_owned)
}

#[tokio::test]
async fn settings_are_chosen_by_id_or_by_category_and_put_back() {
    for agent in [AgentOptions::new(), AgentOptions::new().load(), AgentOptions::new().resume()] {
        let sandbox = offering(agent.thought()).await;
        let (driver, sdk, session) = first(&sandbox).await;
        assert_eq!(session.modes().unwrap().ids(), ["default", "plan"]);
        assert_eq!(session.models().unwrap().ids(), ["small", "large"]);
        let options: Vec<_> = session.config_options().into_iter().map(|option| option.id).collect();
        assert_eq!(options, ["model", "effort", "fast"]);
        session.set_mode("plan").await.unwrap();
        session.set_model("large").await.unwrap();
        session.set_thought_level("high").await.unwrap();
        session.set_config_option("fast", true).await.unwrap();
        let chosen =
            "mode: plan model: large config: {\"model\":\"large\",\"effort\":\"high\",\"fast\":true}";
        session.prompt("mode").await.unwrap();
        assert!(said(&recorded(&session).await).ends_with(chosen));
        assert_eq!(is(session.modes()).as_deref(), Some("plan"));
        assert_eq!(session.config_options()[2].current, Some(json!(true)));
        sdk.close().await.unwrap();

        let sdk = sdk_on(&sandbox, driver, limits()).await;
        let opened = sdk.resume_session("one").await.unwrap();
        assert_eq!(opened.not_restored, []);
        opened.session.prompt("mode").await.unwrap();
        assert!(said(&recorded(&opened.session).await).ends_with(chosen));
        // By the option's id as well as by its category, and the other way round.
        opened.session.set_config_option("effort", "low").await.unwrap();
        opened.session.set_config_option("thought_level", "high").await.unwrap();
        opened.session.set_config_option("mode", "default").await.unwrap();
        assert_eq!(is(opened.session.modes()).as_deref(), Some("default"));
    }
}

#[tokio::test]
async fn what_is_not_offered_is_not_sent_and_the_error_names_what_is() {
    let sandbox = offering(AgentOptions::new().thought()).await;
    let (_sdk, session) = session(&sandbox).await;
    let before = sandbox.received(&server(&session)).len();
    let cases: [(&str, Value, &[&str]); 6] = [
        ("mode", json!("yolo"), &["default", "plan"]),
        ("model", json!("huge"), &["small", "large"]),
        ("effort", json!("max"), &["low", "high"]),
        ("thought_level", json!("max"), &["low", "high"]),
        ("fast", json!("very"), &["true", "false"]),
        ("colour", json!("red"), &["mode", "model", "effort", "fast"]),
    ];
    for (setting, wanted, offered) in cases {
        let error = session.set_config_option(setting, wanted).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidInput, "{setting}: {error}");
        assert_eq!(error.offered(), offered, "{setting}: {error}");
        assert!(error.to_string().contains(offered[0]) && error.to_string().contains(setting), "{error}");
    }
    assert_eq!(sandbox.received(&server(&session)).len(), before, "the agent was asked all the same");
}

#[tokio::test]
async fn what_a_request_sets_goes_over_what_was() {
    let sandbox = offering(AgentOptions::new().thought()).await;
    let (driver, sdk, session) = first(&sandbox).await;
    session.set_thought_level("low").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    // By the category; the record remembers it by its id.
    let again = request("one").config_option("thought_level", "high").config_option("fast", true);
    let session = sdk.resume_or_create_session(again).await.unwrap();
    session.prompt("mode").await.unwrap();
    assert!(said(&recorded(&session).await).contains("\"effort\":\"high\",\"fast\":true"));
    let error = sdk.create_session(request("two").config_option("effort", "max")).await.unwrap_err();
    assert_eq!(error.offered(), ["low", "high"]);
}

#[tokio::test]
async fn models_that_an_agent_has_apart_are_models_too() {
    let sandbox = sandbox().await;
    sandbox.faults().next(On::rpc("session/new")).hang_undelivered();
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let opening = sdk.clone();
    let opening = tokio::spawn(async move { opening.create_session(request("one")).await });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let process = driver.get_session("one").await.unwrap().unwrap().last_connection_id;
    let models = json!({
        "currentModelId": "old",
        "availableModels": [{ "modelId": "old", "name": "Old" }, { "modelId": "new", "name": "New" }],
    });
    let opened = json!({ "sessionId": "theirs", "models": models });
    crate::answer_unheard(&sandbox, &driver, &process, "session/new", opened).await;
    let session = opening.await.unwrap().unwrap();
    assert_eq!(session.models().unwrap().ids(), ["old", "new"]);
    assert!(session.modes().is_none());
    let error = session.set_mode("plan").await.unwrap_err();
    assert_eq!(error.offered(), ["model"], "{error}");
    sandbox.faults().next(On::rpc("session/set_model")).hang_undelivered();
    let choosing = session.clone();
    let choosing = tokio::spawn(async move { choosing.set_model("new").await });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    crate::answer_unheard(&sandbox, &driver, &process, "session/set_model", json!({})).await;
    choosing.await.unwrap().unwrap();
    assert_eq!(is(session.models()).as_deref(), Some("new"));
}

#[tokio::test]
async fn a_record_that_another_sdk_changed_is_read_anew() {
    let sandbox = sandbox().await;
    let (driver, _sdk, session) = first(&sandbox).await;
    let mut record = driver.get_session("one").await.unwrap().unwrap();
    record.title = Some("theirs".into());
    record.modes.as_mut().unwrap()["currentModeId"] = json!("plan");
    driver.update_session(record).await.unwrap();
    assert_eq!(is(session.modes()).as_deref(), Some("default"));
    assert_eq!(session.refresh().await.unwrap().title.as_deref(), Some("theirs"));
    assert_eq!(is(session.modes()).as_deref(), Some("plan"));
    driver.delete_session("one").await.unwrap();
    assert_eq!(*session.refresh().await.unwrap_err().kind(), ErrorKind::SessionNotFound);
}

async fn logged_in_by(sandbox: &Sandbox, authentication: Authentication) -> SandboxAgent {
    let builder = SandboxAgent::builder(sandbox.url()).limits(limits());
    builder.authentication(authentication).connect().await.unwrap()
}

#[tokio::test]
async fn an_agent_is_logged_in_by_the_method_that_was_chosen() {
    let sandbox = offering(AgentOptions::new().login().load()).await;
    let by_key = || Authentication::choose(|methods| Some(methods.last()?.id().to_string()));
    for authentication in [Authentication::method("key"), by_key()] {
        let sdk = logged_in_by(&sandbox, authentication).await;
        let session = sdk.create_session(request("one")).await.unwrap();
        assert_eq!(session.auth_methods().len(), 2);
        session.authenticate("key").await.unwrap();
        assert!(matches!(
            session.authenticate("browser").await.unwrap_err().kind(),
            ErrorKind::Agent { code: -32602 }
        ));
        // And so is each of its processes.
        sandbox.faults().kill_agent(&server(&session), 1).unwrap();
        while session.prompt("say hello").await.is_err() {}
        sdk.close().await.unwrap();
    }
    // A session's own choice goes over the SDK's.
    let sdk = logged_in_by(&sandbox, Authentication::method("browser")).await;
    sdk.create_session(request("two").authentication(Authentication::method("key"))).await.unwrap();
    let error = sdk.create_session(request("three")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Agent { code: -32602 });
}

#[tokio::test]
async fn an_agent_that_is_not_logged_in_says_how_it_could_be() {
    let sandbox = offering(AgentOptions::new().login().load()).await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let error = sdk.create_session(request("one")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Agent { code: -32000 });
    assert_eq!(error.offered(), ["browser", "key"]);
    let wrong = request("one").authentication(Authentication::method("letter"));
    let error = sdk.create_session(wrong).await.unwrap_err();
    assert_eq!((error.kind(), error.offered().len()), (&ErrorKind::InvalidInput, 2), "{error}");

    // One that asks for it when a session is resumed has not lost the session.
    let key = request("one").authentication(Authentication::method("key"));
    sdk.create_session(key.clone()).await.unwrap().prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    assert_eq!(*sdk.resume_session("one").await.unwrap_err().kind(), ErrorKind::Agent { code: -32000 });
    assert_eq!(sdk.resume_or_create(key).await.unwrap().outcome, ResumeOutcome::Loaded);
}

#[tokio::test]
async fn only_what_is_handled_is_declared_and_all_else_as_told() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let meta = json!({ "team": "blue" }).as_object().cloned().unwrap();
    let mut told = ClientCapabilities::new().meta(meta.clone()).terminal(true);
    told.fs.read_text_file = true;
    let asked = request("one").client_capabilities(told).meta(meta);
    let session = sdk.create_session(asked).await.unwrap();
    let received = sandbox.received(&server(&session));
    let params = |method: &str| {
        let envelope = received.iter().find(|envelope| envelope["method"] == method).unwrap();
        envelope["params"].clone()
    };
    let declared = &params("initialize")["clientCapabilities"];
    assert_eq!(declared["_meta"]["team"], "blue");
    assert_eq!(declared["fs"], json!({ "readTextFile": false, "writeTextFile": false }));
    assert_eq!((&declared["terminal"], declared.get("elicitation")), (&json!(false), None));
    assert_eq!(params("session/new")["_meta"]["team"], "blue");
    let meta = json!({ "trace": 7 }).as_object().cloned().unwrap();
    session.prompt(Prompt::new("say hello").meta(meta).idempotency_key("job")).await.unwrap();
    let prompts = sandbox.prompts_received();
    let meta = &prompts[0]["params"]["_meta"];
    assert_eq!((&meta["trace"], meta.as_object().unwrap().len()), (&json!(7), 2), "{prompts:?}");
}
