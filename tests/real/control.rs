//! Settings, handlers and the agent's own sessions, through the real server.

use futures::TryStreamExt;
use sandbox_agent_sdk::acp_schema::{ListSessionsRequest, ReadTextFileRequest, ReadTextFileResponse};
use sandbox_agent_sdk::{
    Asked, Authentication, ClientHandlers, ErrorKind, Handled, PlainText, ResumeOutcome, SessionView,
    TextFileReader, async_trait,
};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};

use crate::support::{recorded, request, said};
use crate::{builder, server};

/// A server whose agents offer these, and keep their sessions in the folder.
async fn offering(offers: &str, folder: &tempfile::TempDir) -> RealServer {
    let options = RealServerOptions::new()
        .env("SCRIPTED_AGENT_OFFERS", offers)
        .env("SCRIPTED_AGENT_SESSIONS", folder.path().to_str().unwrap());
    RealServer::start(options).await.unwrap()
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn settings_are_kept_and_put_back_on_a_new_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = offering("resume,thought,login", &folder).await;
    let builder = builder(&server).authentication(Authentication::method("key"));
    let sdk = builder.connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.set_mode("plan").await.unwrap();
    session.set_model("large").await.unwrap();
    session.set_thought_level("high").await.unwrap();
    session.set_config_option("fast", true).await.unwrap();
    let error = session.set_mode("yolo").await.unwrap_err();
    assert_eq!(error.offered(), ["default", "plan"]);
    sdk.close_session("one").await.unwrap();
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!((opened.outcome, opened.not_restored), (ResumeOutcome::Resumed, Vec::new()));
    opened.session.prompt("mode").await.unwrap();
    let said = said(&recorded(&opened.session).await);
    let config = r#"config: {"model":"large","effort":"high","fast":true}"#;
    assert!(said.contains("mode: plan") && said.ends_with(config), "{said}");
    sdk.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_is_off_is_refused_at_once_and_what_is_on_is_answered() {
    struct Notes;
    #[async_trait]
    impl TextFileReader for Notes {
        async fn read_text_file(
            &self,
            _: &Asked,
            request: ReadTextFileRequest,
        ) -> Handled<ReadTextFileResponse> {
            Ok(ReadTextFileResponse::new(format!("read {}", request.path.display())))
        }
    }
    let server = server().await;
    let sdk = builder(&server).connect().await.unwrap();
    let read = r#"request fs/read_text_file {"sessionId": "x", "path": "/a"}"#;
    let run = r#"request terminal/create {"sessionId": "x", "command": "ls"}"#;
    let others = [
        r#"request fs/write_text_file {"sessionId": "x", "path": "/a", "content": "b"}"#,
        r#"request terminal/output {"sessionId": "x", "terminalId": "t"}"#,
        r#"request terminal/wait_for_exit {"sessionId": "x", "terminalId": "t"}"#,
        r#"request terminal/kill {"sessionId": "x", "terminalId": "t"}"#,
        r#"request terminal/release {"sessionId": "x", "terminalId": "t"}"#,
        r#"request elicitation/create {"sessionId": "x", "mode": "form", "message": "m", "requestedSchema": {}}"#,
        "request _acme/draw {}",
        "request acme/draw {}",
    ];
    let off = sdk.create_session(request("off")).await.unwrap();
    for (asks, times) in [read, run].into_iter().chain(others).zip(1..) {
        let refused = tokio::time::timeout(std::time::Duration::from_secs(5), off.prompt(asks)).await;
        refused.unwrap_or_else(|_| panic!("{asks} waits")).unwrap();
        assert_eq!(said(&recorded(&off).await), "error: -32601".repeat(times), "{asks}");
    }
    let handlers = ClientHandlers::new().read_text_files(Notes);
    let on = sdk.create_session(request("on").handlers(handlers)).await.unwrap();
    for asks in [read, run] {
        on.prompt(asks).await.unwrap();
    }
    assert_eq!(said(&recorded(&on).await), "answer: {\"content\":\"read /a\"}error: -32601");
    sdk.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_session_is_forked_listed_and_deleted_and_its_view_is_that_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let server = offering("load,manage", &folder).await;
    let driver = sandbox_agent_sdk::MemorySessionPersistDriver::new();
    let sdk = builder(&server).persist(driver.clone()).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say plum; tool Read a").await.unwrap();
    let fork = sdk.fork_session("one", "two").await.unwrap();
    assert_eq!(fork.outcome, ResumeOutcome::Loaded);
    fork.session.prompt("history").await.unwrap();
    let text: String = PlainText::of(&driver, "two").try_collect().await.unwrap();
    assert!(text.contains("Agent: plum") && text.contains("[tool] Read a: done"), "{text}");
    assert!(text.contains("history: 2"), "{text}");
    let mut view = SessionView::new();
    for event in recorded(&fork.session).await {
        view.add(event);
    }
    assert_eq!(view.to_plain_text(), text);
    let listed = session.list_agent_sessions(ListSessionsRequest::new()).await.unwrap().sessions;
    let forked = fork.session.record().agent_session_id;
    assert!(listed.iter().any(|known| *known.session_id.0 == *forked));
    session.delete_agent_session(&forked).await.unwrap();
    let listed = session.list_agent_sessions(ListSessionsRequest::new()).await.unwrap().sessions;
    assert!(listed.iter().all(|known| *known.session_id.0 != *forked));
    let plain = super::server().await;
    let sdk = builder(&plain).connect().await.unwrap();
    sdk.create_session(request("one")).await.unwrap();
    let refused = sdk.fork_session("one", "two").await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::NotOffered { method: "session/fork".to_owned() });
}
