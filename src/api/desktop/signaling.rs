//! How a viewer and the desktop's stream find each other.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{SinkExt, Stream, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{Desktop, operations};
use crate::api::socket::{Socket, broken};
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};

impl Desktop {
    /// Opens the signalling of the desktop's stream, which has to [run](Self::start_stream).
    ///
    /// What is said on it is between the viewer's WebRTC library and the program that streams; the SDK carries it.
    /// Bounded by [`Limits::call`](crate::Limits::call). A connection that broke is not made again: what was agreed
    /// on went with it.
    pub async fn signaling(&self) -> Result<DesktopSignaling> {
        let socket = self.api.open(&operations::STREAM_SIGNALING, &[]).await?;
        Ok(DesktopSignaling { socket, limit: self.api.limits.call })
    }
}

/// The signalling of the desktop's stream: a `Stream` of the messages that come, each a text.
#[must_use = "nothing is read before it is polled"]
pub struct DesktopSignaling {
    socket: Socket,
    limit: std::time::Duration,
}

impl fmt::Debug for DesktopSignaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DesktopSignaling").finish_non_exhaustive()
    }
}

impl DesktopSignaling {
    /// Sends a message. Bounded by [`Limits::call`](crate::Limits::call); dropping the call may leave it half sent,
    /// and then the connection is of no more use.
    pub async fn send(&mut self, message: impl Into<String>) -> Result<()> {
        match timeout(self.limit, self.socket.send(Message::text(message.into()))).await {
            Ok(sent) => sent.map_err(|error| broken(error).with_delivery(Delivery::Unknown)),
            Err(_) => {
                let message = format!("the signalling took no message for {:?}", self.limit);
                Err(Error::new(ErrorKind::TimedOut(Limit::Call), message).with_delivery(Delivery::Unknown))
            }
        }
    }
}

impl Stream for DesktopSignaling {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(Message::Text(text))) => Some(Ok(text.as_str().to_owned())),
                Some(Ok(_)) => continue,
                Some(Err(error)) => Some(Err(broken(error))),
                None => None,
            });
        }
    }
}
