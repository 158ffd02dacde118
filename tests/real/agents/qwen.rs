//! Qwen Code: it says that it has `session/resume` and has not, so that it shows how the next way is taken.

use sandbox_agent_sdk::ResumeOutcome;
use serde_json::json;

use super::model::Tools;
use super::play::{Ways, play};
use super::stage::{Stage, program};

/// Names its program.
const VARIABLE: &str = "QWEN_CODE_BIN";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and Qwen Code: cargo xtask test"]
async fn qwen_code_plays_a_session() {
    let todo = json!({ "id": "1", "content": "look", "status": "in_progress" });
    let run = json!({ "command": "touch made", "description": "makes it", "is_background": false });
    let tools = Tools { run: ("run_shell_command", run), plan: ("todo_write", json!({ "todos": [todo] })) };
    let stage = Stage::new(tools).await;
    let url = format!("{}/v1", stage.model_url());
    let model = |id: &str| json!({ "id": id, "name": id, "baseUrl": url, "envKey": "STUB_KEY" });
    let settings = json!({
        "security": { "auth": { "selectedType": "openai" } },
        "modelProviders": { "openai": [model("stub"), model("other")] },
        "model": { "name": "stub" },
        "privacy": { "usageStatisticsEnabled": false },
        "general": { "enableAutoUpdate": false },
    });
    stage.write("home/.qwen/settings.json", &settings.to_string());
    let env = [("STUB_KEY", "k".to_owned()), ("NO_COLOR", "1".to_owned())];
    stage.launch(&format!("exec node {} --acp", program(VARIABLE)), &env);
    let ways = Ways {
        mode: "default",
        model: ("other(openai)", "other"),
        reminds: true,
        once: "proceed_once",
        resumed: ResumeOutcome::Loaded,
    };
    play(&stage, ways).await;
}
