//! Sessions that go from one SDK to the other and back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbox_agent_sdk::{ResumeOutcome, SandboxAgent, SessionEvent};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peer;
use crate::seen::payload;
use crate::store::Kind;
use crate::support::{assert_sound, recorded, said, stored};

/// What a session was before a turn and after it, and what the agent said in that.
struct Grown {
    before: Vec<SessionEvent>,
    after: Vec<SessionEvent>,
    said: String,
}

/// A turn of this SDK in each session.
async fn ours(kind: Kind, file: &Path, server: &RealServer, prompt: &str) -> BTreeMap<String, Grown> {
    let store = kind.open(file).await;
    let sdk = SandboxAgent::builder(server.url()).persist(store.driver.clone()).connect().await.unwrap();
    let mut sessions = BTreeMap::new();
    for record in store.sessions().await {
        let before = stored(&*store.driver, &record.id).await;
        let opened = sdk.resume_session(&record.id).await.unwrap();
        assert_eq!(opened.outcome, ResumeOutcome::Transcript);
        opened.session.prompt(prompt).await.unwrap();
        let after = recorded(&opened.session).await;
        assert!(after.starts_with(&before), "the record only grows");
        let said = said(&after[before.len()..]);
        sessions.insert(record.id, Grown { before, after, said });
    }
    sdk.close().await.unwrap();
    for (id, grown) in &mut sessions {
        let closed = stored(&*store.driver, id).await;
        assert!(closed.starts_with(&grown.after), "the record only grows");
        assert_sound(&closed);
        grown.after = closed;
    }
    store.close().await;
    sessions
}

/// What the TypeScript SDK found in a session, and what the agent said then.
#[derive(Deserialize)]
struct Theirs {
    id: String,
    events: Value,
    said: String,
}

/// The events as they are stored, whichever program printed their JSON.
fn printed(events: &[SessionEvent]) -> Value {
    let print = |event: &SessionEvent| {
        json!({
            "id": event.id, "eventIndex": event.event_index, "sessionId": event.session_id,
            "createdAt": event.created_at, "connectionId": event.connection_id,
            "sender": event.sender.as_str(), "payload": payload(event),
        })
    };
    events.iter().map(print).collect()
}

async fn sessions_go_both_ways(kind: Kind) -> (TempDir, PathBuf) {
    let server = RealServer::start(RealServerOptions::new()).await.unwrap();
    let (folder, file) = kind.copy();
    let first = ours(kind, &file, &server, "recall; say one of ours").await;
    assert_eq!(first.len(), 4);

    let parameters = json!({"url": server.url(), "file": file, "prompt": "recall; say one of theirs"});
    let theirs: Vec<Theirs> = serde_json::from_value(peer::run("grow", &parameters).await).unwrap();
    assert_eq!(theirs.len(), first.len());

    let last = ours(kind, &file, &server, "recall; say two of ours").await;
    assert_eq!(last.len(), first.len());
    for Theirs { id, events, said } in theirs {
        let (first, last) = (&first[&id], &last[&id]);
        assert!(first.said.contains("over"), "the agent was told the past: {}", first.said);
        assert!(first.said.ends_with("one of ours"), "{}", first.said);
        assert_eq!(events, printed(&first.after), "all of ours is there for them");
        assert!(said.contains("one of ours"), "the agent was told of our turn: {said}");
        assert!(said.ends_with("one of theirsover"), "{said}");
        let kept = &last.before[..first.after.len()];
        assert_eq!(printed(kept), printed(&first.after), "they left ours as it was");
        assert!(last.said.contains("one of theirs"), "the agent was told of their turn: {}", last.said);
        assert!(last.said.ends_with("two of ours"), "{}", last.said);
    }
    let store = kind.open(&file).await;
    let sessions = store.sessions().await;
    assert!(sessions.iter().all(|record| record.destroyed_at.is_none()), "resuming opened it again");
    store.close().await;
    (folder, file)
}

#[tokio::test]
#[ignore = "needs the real server and the TypeScript SDK: cargo xtask test"]
async fn a_database_goes_both_ways() {
    sessions_go_both_ways(Kind::Sqlite).await;
}

#[tokio::test]
#[ignore = "needs the real server and the TypeScript SDK: cargo xtask test"]
async fn a_state_goes_both_ways() {
    let (_folder, file) = sessions_go_both_ways(Kind::State).await;
    let state: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(state["visits"], 2, "what is the actor's own stays");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_was_chosen_there_is_put_back_here() {
    let server = RealServer::start(RealServerOptions::new()).await.unwrap();
    let (_folder, file) = Kind::State.copy();
    let grown = ours(Kind::State, &file, &server, "mode").await;
    let set = |id: &str| grown[id].said.split(" config:").next().unwrap().to_owned();
    assert_eq!([set("chosen"), set("turns")], ["mode: plan model: large", "mode: default model: small"]);
}
