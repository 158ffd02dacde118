//! A terminal as bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Terminal, TerminalInput};
use crate::api::processes::LogEvent;
use crate::error::Result;

/// So much is taken of what is written before it has left.
const MOST_WRITE: usize = 32 * 1024;

/// A [`Terminal`] as bytes: `AsyncRead` and `AsyncWrite`.
///
/// Reading ends after the process did. A hole in its output is an error, once, with both sequences; reading
/// goes on behind it. Writing holds 32 KiB that have not left, and `flush` waits until they have. Shutting it
/// down flushes: a terminal has no end of its input but what is typed.
pub struct TerminalIo {
    terminal: Terminal,
    shown: Bytes,
    writing: Option<BoxFuture<'static, Result<()>>>,
}

impl fmt::Debug for TerminalIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalIo").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl TerminalIo {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, shown: Bytes::new(), writing: None }
    }

    /// What writes to the terminal apart from this, and sets its size.
    pub fn input(&self) -> TerminalInput {
        self.terminal.input()
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writing) = &mut self.writing {
            let written = ready!(writing.poll_unpin(cx));
            self.writing = None;
            written.map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TerminalIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.shown.is_empty() {
            match ready!(self.terminal.poll_next_unpin(cx)).transpose().map_err(io::Error::other)? {
                Some(LogEvent::Output(output)) => self.shown = output.bytes,
                Some(LogEvent::Gap(gap)) => {
                    let message = format!("output between {} and {} is missing", gap.after, gap.before);
                    return Poll::Ready(Err(io::Error::other(message)));
                }
                Some(LogEvent::Exited(_)) | None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.shown.len().min(into.remaining());
        into.put_slice(&self.shown[..length]);
        self.shown.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TerminalIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, input: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(cx))?;
        let taken = Bytes::copy_from_slice(&input[..input.len().min(MOST_WRITE)]);
        let (length, line) = (taken.len(), self.terminal.input());
        let mut writing = async move { line.write(taken).await }.boxed();
        // The first poll gives it to the line, where it goes on by itself.
        match writing.poll_unpin(cx) {
            Poll::Ready(written) => written.map_err(io::Error::other)?,
            Poll::Pending => self.writing = Some(writing),
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx)
    }
}
