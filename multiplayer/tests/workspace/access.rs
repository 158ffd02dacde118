//! Who comes in, and what they may do.

use sandbox_agent_multiplayer::{
    Authorize, Call, ConnectionRequest, ControlPolicy, Error, ErrorKind, Limits, NewPrompt, Participant,
    Person, Rights, Workspace,
};
use sandbox_agent_sdk::{MemorySessionPersistDriver, PermissionReply};
use serde_json::json;

use crate::{ask, builder, named, open, request, sandbox, sdk};

#[tokio::test]
async fn nobody_comes_in_unless_somebody_said_who_may() {
    let sandbox = sandbox().await;
    let sdk = sdk(&sandbox, MemorySessionPersistDriver::new()).await;
    let workspace = Workspace::builder("w", sdk).session(request()).open().await.unwrap();
    let error = workspace.join(&named("ada").token("any")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Refused);
    assert!(workspace.snapshot().here.is_empty());
}

#[tokio::test]
async fn who_may_only_look_on_does_nothing_else() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let eve = workspace.seat(Participant::new(Person::new("eve"), Rights::OBSERVER)).await.unwrap();
    eve.subscribe().unwrap();
    let refused = [
        eve.prompt(NewPrompt::new("say no")).await.err(),
        eve.cancel(None).await.err(),
        eve.request_control().await.err(),
        eve.take_control().await.err(),
        eve.respond_permission("default", "any", PermissionReply::Once).await.err(),
    ];
    for error in refused {
        assert_eq!(*error.unwrap().kind(), ErrorKind::Refused);
    }
    let blind = workspace.visit(Participant::new(Person::new("x"), Rights::NONE));
    assert_eq!(*blind.frames_after(0).unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(*blind.snapshot().unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn the_hook_is_asked_for_each_call_and_its_secrets_are_not_shown() {
    struct NoControl;
    #[async_trait::async_trait]
    impl Authorize for NoControl {
        async fn connect(&self, request: &ConnectionRequest) -> Result<Participant, Error> {
            assert_eq!(format!("{request:?}"), r#"ConnectionRequest { workspace: "w", .. }"#);
            Ok(Participant::new(Person::new("ada"), Rights::OWNER))
        }

        async fn allow(&self, who: &Participant, call: &Call) -> Result<(), Error> {
            match call {
                Call::RequestControl {} => Err(Error::refused(format!("not now, {}", who.person.id))),
                _ => Ok(()),
            }
        }
    }
    let sandbox = sandbox().await;
    let sdk = sdk(&sandbox, MemorySessionPersistDriver::new()).await;
    let workspace =
        Workspace::builder("w", sdk).session(request()).authorize(NoControl).open().await.unwrap();
    let ada = workspace.join(&ConnectionRequest::new("w").token("secret")).await.unwrap();
    let error = ada.call(Call::RequestControl {}, 1000).await.unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (&ErrorKind::Refused, "not now, ada"));
    let info = ada.call(Call::GetSessionInfo {}, 1000).await.unwrap();
    assert!(info.get().contains(r#""workspace":"w""#));
}

#[tokio::test]
async fn calls_travel_as_json_and_what_is_no_call_is_refused() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let host = workspace.host();
    let call = Call::read("prompt", json!({ "promptId": "p", "text": "say hello" })).unwrap();
    let answer = host.call(call, 1000).await.unwrap();
    assert!(answer.get().contains(r#""phase":"queued""#), "{answer}");
    let call = Call::read("getSequencedEvents", json!({ "since": 0, "limit": 2 })).unwrap();
    let page: serde_json::Value =
        serde_json::from_str(host.call(call, 100_000).await.unwrap().get()).unwrap();
    assert_eq!(page["frames"].as_array().unwrap().len(), 2);
    for (action, args) in [("fly", json!({})), ("prompt", json!({ "text": 1 })), ("giveControl", json!(null))]
    {
        let error = Call::read(action, args).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(action), "{error}");
    }
    for call in [Call::RequestControl {}, Call::GiveControl { to: "x".into() }, Call::TakeControl {}] {
        assert_eq!(Call::read(call.action(), call.args()).unwrap(), call);
    }
}

#[tokio::test]
async fn a_member_takes_no_session_in_that_is_somebody_elses() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let elsewhere = sdk(&sandbox, driver.clone()).await;
    elsewhere.create_session(sandbox_agent_sdk::SessionRequest::new("secret", "mock")).await.unwrap();
    let workspace = crate::builder(&sandbox, driver).await.open().await.unwrap();
    let ada = crate::join(&workspace, "ada").await;
    ada.request_control().await.unwrap();
    for (id, agent) in [("secret", "mock"), ("workspace:w", "_sandbox_agent/workspace")] {
        let request = sandbox_agent_sdk::SessionRequest::new(id, agent);
        assert_eq!(*ada.open_session(request).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(!workspace.snapshot().sessions.contains_key(id));
    }
    ada.open_session(sandbox_agent_sdk::SessionRequest::new("new", "mock")).await.unwrap();
    assert!(workspace.snapshot().sessions.contains_key("new"));
}

/// Else each would show the other's events, and both would drive one agent.
#[tokio::test]
async fn a_session_is_of_one_workspace_of_a_store() {
    let sandbox = sandbox().await;
    let sdk = sdk(&sandbox, MemorySessionPersistDriver::new()).await;
    let red = Workspace::builder("red", sdk.clone()).session(request()).open().await.unwrap();
    ask(&red.host(), "say the red secret").await;
    let error = Workspace::builder("blue", sdk.clone()).session(request()).open().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput, "{error}");
    let blue = Workspace::builder("blue", sdk.clone()).open().await.unwrap();
    let error = blue.open_session(request()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(blue.snapshot().sessions.is_empty());
    let change = request().mode("plan").cwd("/elsewhere");
    let was = red.session("default").unwrap().record();
    assert!(blue.open_session(change).await.is_err());
    assert_eq!(red.session("default").unwrap().record(), was, "nothing of the request is done");
    red.open_session(request()).await.unwrap();
    // What users do to a session leaves it whose it is, until they say so.
    sdk.set_tags("default", ["nightly"]).await.unwrap();
    assert!(blue.open_session(request()).await.is_err());
    sdk.unclaim_session("default").await.unwrap();
    blue.open_session(request()).await.unwrap();
}

#[tokio::test]
async fn what_a_prompt_is_as_json_counts() {
    let sandbox = sandbox().await;
    let limits = Limits::default().prompt_bytes(12);
    let driver = MemorySessionPersistDriver::new();
    let workspace = builder(&sandbox, driver).await.limits(limits).open().await.unwrap();
    let host = workspace.host();
    for text in ["say 67890123", "\0\0\0", "\"\"\"\"\"\"\n"] {
        let error = host.prompt(NewPrompt::new(text)).await.err();
        let json = serde_json::to_string(text).unwrap().len() - 2;
        assert_eq!(error.is_some(), json > 12, "{text:?}: {error:?}");
    }
}
