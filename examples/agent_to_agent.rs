//! One agent writes a file and another one reviews it: each in a session of its own, with the files in this process.
//!
//! The coder writes through the client (`fs/write_text_file`), and the reviewer's prompt carries what it wrote. The
//! arguments are the two prompts. `SANDBOX_AGENT_URL` names the server, `SANDBOX_AGENT_AGENT` both agents.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandbox_agent_sdk::acp_schema::{
    ContentBlock, EmbeddedResource, EmbeddedResourceResource, TextContent, TextResourceContents,
    WriteTextFileRequest,
};
use sandbox_agent_sdk::{
    Asked, ClientHandlers, From, Handled, Limits, Prompt, SandboxAgent, Session, SessionRequest, SessionView,
    TextFileWriter, async_trait,
};

/// The files that the coder wrote.
#[derive(Clone, Default)]
struct Desk(Arc<Mutex<BTreeMap<PathBuf, String>>>);

#[async_trait]
impl TextFileWriter for Desk {
    async fn write_text_file(&self, _: &Asked, request: WriteTextFileRequest) -> Handled<()> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(request.path, request.content);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
    let mut prompts = env::args().skip(1);
    let write =
        prompts.next().unwrap_or_else(|| "Write a function that adds two numbers to /add.rs".to_owned());
    let review = prompts.next().unwrap_or_else(|| "Review this file".to_owned());

    let limits = Limits::default().connect(Duration::from_secs(5));
    let sdk = SandboxAgent::builder(&url).limits(limits).connect().await.inspect_err(|_| {
        eprintln!("No server at {url}? Start one: npx @sandbox-agent/cli@0.4.2 server --no-token");
    })?;
    let outcome = run(&sdk, &agent, write, review).await;
    sdk.close().await?;
    outcome
}

async fn run(sdk: &SandboxAgent, agent: &str, write: String, review: String) -> Result<(), Box<dyn Error>> {
    let desk = Desk::default();
    let handlers = ClientHandlers::new().write_text_files(desk.clone());
    let coder = sdk.create_session(SessionRequest::new("coder", agent).handlers(handlers)).await?;
    coder.prompt(write).await?;
    println!("The coder: {}", answer(&coder).await?);

    let files = desk.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut blocks: Vec<ContentBlock> = Vec::new();
    for (path, text) in files {
        println!("It wrote {}.", path.display());
        let file = TextResourceContents::new(text, format!("file://{}", path.display()));
        let file = EmbeddedResource::new(EmbeddedResourceResource::TextResourceContents(file));
        blocks.push(ContentBlock::Resource(file));
    }
    blocks.push(ContentBlock::Text(TextContent::new(review)));

    let reviewer = sdk.create_session(SessionRequest::new("reviewer", agent)).await?;
    reviewer.prompt(Prompt::new(blocks)).await?;
    println!("The reviewer: {}", answer(&reviewer).await?);
    Ok(())
}

/// What the agent said in its newest turn.
async fn answer(session: &Session) -> Result<String, Box<dyn Error>> {
    use futures::StreamExt;
    let mut view = SessionView::new();
    let mut events = session.events(From::Start);
    while view.last_index() < session.last_index() {
        let Some(event) = events.next().await else { break };
        view.add(event?);
    }
    Ok(view.answer())
}
