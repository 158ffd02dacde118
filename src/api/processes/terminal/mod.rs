//! The terminal of a process: its output as it is logged, its input over a WebSocket.

mod frames;
mod io;
mod line;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::Notify;

pub use io::TerminalIo;

use super::{FollowLogs, LogEvent, ProcessLogs, Processes, TerminalSize};
use crate::error::Result;
use line::Line;

impl Processes {
    /// Opens the terminal of a process that was created with [`tty`](super::ProcessCreateRequest::tty).
    ///
    /// Its output is a stream: what was shown before, from where `from` says, then what comes, each byte once
    /// and in order. It is the process's [log](Self::follow_logs), with all that holds for that; the server's
    /// WebSocket drops output of a reader that lags, and is not read for it. When the terminal closes, the server
    /// adds a line of its own on the error that this is to it.
    ///
    /// Bounded by [`Limits::call`](crate::Limits::call) for each of three calls.
    pub async fn terminal(&self, id: &str, from: FollowLogs) -> Result<Terminal> {
        let info = self.get(id).await?;
        let ended = Arc::<Notify>::default();
        let line = Line::start(self.clone(), &info, ended.clone()).await?;
        let logs = self.follow(info, from, ended).await?;
        Ok(Terminal { logs, input: TerminalInput { line } })
    }
}

/// The terminal of a process: a `Stream` of its output, and its [`input`](Self::input).
///
/// Dropping it ends neither the process nor its log; open it again to go on.
#[derive(Debug)]
#[must_use = "its output is not read before it is polled"]
pub struct Terminal {
    logs: ProcessLogs,
    input: TerminalInput,
}

impl Terminal {
    /// What writes to the terminal: a cheap clone, for another task.
    pub fn input(&self) -> TerminalInput {
        self.input.clone()
    }

    /// The terminal as bytes, for what reads and writes them.
    pub fn into_io(self) -> TerminalIo {
        TerminalIo::new(self)
    }
}

impl Stream for Terminal {
    type Item = Result<LogEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(self.logs.poll_next_unpin(cx));
        if let Some(Ok(LogEvent::Exited(_))) = &event {
            // The socket may hear of it later.
            self.input.line.process_ended();
        }
        Poll::Ready(event)
    }
}

/// Writes to a terminal. A cheap clone.
///
/// A connection that broke is made again, within [`Limits::reconnect`](crate::Limits::reconnect); what is
/// written meanwhile waits for it. Nothing is sent twice.
#[derive(Clone, Debug)]
pub struct TerminalInput {
    line: Arc<Line>,
}

impl TerminalInput {
    /// Types this, of any length: returns once all of it has left.
    ///
    /// The server acknowledges no input. An error with [`Delivery::Unknown`](crate::Delivery::Unknown) means that
    /// some of it may have been typed; with [`Delivery::NotSent`](crate::Delivery::NotSent) none was. Fails with
    /// [`ProcessGone`](crate::ErrorKind::ProcessGone) when the process has ended. Bounded by
    /// [`Limits::reconnect`](crate::Limits::reconnect) and, for each 32 KiB,
    /// [`Limits::call`](crate::Limits::call). Dropping the call may cut the input between two of them.
    pub async fn write(&self, input: impl Into<Bytes>) -> Result<()> {
        self.line.write(input.into()).await
    }

    /// Sets the terminal's size. Bounded as [`write`](Self::write).
    pub async fn resize(&self, size: TerminalSize) -> Result<()> {
        self.line.resize(size).await
    }
}
