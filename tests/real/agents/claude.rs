//! Claude Code, by its ACP adapter.

use sandbox_agent_sdk::ResumeOutcome;
use serde_json::json;

use super::model::Tools;
use super::play::{Ways, play};
use super::stage::{Stage, program, view};
use crate::support::request;

/// Names its program.
const VARIABLE: &str = "CLAUDE_ACP_BIN";

async fn stage() -> Stage {
    let todo = json!({ "content": "look", "status": "in_progress", "activeForm": "looking" });
    let stage = Stage::new(Tools {
        run: ("Bash", json!({ "command": "touch made", "description": "makes it" })),
        plan: ("TodoWrite", json!({ "todos": [todo] })),
    });
    let stage = stage.await;
    let env = [
        ("ANTHROPIC_BASE_URL", stage.model_url()),
        ("ANTHROPIC_API_KEY", "k".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ("DISABLE_AUTOUPDATER", "1".to_owned()),
        // As root it would not start.
        ("IS_SANDBOX", "1".to_owned()),
    ];
    stage.launch(&format!("exec node {}", program(VARIABLE)), &env);
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and Claude Code: cargo xtask test"]
async fn claude_code_plays_a_session() {
    let ways = Ways {
        mode: "default",
        model: ("sonnet", "sonnet"),
        reminds: false,
        once: "allow",
        resumed: ResumeOutcome::Resumed,
    };
    play(&stage().await, ways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and Claude Code: cargo xtask test"]
async fn claude_code_thinks_as_it_is_told_and_tells_its_cost() {
    let stage = stage().await;
    let (sdk, _) = stage.sdk().await;
    let session = sdk.create_session(request("one").cwd(stage.repo())).await.unwrap();
    session.set_thought_level("high").await.unwrap();
    session.prompt("SAY a plum").await.unwrap();
    session.prompt("SAY a pear").await.unwrap();
    let seen = view(&session).await;
    let costs: Vec<_> = seen.turns().map(|turn| turn.cost.as_ref().unwrap().amount).collect();
    assert!(costs.iter().all(|cost| *cost > 0.0), "{costs:?}");
    let total = seen.usage().cost.as_ref().unwrap().amount;
    assert!((costs.iter().sum::<f64>() - total).abs() < 1e-9, "{costs:?} of {total}");
    assert!(seen.usage().context.is_some() && seen.usage().tokens.is_some());
    sdk.close().await.unwrap();

    let (sdk, _) = stage.sdk().await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.not_restored, []);
    let options = opened.session.config_options();
    let effort = options.iter().find(|option| option.category.as_deref() == Some("thought_level")).unwrap();
    assert_eq!(effort.current_id(), Some("high"));
    sdk.close().await.unwrap();
}
