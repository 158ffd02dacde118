//! Names of a caller's own choice, whatever is in them: they stay apart, and go out encoded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::persist::envelope;
use sandbox_agent_sdk::{
    Delivery, ErrorKind, ListSessionsRequest, MemorySessionPersistDriver, Prompt, ResumeOutcome,
    SessionPersistDriver, SessionRequest,
};
use sandbox_agent_testkit::Sandbox;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use crate::support::{recorded, request, said, stored};
use crate::{PATIENCE, limits, sandbox, sdk_on};

/// What breaks paths, queries, headers, SQL, keys or eyes; some differ only where it is easily lost.
fn names() -> Vec<String> {
    let short = [
        "a",
        "A",
        "a ",
        " a",
        "a/b",
        "a%2fb",
        "..",
        ".",
        "../a",
        "%2e%2e",
        "?",
        "a?agent=b",
        "#",
        "a#b",
        "&",
        "a&agent=b",
        "+",
        "%",
        "%00",
        "\0",
        "a\0",
        "a\nb",
        "a\r\nb: c",
        "\u{7f}",
        "'; DELETE FROM sessions; --",
        "🦀",
        "\u{202e}b/a",
        "é",
        "e\u{301}",
        "\u{feff}a",
        "prompt1:1:a:b",
        "1:a",
    ];
    let long = "x".repeat(64 * 1024 - 1);
    short.map(str::to_owned).into_iter().chain([format!("{long}y"), format!("{long}z")]).collect()
}

async fn sessions_stay_apart(driver: Arc<impl SessionPersistDriver>) {
    let sandbox = sandbox().await;
    let names = names();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    for (number, name) in names.iter().enumerate() {
        let session = sdk.create_session(request(name)).await.unwrap();
        session.prompt(format!("say first {number}")).await.unwrap();
    }
    let again = sdk.create_session(request(&names[0])).await.unwrap_err();
    assert_eq!(*again.kind(), ErrorKind::SessionExists);
    sdk.close().await.unwrap();

    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let (gone, kept) = names.split_at(names.len() / 2);
    for name in gone {
        sdk.destroy_session(name).await.unwrap();
    }
    for name in kept {
        let opened = sdk.resume_session(name).await.unwrap();
        assert_eq!((opened.session.id(), opened.outcome), (name.as_str(), ResumeOutcome::Transcript));
        opened.session.prompt("say second").await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        let session = sdk.get_session(name).await.unwrap().unwrap();
        let is_gone = number < gone.len();
        assert_eq!(session.record().destroyed_at.is_some(), is_gone, "{name:?}");
        let told = if is_gone { format!("first {number}") } else { format!("first {number}second") };
        assert_eq!(said(&recorded(&session).await), told, "{name:?}");
        assert!(stored(&*driver, name).await.iter().all(|event| event.session_id == *name));
    }
    let mut page = ListSessionsRequest::new().limit(5);
    let mut listed = Vec::new();
    while let found = sdk.list_sessions(page.clone()).await.unwrap()
        && !found.items.is_empty()
    {
        listed.extend(found.items.into_iter().map(|record| record.id));
        let Some(next) = found.next_cursor else { break };
        page = page.cursor(next);
    }
    assert_eq!(listed.len(), names.len());
    assert_eq!(BTreeSet::from_iter(&listed), BTreeSet::from_iter(&names));
    assert_processes_have_ids_of_our_own(&sandbox);
}

/// Nothing of a caller's is in a path.
fn assert_processes_have_ids_of_our_own(sandbox: &Sandbox) {
    let requests = sandbox.requests();
    let on_processes: Vec<_> = requests.iter().filter_map(|request| request.server_id()).collect();
    assert!(!on_processes.is_empty());
    for id in on_processes {
        assert!(Uuid::parse_str(id).is_ok(), "{id:?} is no id of the SDK's");
    }
}

