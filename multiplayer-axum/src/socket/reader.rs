//! What a client says.

use std::error::Error as _;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures::StreamExt;
use futures::stream::SplitStream;
use sandbox_agent_multiplayer::{Call, Error, ErrorKind, Member};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tungstenite::error::CapacityError;

use super::End;
use super::calls::{Answer, Calls};
use crate::options::HostOptions;
use crate::protocol::{self, Incoming};

/// Reads until there is nothing more to read.
pub(super) async fn run(
    stream: &mut SplitStream<WebSocket>,
    member: &Member,
    calls: Calls,
    answers: mpsc::Sender<Answer>,
    options: &HostOptions,
) -> End {
    loop {
        // A client answers pings, whatever else it does.
        let Ok(message) = timeout(options.silence, next(stream, options)).await else {
            tracing::debug!(workspace = member.workspace().id(), "a connection fell silent");
            return End::Gone;
        };
        let text = match message {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(end) => return end,
        };
        let answer = match understand(&text) {
            Ok(Said::Ping) => Answer::of(protocol::pong(member.workspace().snapshot().sequence)),
            Ok(Said::Call(id, call)) => match call.and_then(|call| calls.take(id, call)) {
                Ok(()) => continue,
                Err(error) => Answer::of(protocol::answer(id, Err(error))),
            },
            Err(error) => Answer::of(protocol::error(&error)),
        };
        // Where answers find no room, nothing more is read.
        if timeout(options.silence, answers.send(answer)).await.is_err() {
            return End::Gone;
        }
    }
}

/// The first text.
pub(super) async fn text(
    stream: &mut SplitStream<WebSocket>,
    options: &HostOptions,
) -> Result<Utf8Bytes, End> {
    loop {
        if let Some(text) = next(stream, options).await? {
            return Ok(text);
        }
    }
}

/// The next message, if it is a text.
async fn next(stream: &mut SplitStream<WebSocket>, options: &HostOptions) -> Result<Option<Utf8Bytes>, End> {
    match stream.next().await {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => Err(protocol::protocol("messages are texts of JSON").into()),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Err(error)) if is_too_large(&error) => {
            let limit = options.message_bytes;
            let message = format!("a message has at most {limit} bytes; put the rest into a file");
            Err(Error::new(ErrorKind::TooLarge { limit }, message).into())
        }
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<tungstenite::Error>());
    matches!(cause, Some(tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. })))
}

enum Said {
    Ping,
    Call(u64, Result<Call, Error>),
}

fn understand(text: &str) -> Result<Said, Error> {
    let said: Incoming = serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Protocol, format!("this message can't be understood: {error}"))
    })?;
    match (said.id, said.action, said.kind.as_deref()) {
        (Some(id), Some(action), _) => Ok(Said::Call(id, Call::read(&action, said.args))),
        (_, _, Some("ping")) => Ok(Said::Ping),
        _ => Err(protocol::protocol(r#"a message is a call, {"id":1,"action":"…","args":{…}}, or a ping"#)),
    }
}
