//! Sessions that are opened again after their agent process was ended.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, try_join};
use sandbox_agent_sdk::{From, MemorySessionPersistDriver, SandboxAgent, SessionEventExt};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::bench::Bench;
use crate::table::Row;

const BOUND: Duration = Duration::from_secs(60);
/// So few that the peer, which reads the newest 50 events, reads all of them.
const TURNS: usize = 6;
/// So long that a few of them are over the budget of either SDK.
const CHARS: usize = 10_000;

/// What is done before and after.
#[derive(Debug, Default, Serialize)]
struct Case {
    mode: Option<&'static str>,
    model: Option<&'static str>,
    before: Vec<String>,
    after: &'static str,
}

/// What the agent said after.
#[derive(Debug, Deserialize)]
struct Said {
    said: String,
}

pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let (replay, settings) = try_join!(replay(bench), settings(bench))?;
    Ok(vec![replay, settings])
}

/// The agent is asked what it was told of the past.
async fn replay(bench: &Bench) -> Result<Row> {
    let before = (1..=TURNS).map(|turn| format!("say turn {turn}: {}", "x".repeat(CHARS))).collect();
    let case = Case { before, after: "recall", ..Case::default() };
    let (ours, typescript) = try_join!(ours(bench, &case), typescript(bench, &case))?;
    let has = |said: &str, turn: usize| said.contains(&format!("turn {turn}: "));
    let says = |said: &str| match (has(said, 1), has(said, TURNS)) {
        (true, true) => "keeps the oldest and the newest turn",
        (true, false) => "keeps the oldest turn and cuts the newest",
        (false, true) => "keeps the newest turn and cuts the oldest",
        (false, false) => "keeps neither the oldest nor the newest turn",
    };
    let name = "resume with a history over the budget of the replay text";
    Ok(Row::new(name, says(&typescript), says(&ours)).kept(has(&ours, TURNS)))
}

async fn settings(bench: &Bench) -> Result<Row> {
    let case = Case { mode: Some("plan"), model: Some("large"), after: "mode", ..Case::default() };
    let (ours, typescript) = try_join!(ours(bench, &case), typescript(bench, &case))?;
    let says = |said: &str| said.split(" config:").next().unwrap_or_default().to_owned();
    let kept = says(&ours) == "mode: plan model: large";
    let name = "resume of a session with the mode `plan` and the model `large`";
    Ok(Row::new(name, says(&typescript), says(&ours)).kept(kept))
}

async fn ours(bench: &Bench, case: &Case) -> Result<String> {
    let proxy = bench.proxy().await?;
    let store = Arc::new(MemorySessionPersistDriver::new());
    let first = SandboxAgent::builder(proxy.url()).persist(store.clone()).connect().await?;
    let mut request = bench.request("one");
    if let Some(mode) = case.mode {
        request = request.mode(mode);
    }
    if let Some(model) = case.model {
        request = request.model(model);
    }
    let session = first.create_session(request).await?;
    for prompt in &case.before {
        session.prompt(prompt.as_str()).await?;
    }
    first.close().await?;

    let second = SandboxAgent::builder(proxy.url()).persist(store).connect().await?;
    let session = second.resume_session("one").await?.session;
    let start = session.last_index();
    session.prompt(case.after).await?;
    let count = usize::try_from(session.last_index() - start)?;
    let events = session.events(From::Index(start + 1)).take(count);
    let said = events.try_filter_map(async |event| Ok(event.agent_text())).try_collect().await?;
    second.close().await?;
    Ok(said)
}

async fn typescript(bench: &Bench, case: &Case) -> Result<String> {
    let proxy = bench.proxy().await?;
    let mut parameters = json!(case);
    parameters["url"] = json!(proxy.url());
    parameters["agent"] = json!(bench.agent);
    let said: Said = bench
        .peer
        .run("reopened", &parameters, BOUND)
        .await?
        .context("the TypeScript SDK did not open a session again within a minute")?;
    Ok(said.said)
}
