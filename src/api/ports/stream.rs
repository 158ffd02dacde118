//! A connection as bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::flow::Flow;
use crate::error::Error;

/// A connection to a port in the sandbox: `AsyncRead` and `AsyncWrite`.
///
/// What is read is what the service sent, byte for byte, up to its end or to an error; an error is a
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset) that holds an [`Error`], which [`failure`](Self::failure) has
/// as well. Shutting it down ends what the service reads, and reading goes on. Dropping it closes the connection;
/// what was written before gets 5 s to arrive.
#[must_use = "dropping it closes the connection"]
pub struct PortStream {
    pub(super) port: u16,
    /// What came, a window at most.
    pub(super) read: DuplexStream,
    pub(super) written: DuplexStream,
    pub(super) flow: Arc<Flow>,
    pub(super) failed: Arc<OnceLock<Error>>,
    pub(super) aborted: CancellationToken,
    pub(super) _dropped: DropGuard,
}

impl fmt::Debug for PortStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortStream").field("port", &self.port).field("failure", &self.failure()).finish()
    }
}

impl PortStream {
    /// The port in the sandbox.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Why the connection broke, if it did: with [`ConnectionBroken`](crate::ErrorKind::ConnectionBroken) where
    /// something of it is missing.
    pub fn failure(&self) -> Option<&Error> {
        self.failed.get()
    }

    /// Breaks the connection: a drop after this is not the end of what was written.
    pub(super) fn abort(&self) {
        self.aborted.cancel();
    }

    fn reset(&self) -> Option<io::Error> {
        let error = self.failed.get()?.clone();
        Some(io::Error::new(io::ErrorKind::ConnectionReset, error))
    }
}

impl AsyncRead for PortStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.read).poll_read(cx, into))?;
        let length = into.filled().len() - before;
        let is_end = length == 0 && into.remaining() > 0;
        // No more than a window.
        self.flow.consumed(length as u32);
        match self.reset() {
            Some(error) if is_end => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for PortStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, input: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.written).poll_write(cx, input));
        Poll::Ready(written.map_err(|error| self.reset().unwrap_or(error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.written).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.written).poll_shutdown(cx)
    }
}
