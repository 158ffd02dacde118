//! Calls by HTTP: one request, one answer, nobody shown as here.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use sandbox_agent_multiplayer::{Call, Error, ErrorKind};
use serde_json::Value;

use crate::answer;
use crate::failure::Refusal;
use crate::host::Host;
use crate::request;

pub(crate) async fn snapshot(
    State(host): State<Host>,
    Path(workspace): Path<String>,
    Query(query): Query<request::Query>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let _place = host.place()?;
    let member = host.visitor(&request::of(&workspace, &headers, query, &host.options)).await?;
    let answer = member.call(Call::GetSessionInfo {}, host.options.answer_bytes).await?;
    Ok(answer::json(StatusCode::OK, answer.get().to_owned()))
}

pub(crate) async fn call(
    State(host): State<Host>,
    Path((workspace, action)): Path<(String, String)>,
    Query(query): Query<request::Query>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let _place = host.place()?;
    // Before the body is looked at: who may not come in learns nothing of what would be taken.
    let member = host.visitor(&request::of(&workspace, &headers, query, &host.options)).await?;
    let call = Call::read(&action, arguments(body, host.options.message_bytes)?)?;
    let answer = member.call(call, host.options.answer_bytes).await?;
    Ok(answer::json(StatusCode::OK, answer.get().to_owned()))
}

fn arguments(body: Result<Bytes, BytesRejection>, limit: usize) -> Result<Value, Error> {
    let body = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("a call has at most {limit} bytes; put the rest into a file");
            return Error::new(ErrorKind::TooLarge { limit }, message);
        }
        Error::new(ErrorKind::InvalidInput, "the request's body could not be read").with_source(rejection)
    })?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the arguments are no JSON: {error}");
        Error::new(ErrorKind::InvalidInput, message).with_source(error)
    })
}
