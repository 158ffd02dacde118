//! What the workflow does.

use sandbox_agent_multiplayer::{Call, Command, CommandOutput, FrameBody, NewPrompt, Phase, WorkspaceClient};
use sandbox_agent_multiplayer_rivet::Credentials;
use sandbox_agent_sdk::SessionEventExt;

use crate::workflow::Workflow;

/// Three steps in the workspace of the issue.
pub(crate) async fn fix_bug(workflow: &Workflow, issue: &str) -> anyhow::Result<String> {
    let me = Credentials::new().token("the workflow's token");
    let workspace = workflow.workspaces.get_or_create(["fix", issue], me, None).await?;
    let checkout = workflow.step("clone-repo", run(&workspace, "echo the repository of $0", issue)).await?;
    let answer = workflow.step("fix-bug", ask(&workspace, issue)).await?;
    let tests = workflow.step("run-tests", run(&workspace, "echo the tests of $0 pass", issue)).await?;
    workspace.dispose();
    Ok([checkout, answer, tests].map(|text| text.trim().to_owned()).join("; "))
}

/// A command. One that a crash ends is run again, as is one whose result was not kept yet: make it one that
/// may be.
async fn run(workspace: &WorkspaceClient, script: &str, issue: &str) -> anyhow::Result<String> {
    let command = Command::new("sh").args(["-c", script, issue]);
    let output: CommandOutput = serde_json::from_str(workspace.call(Call::Exec(command)).await?.get())?;
    anyhow::ensure!(output.exit_code == Some(0), "{script:?} failed: {:?}", output.stderr);
    Ok(String::from_utf8_lossy(&output.stdout.bytes()?).into_owned())
}

/// A prompt. Its id is the step's, so that the agent is asked once: whoever asks again after a crash waits for
/// the turn that runs, or gets how it ended.
async fn ask(workspace: &WorkspaceClient, issue: &str) -> anyhow::Result<String> {
    let text = std::env::args().nth(1).unwrap_or_else(|| format!("Fix the bug described in issue {issue}"));
    let asked = workspace.prompt(NewPrompt::with_id(format!("{issue}/fix-bug"), text)).await?;
    if std::env::var_os("CRASH").is_some() {
        agent_speaks(workspace, asked.prompt.sequence).await?;
        println!("the host crashes while the agent works");
        std::process::abort();
    }
    println!(
        "workflow: asked the agent, {}",
        if asked.known { "who knows it" } else { "who did not know it" }
    );
    let prompt = workspace.wait_for_prompt(&asked.prompt.prompt_id).await?;
    anyhow::ensure!(prompt.phase == Phase::Done, "the agent did not answer: {:?}", prompt.error);
    Ok(format!("the agent ended with {}", prompt.stop_reason.unwrap_or_default()))
}

/// Waits for the first word that the agent says to what is at this place of the line.
async fn agent_speaks(workspace: &WorkspaceClient, place: u64) -> anyhow::Result<()> {
    let mut frames = workspace.frames_after(place);
    while let Some(frame) = frames.recv().await {
        if matches!(&frame?.body, FrameBody::SessionEvent(event) if event.agent_text().is_some()) {
            return Ok(());
        }
    }
    anyhow::bail!("the workspace has ended")
}
