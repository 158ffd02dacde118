//! A WebSocket from its hello to its end: one task, no queue of frames.
//!
//! ```text
//! client → reader → calls ┐
//!          frames         ┴→ writer → client
//! ```
//!
//! A writer that has to wait for the client takes no more frames; the reader goes on meanwhile, until it has
//! something to answer and no room for it.

mod calls;
mod reader;
mod writer;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use sandbox_agent_multiplayer::{ConnectionRequest, Error, ErrorKind, Frames, Member, Result};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::failure::{Refusal, close_code};
use crate::host::Host;
use crate::protocol::{self, Hello};
use crate::request;

/// What a connection holds for itself, beside one frame and its unanswered calls.
const READ_BUFFER: usize = 8 * 1024;
const WRITE_BUFFER: usize = 32 * 1024;

pub(crate) async fn upgrade(
    State(host): State<Host>,
    Path(workspace): Path<String>,
    query: Result<Query<request::Query>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let place = host.place()?;
    let upgrade = upgrade.map_err(|rejection| {
        Error::new(ErrorKind::InvalidInput, "this is where WebSockets connect").with_source(rejection)
    })?;
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let request = request::of(&workspace, &headers, query, &host.options);
    let limit = host.options.message_bytes;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(limit)
        .max_frame_size(limit);
    Ok(upgrade.on_upgrade(move |socket| {
        let connections = host.workspaces.connections.clone();
        connections.track_future(async move {
            let (sink, stream) = socket.split();
            Socket { host, sink, stream }.run(request).await;
            drop(place);
        })
    }))
}

/// Why a connection ends.
pub(crate) enum End {
    /// The client has gone, or is taken for gone: there is nobody to say anything to.
    Gone,
    /// It is told why.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

struct Socket {
    host: Host,
    sink: SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
}

impl Socket {
    async fn run(mut self, request: ConnectionRequest) {
        let stop = self.host.workspaces.stop.clone();
        let end = tokio::select! {
            end = self.converse(request) => end.err().unwrap_or(End::Gone),
            () = stop.cancelled() => {
                End::Failed(Error::new(ErrorKind::Closed, "this server is ending; connect again"))
            }
        };
        if let End::Failed(error) = end {
            // A client that does not take it is left.
            let _ = timeout(self.host.options.farewell, self.part(&error)).await;
        }
    }

    async fn converse(&mut self, request: ConnectionRequest) -> Result<(), End> {
        let hello = self.hello().await?;
        let (member, frames, welcome) = self.admit(request, hello).await?;
        let options = self.host.options.clone();
        // Nobody reads yet, who would find out that the client is dead.
        let welcomed = timeout(options.silence, self.sink.send(Message::Text(welcome.into()))).await;
        let Ok(Ok(())) = welcomed else { return Err(End::Gone) };

        let (answer, answers) = mpsc::channel(options.calls.max(1));
        let (calls, work) = calls::Calls::new(options.calls, answer.clone());
        let work = work.run(&member, options.answer_bytes);
        let write = writer::run(&mut self.sink, frames, answers, &options);
        let read = reader::run(&mut self.stream, &member, calls, answer, &options);
        tokio::select! {
            end = write => Err(end),
            end = read => Err(end),
            () = work => Ok(()),
        }
    }

    async fn hello(&mut self) -> Result<Hello, End> {
        let limit = self.host.options.hello;
        let said = reader::text(&mut self.stream, &self.host.options);
        let Ok(text) = timeout(limit, said).await else {
            let message = format!("no hello came within {limit:?}; say it first");
            return Err(End::Failed(Error::new(ErrorKind::TimedOut, message)));
        };
        Ok(Hello::read(&text?)?)
    }

    /// Lets somebody in, with the frames that they asked for.
    async fn admit(&self, mut request: ConnectionRequest, hello: Hello) -> Result<(Member, Frames, String)> {
        if let Some(token) = hello.token {
            request = request.token(token);
        }
        if !hello.params.is_null() {
            request = request.params(hello.params);
        }
        let workspace = self.host.workspaces.find(&request).await?;
        let visitor = workspace.visit(workspace.authorize(&request).await?);
        // Who can't look on from there is not shown as here at all.
        let last = visitor.snapshot()?.sequence;
        let begin = hello.after.or(hello.recent.map(|recent| last.saturating_sub(recent)));
        if let Some(after) = begin {
            visitor.check_line(hello.line.as_deref())?;
            visitor.frames_after(after)?;
        }
        let member = workspace.seat(visitor.participant().clone()).await?;
        let snapshot = member.snapshot()?;
        let after = begin.unwrap_or(snapshot.sequence);
        let frames = member.frames_after(after)?;
        let welcome = protocol::welcome(&snapshot, member.participant(), after)?;
        Ok((member, frames, welcome))
    }

    async fn part(&mut self, error: &Error) -> Result<(), axum::Error> {
        self.sink.send(Message::Text(protocol::error(error).into())).await?;
        let reason = Utf8Bytes::from_static(error.kind().code());
        self.sink.send(Message::Close(Some(CloseFrame { code: close_code(error.kind()), reason }))).await?;
        // What still comes is taken and forgotten: an end with unread bytes would be a reset, which can
        // overtake the last words.
        while let Some(Ok(_)) = self.stream.next().await {}
        if matches!(error.kind(), ErrorKind::TooLarge { .. }) {
            // The rest of such a message can't be read. The caller's bound ends this.
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
