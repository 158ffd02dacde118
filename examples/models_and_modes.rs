//! Shows what an agent lets one choose (mode, model, options), chooses the last of each, and shows that
//! it is still so after the session was closed and resumed.
//!
//! `SANDBOX_AGENT_URL` names the server and `SANDBOX_AGENT_AGENT` the agent.

use std::env;
use std::error::Error;
use std::time::Duration;

use sandbox_agent_sdk::{Limits, SandboxAgent, Session, SessionRequest, Setting};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());

    let limits = Limits::default().connect(Duration::from_secs(5));
    let sdk = SandboxAgent::builder(&url).limits(limits).connect().await.inspect_err(|_| {
        eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
    })?;
    let outcome = run(&sdk, &agent).await;
    sdk.close().await?;
    outcome
}

async fn run(sdk: &SandboxAgent, agent: &str) -> Result<(), Box<dyn Error>> {
    let session = sdk.create_session(SessionRequest::new("models", agent)).await?;
    show("It offers", &session);

    if let Some(mode) = last(session.modes()) {
        session.set_mode(mode).await?;
    }
    if let Some(model) = last(session.models()) {
        session.set_model(model).await?;
    }
    // By category, because each agent has an id of its own for it. Not every agent has such an option.
    let level = session.config_options().into_iter().find(is_thought_level);
    if let Some(level) = last(level) {
        session.set_thought_level(level).await?;
    }
    if let Err(error) = session.set_model("a model that nobody has").await {
        println!("Refused: {error}");
    }

    sdk.close_session("models").await?;
    let opened = sdk.resume_session("models").await?;
    println!("Resumed: {:?}; not restored: {:?}", opened.outcome, opened.not_restored);
    show("Still chosen", &opened.session);
    Ok(())
}

fn is_thought_level(option: &Setting) -> bool {
    option.category.as_deref() == Some("thought_level")
}

fn last(setting: Option<Setting>) -> Option<String> {
    setting?.choices.pop().map(|choice| choice.id)
}

fn show(words: &str, session: &Session) {
    let settings = session.modes().into_iter().chain(session.models());
    let others = session
        .config_options()
        .into_iter()
        .filter(|option| !matches!(option.category.as_deref(), Some("mode" | "model")));
    for setting in settings.chain(others) {
        let current = setting.current.as_ref().map(ToString::to_string).unwrap_or_default();
        println!(
            "{words}: {} is {current} of {:?}",
            setting.category.as_ref().unwrap_or(&setting.id),
            setting.ids()
        );
    }
}
