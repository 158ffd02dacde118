//! Several nodes on one store and one sandbox: one drives, the others watch, and one that dies is followed by the next.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_postgres::{PostgresOptions, PostgresSessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::persist::SessionFilter;
use sandbox_agent_sdk::{
    ErrorKind, From, Limits, ListSessionsRequest, ResumeOutcome, SandboxAgent, SandboxAgentBuilder,
    SessionPersistDriver,
};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::support::{assert_sound, begun, recorded, request, said, stored, updates};
use crate::{child, server};

const PATIENCE: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(2);
const URL: &str = "TEST_NODE_URL";
const STORE: &str = "TEST_NODE_STORE";
const POSTGRES: &str = "SANDBOX_AGENT_POSTGRES_URL";
/// What the name of a store begins with that is no file.
const SCHEMA: &str = "schema:";

/// A store that a node opens by what is in the text, as another process does: a file, or a schema.
async fn open(store: &str) -> Arc<dyn SessionPersistDriver> {
    let Some(schema) = store.strip_prefix(SCHEMA) else {
        return Arc::new(SqliteSessionPersistDriver::open(PathBuf::from(store)).await.unwrap());
    };
    let url = std::env::var(POSTGRES).expect("the URL of a scratch PostgreSQL");
    let options = PostgresOptions::new().schema(schema);
    Arc::new(PostgresSessionPersistDriver::connect_with_options(&url, options).await.unwrap())
}

/// A schema of its own on a server that is thrown away.
fn schema(name: &str) -> String {
    format!("{SCHEMA}{name}_{}", std::process::id())
}

async fn node(url: &str, store: &str, name: &str) -> SandboxAgent {
    builder(url, store, name).await.connect().await.unwrap()
}

async fn builder(url: &str, store: &str, name: &str) -> SandboxAgentBuilder {
    let limits = Limits::default().lease(LEASE);
    SandboxAgent::builder(url).persist(open(store).await).holder(name).limits(limits)
}

fn file() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db").to_str().unwrap().to_owned();
    (folder, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_node_that_watches_sees_all_that_the_holder_brings_about() {
    let (server, (_folder, store)) = (server().await, file());
    watches(server.url(), &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and PostgreSQL: cargo xtask test"]
async fn a_node_that_watches_by_postgres_sees_all_that_the_holder_brings_about() {
    watches(server().await.url(), &schema("watches")).await;
}

async fn watches(url: &str, store: &str) {
    let a = builder(url, store, "a").await.compact(true).connect().await.unwrap();
    let b = node(url, store, "b").await;
    let session = a.create_session(request("one")).await.unwrap();
    let watching = b.get_session("one").await.unwrap().unwrap();
    let mut seen = watching.events(From::Start);
    let mut turn = session.prompt("say begun; stream 3000 rate=3000; say over");
    begun(&mut turn).await;
    let refused = b.resume_session("one").await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Held { holder: "a".to_owned() });
    turn.await.unwrap();

    let last = session.last_index();
    let mut read = Vec::new();
    while read.last().is_none_or(|event: &sandbox_agent_sdk::SessionEvent| event.event_index < last) {
        let event = timeout(PATIENCE, seen.next()).await.unwrap().unwrap().unwrap();
        let next = read.last().map_or(1, |last: &sandbox_agent_sdk::SessionEvent| last.event_index + 1);
        assert_eq!(event.first_index(), next, "no hole, no double, be it folded or not");
        read.push((*event).clone());
    }
    let words = said(&read);
    assert!(words.starts_with("begunu1 u2 ") && words.ends_with("u3000 over"), "{words}");

    a.detach_session("one").await.unwrap();
    let opened = b.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    opened.session.prompt("say mine").await.unwrap();
    b.close().await.unwrap();
    let again = a.get_session("one").await.unwrap().unwrap();
    assert!(said(&stored(&open(store).await, "one").await).ends_with("overmine"));
    assert!(again.lease().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_node_that_is_killed_is_followed_by_the_next_and_its_turn_goes_on() {
    if let Some(store) = child::variable(STORE) {
        return drive(&child::variable(URL).unwrap(), &store).await;
    }
    let (server, (_folder, store)) = (server().await, file());
    let test = "nodes::a_node_that_is_killed_is_followed_by_the_next_and_its_turn_goes_on";
    follows(server.url(), &store, test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and PostgreSQL: cargo xtask test"]
async fn a_node_on_postgres_that_is_killed_is_followed_by_the_next_and_its_turn_goes_on() {
    if let Some(store) = child::variable(STORE) {
        return drive(&child::variable(URL).unwrap(), &store).await;
    }
    let test = "nodes::a_node_on_postgres_that_is_killed_is_followed_by_the_next_and_its_turn_goes_on";
    follows(server().await.url(), &schema("follows"), test).await;
}

/// What the node does that is killed.
async fn drive(url: &str, store: &str) {
    let sdk = node(url, store, "dies").await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; stream 2000 rate=500; say over");
    begun(&mut turn).await;
    println!("DRIVING");
    turn.await.unwrap();
}

async fn follows(url: &str, store: &str, test: &str) {
    let mut dies = tokio::process::Command::from(Command::new(std::env::current_exe().unwrap()));
    dies.args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
    dies.envs([(URL, url), (STORE, store)]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut dies = dies.spawn().unwrap();
    let mut lines = BufReader::new(dies.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("DRIVING") {}

    let next = node(url, store, "next").await;
    let held = ErrorKind::Held { holder: "dies".to_owned() };
    assert_eq!(*next.resume_session("one").await.unwrap_err().kind(), held);
    dies.kill().await.unwrap();
    let waited = async {
        loop {
            match next.resume_session("one").await {
                Ok(opened) => return opened,
                Err(error) => assert_eq!(*error.kind(), held),
            }
        }
    };
    let opened = timeout(PATIENCE, waited).await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    let turn = opened.session.running_turn().unwrap();
    assert_eq!(timeout(PATIENCE, turn).await.unwrap().unwrap().stop_reason, StopReason::EndTurn);
    let events = recorded(&opened.session).await;
    assert_sound(&events);
    assert_eq!(updates(&events), (1..=2000).collect::<Vec<_>>(), "nothing is lost, and nothing doubled");
    next.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_an_agent_calls_its_session_is_found_by_every_node() {
    let (server, (_folder, store)) = (server().await, file());
    let sdk = node(server.url(), &store, "a").await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let info = r#"{"update":{"sessionUpdate":"session_info_update","title":"Mend the login","updatedAt":"2026-01-02T03:04:05Z"}}"#;
    session.prompt(format!("notify session/update {info}; say done")).await.unwrap();
    sdk.set_tags("one", ["nightly"]).await.unwrap();
    sdk.close().await.unwrap();
    let other = open(&store).await;
    for filter in [SessionFilter::new().title("the LOGIN"), SessionFilter::new().tag("nightly").open()] {
        let found = other.list_sessions(ListSessionsRequest::new().filter(filter)).await.unwrap();
        assert_eq!(found.items.len(), 1);
        assert_eq!(found.items[0].title.as_deref(), Some("Mend the login"));
    }
}
