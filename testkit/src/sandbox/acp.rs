//! `/v1/acp`: one agent process for each server id.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::core::Core;
use super::gate::Delivered;
use super::journal::Direction;
use super::problem::{Problem, json_response};
use super::process::Process;
use super::rest;
use super::stream::Reader;

pub(super) async fn list(State(core): State<Arc<Core>>) -> Response {
    let mut processes: Vec<_> = core.processes().values().cloned().collect();
    processes.sort_by(|a, b| (a.created_at_ms, &a.server).cmp(&(b.created_at_ms, &b.server)));
    let servers: Vec<_> = processes.iter().map(|process| process.listing()).collect();
    json_response(&json!({"servers": servers}))
}

pub(super) async fn post(
    State(core): State<Arc<Core>>,
    Path(server): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    Extension(delivered): Extension<Delivered>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    if !is_json(&headers) {
        return Err(Problem::unsupported_media_type());
    }
    accepts(&headers, "application/json")?;
    let message: Value = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid_request(&format!("invalid JSON body: {error}")))?;
    let process = bound_process(&core, &server, query.get("agent").map(String::as_str))?;
    if !message.is_object() {
        return Err(Problem::invalid_request("request body must be a JSON-RPC object"));
    }
    let id = message.get("id").filter(|_| message.get("method").is_some());
    let answer = id.map(|id| process.outlet.wait_for_response(id));
    {
        let mut journal = core.journal();
        if !process.deliver(&message) {
            return Err(Problem::dead_process());
        }
        journal.line(&server, process.outlet.pid(), Direction::Received, message.to_string());
        journal.received.push((server, message));
    }
    core.changed();
    delivered.0.notify_one();
    let Some(answer) = answer else {
        return Ok(StatusCode::ACCEPTED.into_response());
    };
    match timeout(core.options.post_timeout, answer).await {
        Ok(Ok(answer)) => return Ok(json_response(&answer)),
        Ok(Err(_)) => {}
        Err(_) => {
            if let Some(code) = process.outlet.exit_code() {
                let stderr = process.outlet.stderr_text();
                return Err(Problem::process_exited(&process.agent, code, stderr));
            }
        }
    }
    // Past its limit the real server answers no more. The process lives on while this waits.
    std::future::pending().await
}

/// The process under this id; the first POST begins it.
fn bound_process(core: &Arc<Core>, server: &str, agent: Option<&str>) -> Result<Arc<Process>, Problem> {
    if let Some(agent) = agent {
        rest::known(agent)?;
    }
    if let Some(process) = core.process(server) {
        return match agent.filter(|agent| *agent != process.agent) {
            Some(agent) => Err(Problem::conflict(server, &process.agent, agent)),
            None => Ok(process),
        };
    }
    let agent = agent.ok_or_else(|| {
        Problem::invalid_request(&format!(
            "missing required 'agent' query parameter for first POST to /v1/acp/{server}"
        ))
    })?;
    if !core.options.installed.contains(agent) {
        return Err(Problem::install_failed(agent));
    }
    let process = Arc::new(Process::spawn(server, agent, core.next_pid(), core));
    core.processes().insert(server.to_owned(), process.clone());
    Ok(process)
}

pub(super) async fn get(
    State(core): State<Arc<Core>>,
    Path(server): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    accepts(&headers, "text/event-stream")?;
    let last = last_event_id(&headers)?;
    let subscription = {
        let process = core.process(&server).ok_or_else(|| Problem::session_not_found(&server))?;
        let repeated = core.plan().take_repeat(&server).unwrap_or_default();
        process.outlet.subscribe(last.saturating_sub(repeated))
    };
    let race = core.plan().take_race(&server);
    let mut reader = Reader::new(&core, &server, subscription);
    if let Some(events) = race {
        reader.lose(events).await;
    }
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((kind, Body::from_stream(reader.into_stream())).into_response())
}

/// Unlists the process at once, and then hangs on one that lives, until the client gives up:
/// with the request, the last hold on the process is dropped.
pub(super) async fn delete(State(core): State<Arc<Core>>, Path(server): Path<String>) -> Response {
    let process = core.processes().remove(&server);
    core.changed();
    if let Some(process) = process
        && process.outlet.exit_code().is_none()
        && !core.options.quick_delete
    {
        let _held = process;
        return std::future::pending().await;
    }
    StatusCode::NO_CONTENT.into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    text(headers, header::CONTENT_TYPE)
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn accepts(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let Some(accept) = text(headers, header::ACCEPT) else {
        return Ok(());
    };
    let family = wanted.split('/').next().unwrap_or_default();
    let allowed = accept.split(',').any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind == "*/*" || kind.eq_ignore_ascii_case(wanted) || kind == format!("{family}/*")
    });
    allowed.then_some(()).ok_or_else(|| Problem::not_acceptable(wanted))
}

fn last_event_id(headers: &HeaderMap) -> Result<u64, Problem> {
    match text(headers, "last-event-id").map(str::trim) {
        None | Some("") => Ok(0),
        Some(id) => {
            id.parse().map_err(|_| Problem::invalid_request("Last-Event-ID must be a positive integer"))
        }
    }
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
