//! Errors in the shape that the server gives them.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// An `application/problem+json` answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str, detail: String) -> Self {
        let mut body = Map::new();
        body.insert("type".into(), format!("urn:sandbox-agent:error:{kind}").into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), detail.into());
        Self { status, body }
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.body.insert(member.into(), value);
        self
    }

    fn with_message(self, message: &str) -> Self {
        self.with("details", json!({"message": message}))
    }

    pub(super) fn invalid_request(reason: &str) -> Self {
        let detail = format!("invalid request: {reason}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", "Invalid Request", detail)
    }

    pub(super) fn unknown_endpoint() -> Self {
        let detail = "endpoint not found".to_owned();
        Self::new(StatusCode::NOT_FOUND, "invalid_request", "Not Found", detail)
    }

    pub(super) fn token_invalid() -> Self {
        let detail = "token invalid".to_owned();
        Self::new(StatusCode::UNAUTHORIZED, "token_invalid", "Token Invalid", detail)
            .with_message("missing or invalid bearer token")
    }

    pub(super) fn unsupported_agent(agent: &str) -> Self {
        let detail = format!("unsupported agent: {agent}");
        Self::new(StatusCode::BAD_REQUEST, "unsupported_agent", "Unsupported Agent", detail)
            .with("agent", agent.into())
    }

    pub(super) fn install_failed(agent: &str) -> Self {
        let detail = format!("install failed: {agent}");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "install_failed", "Install Failed", detail)
            .with("agent", agent.into())
            .with("details", json!({"stderr": "the in-process sandbox has no network"}))
    }

    pub(super) fn conflict(server: &str, bound: &str, requested: &str) -> Self {
        let message =
            format!("server '{server}' already exists for agent '{bound}'; requested '{requested}'");
        let detail = format!("conflict: {message}");
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail).with_message(&message)
    }

    pub(super) fn session_not_found(server: &str) -> Self {
        let detail = format!("session not found: {server}");
        Self::new(StatusCode::NOT_FOUND, "session_not_found", "Session Not Found", detail)
            .with("sessionId", server.into())
    }

    pub(super) fn not_acceptable(wanted: &str) -> Self {
        let message = format!("accept must allow {wanted}");
        let detail = format!("not acceptable: {message}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", "Not Acceptable", detail)
            .with_message(&message)
    }

    pub(super) fn unsupported_media_type() -> Self {
        let message = "content-type must be application/json";
        let detail = format!("unsupported media type: {message}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported_media_type", "Unsupported Media Type", detail).with_message(message)
    }

    pub(super) fn dead_process() -> Self {
        let message = "failed writing to agent stdin: Broken pipe (os error 32)";
        let detail = format!("stream error: {message}");
        Self::new(StatusCode::BAD_GATEWAY, "stream_error", "Stream Error", detail).with_message(message)
    }

    pub(super) fn process_exited(agent: &str, code: i32, stderr: Option<String>) -> Self {
        let mut details = json!({"exitCode": code});
        if let Some(stderr) = stderr {
            details["stderr"] = stderr.into();
        }
        let detail = format!("agent process exited: {agent}");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "agent_process_exited", "Agent Process Exited", detail)
            .with("agent", agent.into())
            .with("details", details)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Value::Object(self.body).to_string();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, body).into_response()
    }
}

/// A plain JSON answer.
pub(super) fn json_response(body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, body.to_string()).into_response()
}
