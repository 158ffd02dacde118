//! What every request passes: the journal, the faults, the token, the limit of its body.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::sync::Notify;

use super::core::Core;
use super::journal;
use super::plan::Fate;
use super::problem::Problem;
use super::wire::Line;

/// The largest body that the server takes.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// Told by a handler when the agent has the message.
#[derive(Clone, Default)]
pub(super) struct Delivered(pub(super) Arc<Notify>);

pub(super) async fn pass(
    State(core): State<Arc<Core>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
    next: Next,
) -> Response {
    let handled = AssertUnwindSafe(handle(&core, &line, request, next));
    handled.catch_unwind().await.unwrap_or_else(|panic| {
        core.panicked("a handler of the sandbox", panic.as_ref());
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

async fn handle(core: &Core, line: &Line, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.ok();
    let authorized = is_authorized(core.options.token.as_deref(), &parts.headers);
    let record = journal::Request {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        last_event_id: (parts.headers.get("last-event-id"))
            .map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
        body: body.as_ref().and_then(|body| serde_json::from_slice(body).ok()),
        authorized,
    };
    let fate = core.plan().take_request(&record);
    core.journal().requests.push(record);
    core.changed();

    let delivered = Delivered::default();
    let answer = async {
        if !authorized {
            return Problem::token_invalid().into_response();
        }
        let Some(body) = body else {
            let text = "Failed to buffer the request body: length limit exceeded";
            return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
        };
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(delivered.clone());
        next.run(request).await
    };
    meet(fate, line, &delivered, answer).await
}

async fn meet(
    fate: Option<Fate>,
    line: &Line,
    delivered: &Delivered,
    answer: impl Future<Output = Response>,
) -> Response {
    match fate {
        None => answer.await,
        Some(Fate::Answer { status, content_type, body }) => {
            // A status that HTTP does not know is a mistake of the test: let it show.
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let kind = [(header::CONTENT_TYPE, content_type)];
            (status, kind, Bytes::from(body)).into_response()
        }
        Some(Fate::Delay(time)) => {
            let answer = answer.await;
            tokio::time::sleep(time).await;
            answer
        }
        Some(Fate::Hang) => {
            let _ = answer.await;
            std::future::pending().await
        }
        Some(Fate::HangUndelivered) => std::future::pending().await,
        Some(Fate::CutBeforeDelivery) => line.cut_and_wait().await,
        Some(Fate::CutAfterDelivery) => {
            tokio::select! {
                biased;
                () = delivered.0.notified() => {}
                _ = answer => {}
            }
            line.cut_and_wait().await
        }
        Some(Fate::CutAnswer) => {
            let _ = answer.await;
            line.cut_and_wait().await
        }
        #[cfg(test)]
        Some(Fate::Panic) => panic!("asked to"),
    }
}

fn is_authorized(token: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(token) = token else {
        return true;
    };
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("Bearer ")) == Some(token)
}
