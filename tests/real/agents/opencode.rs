//! OpenCode: chosen settings, a permission, a plan, what it cost, and each way to take a session up again.

use futures::StreamExt;
use sandbox_agent_sdk::acp_schema::{PlanEntryStatus, ToolCallStatus};
use sandbox_agent_sdk::{PermissionAnswer, PermissionReply, ResumeOutcome, Session, TurnState, What};
use serde_json::json;

use super::model::Tools;
use super::stage::{Stage, chosen, program, times_said, view};
use crate::support::{assert_sound, request, stored};

/// Names its program.
const VARIABLE: &str = "OPENCODE_BIN";

/// What it says that it can do.
#[derive(Clone, Copy)]
pub enum Offers {
    All,
    /// All but `session/resume`.
    NoResume,
}

pub async fn stage() -> Stage {
    let todo = json!({ "id": "1", "content": "look", "status": "in_progress", "priority": "high" });
    let stage = Stage::new(Tools {
        run: ("bash", json!({ "command": "echo hi", "description": "says hi" })),
        plan: ("todowrite", json!({ "todos": [todo] })),
    });
    let stage = stage.await;
    launch(&stage, Offers::All);
    stage
}

fn launch(stage: &Stage, offers: Offers) {
    let models = json!({ "stub": { "name": "stub" }, "other": { "name": "other" } });
    let options = json!({ "baseURL": format!("{}/v1", stage.model_url()), "apiKey": "k" });
    let config = json!({
        "model": "stub/stub", "small_model": "stub/stub", "autoupdate": false, "share": "disabled", "enabled_providers": ["stub"],
        "permission": { "bash": "ask" },
        "provider": { "stub": { "npm": "@ai-sdk/openai-compatible", "options": options, "models": models } },
    });
    let config = stage.write("config.json", &config.to_string());
    let program = program(VARIABLE);
    let command = match offers {
        Offers::All => format!("exec {program} acp"),
        // Under another name it is nothing that anybody knows.
        Offers::NoResume => format!(r#"{program} acp | sed -u 's/"resume":/"resumeNot":/'"#),
    };
    stage.launch(&command, &[("OPENCODE_CONFIG", config.display().to_string())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and OpenCode: cargo xtask test"]
async fn opencode_chooses_asks_and_tells_what_it_does() {
    let stage = stage().await;
    let (sdk, _) = stage.sdk().await;
    let session = sdk.create_session(request("one").cwd(stage.repo())).await.unwrap();
    assert_eq!(chosen(&session), (Some("build".into()), Some("stub/stub".into())));
    session.set_model("stub/other").await.unwrap();
    session.set_mode("plan").await.unwrap();
    assert_eq!(who(&session).await, "I am other, planning");
    session.set_mode("build").await.unwrap();
    let error = session.set_mode("yolo").await.unwrap_err();
    assert_eq!(error.offered(), ["build", "plan"]);
    assert!(session.agent_capabilities().load_session);

    let turn = session.prompt("RUN");
    let asked = session.permission_requests().next().await.unwrap();
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    session.prompt("TODO").await.unwrap();

    let seen = view(&session).await;
    let tool = seen.entries().find_map(|entry| match &entry.what {
        What::Tool(call) if call.title == "echo hi" => Some(call),
        _ => None,
    });
    let tool = tool.unwrap();
    assert_eq!((tool.status, tool.content.len()), (ToolCallStatus::Completed, 1), "{tool:?}");
    let permission = seen.entries().find_map(|entry| match &entry.what {
        What::Permission(permission) => Some(permission),
        _ => None,
    });
    let permission = permission.unwrap();
    assert_eq!(
        (permission.title.as_str(), &permission.answer),
        ("echo hi", &PermissionAnswer::Option("once".into()))
    );
    let plan = seen.plan().unwrap();
    assert_eq!(
        (plan.entries[0].content.as_str(), &plan.entries[0].status),
        ("look", &PlanEntryStatus::InProgress)
    );
    assert!(seen.turns().all(|turn| turn.state == TurnState::Ended("end_turn".into())));
    let tokens = seen.usage().tokens.unwrap();
    assert_eq!((tokens.total, tokens.input, tokens.output), (18, 11, 7));
    assert!(seen.commands().iter().any(|command| command.name == "init"));
    let unknown: Vec<_> = seen
        .entries()
        .filter(|entry| matches!(entry.what, What::Unknown(_)))
        .map(ToString::to_string)
        .collect();
    assert_eq!(unknown, Vec::<String>::new());
    sdk.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and OpenCode: cargo xtask test"]
async fn opencode_is_resumed_and_loaded_with_its_settings_and_nothing_twice() {
    let stage = stage().await;
    let (sdk, driver) = stage.sdk().await;
    let session = sdk.create_session(request("one").cwd(stage.repo())).await.unwrap();
    session.set_model("stub/other").await.unwrap();
    session.set_mode("plan").await.unwrap();
    session.prompt("SAY a plum").await.unwrap();
    session.prompt("TODO").await.unwrap();
    sdk.close().await.unwrap();

    let ways = [(Offers::All, ResumeOutcome::Resumed), (Offers::NoResume, ResumeOutcome::Loaded)];
    for (offers, expected) in ways {
        launch(&stage, offers);
        let before = stored(&driver, "one").await;
        let (sdk, _) = stage.sdk().await;
        let opened = sdk.resume_session("one").await.unwrap();
        assert_eq!((opened.outcome, opened.not_restored), (expected, Vec::new()));
        let session = opened.session;
        assert_eq!(chosen(&session), (Some("plan".into()), Some("stub/other".into())), "{expected:?}");
        assert_eq!(who(&session).await, "I am other, planning", "{expected:?}");
        let events = stored(&driver, "one").await;
        assert_sound(&events);
        assert_eq!(events[..before.len()], before[..]);
        assert_eq!(times_said(&events, "plum"), 1, "what was stored is not stored again: {expected:?}");
        assert_eq!(times_said(&events[before.len()..], "I am"), 1, "{expected:?}");
        sdk.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and OpenCode: cargo xtask test"]
async fn opencode_forks_with_its_past_and_apart() {
    let stage = stage().await;
    let (sdk, _) = stage.sdk().await;
    let session = sdk.create_session(request("one").cwd(stage.repo())).await.unwrap();
    session.prompt("SAY a plum").await.unwrap();
    session.prompt("TODO").await.unwrap();
    let fork = sdk.fork_session("one", "two").await.unwrap();
    let told = view(&fork.session).await.to_plain_text();
    assert!(told.contains("plum") && told.contains("[tool] "), "{told}");
    fork.session.prompt("SAY a fig").await.unwrap();
    assert!(view(&fork.session).await.answer().contains("fig"));
    assert!(!view(&session).await.to_plain_text().contains("fig"));
    sdk.close().await.unwrap();
}

/// Which model answers, and whether it was told only to plan.
async fn who(session: &Session) -> String {
    session.prompt("WHO").await.unwrap();
    view(session).await.answer()
}
