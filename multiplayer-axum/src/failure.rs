//! Errors as HTTP has them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sandbox_agent_multiplayer::{Error, ErrorKind};

use crate::answer;

/// An error that is answered to a request.
#[derive(Debug)]
pub(crate) struct Refusal {
    error: Error,
    /// Whether a token was shown.
    known: bool,
}

impl Refusal {
    pub(crate) fn new(error: Error, known: bool) -> Self {
        Self { error, known }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, known: true }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.error.kind() {
            ErrorKind::Refused if !self.known => StatusCode::UNAUTHORIZED,
            kind => status(kind),
        };
        let body = serde_json::to_string(&self.error.to_failure()).unwrap_or_default();
        let mut response = answer::json(status, body);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn status(kind: &ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Refused => StatusCode::FORBIDDEN,
        ErrorKind::NotDriving { .. } | ErrorKind::StaleControl { .. } => StatusCode::CONFLICT,
        ErrorKind::OtherLine => StatusCode::GONE,
        ErrorKind::FutureSequence { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorKind::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::InvalidInput | ErrorKind::Protocol => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Full => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Sandbox | ErrorKind::Disconnected => StatusCode::BAD_GATEWAY,
        ErrorKind::Overtaken | ErrorKind::Store | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code of a WebSocket's close frame, as RFC 6455 and its registry have them.
pub(crate) fn close_code(kind: &ErrorKind) -> u16 {
    match kind {
        ErrorKind::Closed | ErrorKind::Overtaken => 1001,
        ErrorKind::Protocol => 1002,
        ErrorKind::TooLarge { .. } => 1009,
        ErrorKind::Store | ErrorKind::Sandbox => 1011,
        ErrorKind::Full | ErrorKind::TimedOut => 1013,
        _ => 1008,
    }
}
