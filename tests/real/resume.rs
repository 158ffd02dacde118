//! A second process resumes the session of the first, by every rung.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::persist::envelope;
use sandbox_agent_sdk::{Delivery, Limits, Prompt, ResumeOutcome, SandboxAgent, Session, TurnEvent};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tempfile::TempDir;

use crate::support::{assert_sound, gaps, notes, recorded, request, said, stored, updates};
use crate::{builder, child, server};

const URL: &str = "RESUME_URL";
const FILE: &str = "RESUME_FILE";
const SCRIPT: &str = "RESUME_SCRIPT";
/// What the child does when its script is read.
const END: &str = "RESUME_END";

/// A server and a file that outlive the first process.
struct Stage {
    server: RealServer,
    folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self { server: server().await, folder: tempfile::tempdir().unwrap() }
    }

    /// Whose agents offer these of `load` and `resume`, and keep their sessions.
    async fn offering(offers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = RealServerOptions::new()
            .env("SCRIPTED_AGENT_OFFERS", offers)
            .env("SCRIPTED_AGENT_SESSIONS", folder.path().join("agent").to_str().unwrap());
        Self { server: RealServer::start(options).await.unwrap(), folder }
    }

    async fn driver(&self) -> SqliteSessionPersistDriver {
        SqliteSessionPersistDriver::open(self.folder.path().join("sessions.db")).await.unwrap()
    }

    async fn sdk(&self) -> SandboxAgent {
        builder(&self.server).persist(self.driver().await).connect().await.unwrap()
    }

    /// A process of its own prompts with this script, and ends as told.
    fn first_process(&self, script: &str, end: &str) {
        let file = self.folder.path().join("sessions.db");
        let variables =
            [(URL, self.server.url()), (FILE, file.to_str().unwrap()), (SCRIPT, script), (END, end)];
        let output = child::run("resume::the_first_process", &variables);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("the first process got there"), "{printed}");
    }
}

/// The child of the tests here; alone it has nothing to do.
#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_first_process() {
    let (Some(url), Some(file)) = (child::variable(URL), child::variable(FILE)) else { return };
    let (script, end) = (child::variable(SCRIPT).unwrap(), child::variable(END).unwrap());
    let driver = SqliteSessionPersistDriver::open(file).await.unwrap();
    let sdk = SandboxAgent::builder(url).persist(driver).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.raw_send("session/set_mode", serde_json::json!({ "modeId": "plan" })).await.unwrap();
    let mut turn = session.prompt(Prompt::new(script).idempotency_key("first"));
    match end.as_str() {
        "die when it has begun" => {
            while turn.next().await.unwrap().unwrap().text().as_deref() != Some("begun") {}
        }
        "die when asked" => while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Permission(_)) {},
        _ => drop(turn.await.unwrap()),
    }
    println!("the first process got there");
    match end.as_str() {
        "close" => sdk.close().await.unwrap(),
        "detach" => sdk.detach().await.unwrap(),
        // By no way that could store or send anything more.
        _ => kill_myself(),
    }
}

fn kill_myself() {
    let id = std::process::id().to_string();
    std::process::Command::new("kill").args(["-9", &id]).status().unwrap();
}

