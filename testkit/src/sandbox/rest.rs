//! The rest of the surface: health, agents.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::core::Core;
use super::problem::{Problem, json_response};

/// The agents that the server knows by name.
pub(super) const AGENTS: [&str; 7] = ["claude", "codex", "opencode", "amp", "pi", "cursor", "mock"];

const CAPABILITIES: [&str; 17] = [
    "planMode",
    "permissions",
    "questions",
    "toolCalls",
    "toolResults",
    "textMessages",
    "images",
    "fileAttachments",
    "sessionLifecycle",
    "errorEvents",
    "reasoning",
    "status",
    "commandExecution",
    "fileChanges",
    "mcpTools",
    "streamingDeltas",
    "itemStarted",
];

pub(super) fn known(agent: &str) -> Result<(), Problem> {
    let known = AGENTS.contains(&agent);
    known.then_some(()).ok_or_else(|| Problem::unsupported_agent(agent))
}

pub(super) async fn root() -> Response {
    json_response(&json!({"name": "Sandbox Agent", "docs": "https://sandboxagent.dev"}))
}

pub(super) async fn health() -> Response {
    json_response(&json!({"status": "ok"}))
}

pub(super) async fn agents(State(core): State<Arc<Core>>) -> Response {
    let agents = AGENTS.map(|agent| describe(&core, agent));
    json_response(&json!({"agents": agents}))
}

pub(super) async fn agent(
    State(core): State<Arc<Core>>,
    Path(agent): Path<String>,
) -> Result<Response, Problem> {
    known(&agent)?;
    Ok(json_response(&describe(&core, &agent)))
}

fn describe(core: &Core, agent: &str) -> Value {
    let capabilities = CAPABILITIES.iter().map(|name| ((*name).to_owned(), true.into()));
    let mut capabilities: serde_json::Map<String, Value> = capabilities.collect();
    capabilities.insert("sharedProcess".to_owned(), false.into());
    json!({
        "id": agent,
        "installed": core.options.installed.contains(agent),
        "credentialsAvailable": true,
        "capabilities": capabilities,
    })
}

pub(super) async fn install(
    State(core): State<Arc<Core>>,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json")) {
        let text = "Expected request with `Content-Type: application/json`";
        return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
    }
    if let Err(error) = serde_json::from_slice::<Value>(&body) {
        let text = format!("Failed to parse the request body as JSON: {error}");
        return Ok((StatusCode::BAD_REQUEST, text).into_response());
    }
    known(&agent)?;
    if !core.options.installed.contains(agent.as_str()) {
        return Err(Problem::install_failed(&agent));
    }
    Ok(json_response(&json!({"already_installed": true, "artifacts": []})))
}