#[tokio::test]
async fn sessions_of_any_name_stay_apart_in_memory() {
    sessions_stay_apart(Arc::new(MemorySessionPersistDriver::new())).await;
}

#[tokio::test]
async fn sessions_of_any_name_stay_apart_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let driver = SqliteSessionPersistDriver::open(folder.path().join("sessions.db")).await.unwrap();
    sessions_stay_apart(Arc::new(driver)).await;
}

#[tokio::test]
async fn an_agents_name_goes_out_encoded_and_alone() {
    let sandbox = sandbox().await;
    let sdk = sdk_on(&sandbox, MemorySessionPersistDriver::new(), limits()).await;
    for (number, name) in names().iter().filter(|name| name.len() < 1024).enumerate() {
        let before = sandbox.requests().len();
        // The server knows no such agent, and says so.
        let refused = sdk.create_session(SessionRequest::new(number.to_string(), name)).await.unwrap_err();
        assert_eq!(refused.problem().unwrap().code(), "unsupported_agent", "{refused:?}");
        let named: Vec<_> = sandbox.requests()[before..]
            .iter()
            .filter(|request| request.path.contains('?'))
            .cloned()
            .collect();
        assert_eq!(named.len(), 1, "one call names the agent");
        assert!(named[0].path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", named[0].path);
        let url = Url::parse(&format!("{}{}", sandbox.url(), named[0].path)).unwrap();
        let query: Vec<_> = url.query_pairs().collect();
        assert_eq!(query, [("agent".into(), name.as_str().into())]);
        assert_eq!(url.path_segments().unwrap().count(), 3);
    }
    assert_processes_have_ids_of_our_own(&sandbox);
}

#[tokio::test]
async fn an_agents_name_that_no_address_holds_is_an_error() {
    let sandbox = sandbox().await;
    let limits = limits().request(Duration::from_secs(1)).reconnect(Duration::from_secs(1));
    let sdk = sdk_on(&sandbox, MemorySessionPersistDriver::new(), limits).await;
    let name = "🦀".repeat(64 * 1024 / 4);
    let opened = timeout(PATIENCE, sdk.create_session(SessionRequest::new("one", name))).await.unwrap();
    assert!(opened.unwrap_err().to_string().len() < 1024, "an error is short");
    assert!(sandbox.servers().is_empty(), "no process was started");
}

async fn keys_stay_apart(driver: impl SessionPersistDriver) {
    let sandbox = sandbox().await;
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let names = names();
    // Whatever joins a session's name and a key, no two pairs may be one.
    for id in ["1", "1:a", "a", "🦀"] {
        let session = sdk.create_session(request(id)).await.unwrap();
        for key in &names {
            session.prompt(Prompt::new("say once").idempotency_key(key)).await.unwrap();
        }
        for key in &names {
            let again = session.prompt(Prompt::new("say twice").idempotency_key(key)).await.unwrap_err();
            assert_eq!(*again.kind(), ErrorKind::DuplicatePrompt, "{key:?}");
            assert_eq!(again.delivery(), Some(Delivery::Executed));
        }
        assert_eq!(said(&recorded(&session).await), "once".repeat(names.len()));
        let kinds = stored_prompts(&session).await;
        assert_eq!(kinds, names.len());
    }
}

async fn stored_prompts(session: &sandbox_agent_sdk::Session) -> usize {
    let is_prompt =
        |kind| matches!(kind, envelope::Kind::Request { method, .. } if method == envelope::PROMPT);
    recorded(session).await.iter().filter(|event| is_prompt(envelope::kind(&event.payload))).count()
}

#[tokio::test]
async fn keys_of_any_kind_stay_apart_in_memory() {
    keys_stay_apart(MemorySessionPersistDriver::new()).await;
}

#[tokio::test]
async fn keys_of_any_kind_stay_apart_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let driver = SqliteSessionPersistDriver::open(folder.path().join("sessions.db")).await.unwrap();
    keys_stay_apart(driver).await;
}