/// What is said when asked, on this session.
async fn answer(session: &Session, script: &str) -> String {
    let before = usize::try_from(session.last_index()).unwrap();
    session.prompt(script).await.unwrap();
    said(&recorded(session).await[before..])
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn after_a_kill_the_running_turn_goes_on_and_can_be_awaited() {
    let stage = Stage::new().await;
    stage.first_process("say begun; stream 400 rate=200; say over", "die when it has begun");
    let before = stored(&stage.driver().await, "one").await;
    assert_sound(&before);
    let sdk = stage.sdk().await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    assert_eq!(opened.not_restored, []);
    let session = opened.session;
    assert_eq!(session.delivery("first").await.unwrap(), Some(Delivery::Executed));
    let turn = session.running_turn().unwrap();
    let events: Vec<_> = turn.try_collect().await.unwrap();
    assert!(matches!(events.last(), Some(TurnEvent::Finished(_))));
    assert!(session.running_turn().is_none());
    assert_eq!(answer(&session, "mode").await, "mode: plan model: small config: {\"model\":\"small\"}");
    let events = recorded(&session).await;
    assert_sound(&events);
    assert!(events[..before.len()] == before, "the record only grows");
    assert_eq!(updates(&events), (1..=400).collect::<Vec<_>>());
    assert_eq!(gaps(&events), []);
    assert!(said(&events).contains("over"));
    sdk.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_permission_that_was_asked_before_a_kill_is_listed_again_and_answered() {
    let stage = Stage::new().await;
    stage.first_process("ask Delete build/", "die when asked");
    let sdk = stage.sdk().await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    let session = opened.session;
    let request = session.permission_requests().next().await.unwrap();
    assert_eq!(request.tool_call.fields.title.as_deref(), Some("Delete build/"));
    let turn = session.running_turn().unwrap();
    session.respond(&request.id, sandbox_agent_sdk::PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    assert!(said(&recorded(&session).await).ends_with("permission: allow-once"));
    sdk.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_detach_left_is_reattached_and_costs_the_same_at_any_length() {
    let stage = Stage::new().await;
    stage.first_process("stream 1000; stream 1000 rate=20000; say begun", "detach");
    let start = Instant::now();
    let sdk = stage.sdk().await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    assert!(opened.session.running_turn().is_none());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(answer(&opened.session, "say still there").await, "still there");
    assert_sound(&recorded(&opened.session).await);
    sdk.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn two_observers_of_one_process_store_an_event_once() {
    let stage = Stage::new().await;
    let (one, two) = (stage.sdk().await, stage.sdk().await);
    let first = one.create_session(request("one")).await.unwrap();
    let opened = two.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    let second = opened.session;
    for round in 0..5 {
        let (a, b) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        a.prompt("stream 300 rate=3000").await.unwrap();
        b.prompt("say next").await.unwrap();
    }
    let events = stored(&stage.driver().await, "one").await;
    assert_sound(&events);
    assert_eq!(updates(&events).len(), 5 * 300);
    assert_eq!(said(&events).matches("next").count(), 5);
    assert_eq!(gaps(&events), []);
    one.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_agents_own_records_are_used_where_it_offers_that() {
    for (offers, outcome) in [("resume,load", ResumeOutcome::Resumed), ("load", ResumeOutcome::Loaded)] {
        let stage = Stage::offering(offers).await;
        stage.first_process("say plum; tool Read; stream 50", "close");
        let before = stored(&stage.driver().await, "one").await;
        let sdk = stage.sdk().await;
        let opened = sdk.resume_session("one").await.unwrap();
        assert_eq!(opened.outcome, outcome);
        assert_eq!(opened.not_restored, []);
        assert_eq!(answer(&opened.session, "history").await, "history: 2");
        assert!(answer(&opened.session, "mode").await.starts_with("mode: plan "), "the mode is put back");
        assert_eq!(answer(&opened.session, "recall").await, "recall", "no transcript is needed");
        let events = stored(&stage.driver().await, "one").await;
        assert_sound(&events);
        assert!(events[..before.len()] == before, "the record only grows");
        assert_eq!(updates(&events), (1..=50).collect::<Vec<_>>(), "nothing is stored twice");
        assert_eq!(notes(&events, envelope::REPLAYED), usize::from(outcome == ResumeOutcome::Loaded));
        sdk.close().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn without_them_the_next_prompt_has_a_transcript() {
    let stage = Stage::new().await;
    stage.first_process("stream 500; say remember the word plum", "close");
    let sdk = stage.sdk().await;
    let opened = sdk.resume_or_create(request("one")).await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    assert!(answer(&opened.session, "recall").await.contains("remember the word plum"));
    assert!(answer(&opened.session, "mode").await.starts_with("mode: plan "), "the mode is put back");
    sdk.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_server_that_was_restarted_knows_the_process_no_more() {
    let mut stage = Stage::new().await;
    stage.first_process("say begun; think 60000", "die when it has begun");
    stage.server.restart().await.unwrap();
    let sdk = builder(&stage.server)
        .persist(stage.driver().await)
        .limits(Limits::default())
        .connect()
        .await
        .unwrap();
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    assert!(opened.session.running_turn().is_none());
    let events = recorded(&opened.session).await;
    assert_eq!(notes(&events, envelope::PROCESS_ENDED), 1);
    assert_eq!(notes(&events, envelope::TURN_ENDED), 1, "the turn that ran has an end");
    assert_eq!(opened.session.delivery("first").await.unwrap(), Some(Delivery::Executed));
    sdk.close().await.unwrap();
}
