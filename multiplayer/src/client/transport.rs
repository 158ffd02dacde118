//! What carries a client's calls, and what the host pushes: the part that each host has of its own.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use sandbox_agent_sdk::persist::RawValue;

use crate::call::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;

/// A way to a workspace, over which a [`WorkspaceClient`](super::WorkspaceClient) connects as often as it has to.
///
/// A transport is simple: it need not order, count, store or repeat anything, and it may lose what is
/// pushed. The client sees what is missing by the frames' numbers, and asks for it.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Opens a connection. The client has one at a time, gives each try
    /// [`ClientLimits::connect`](super::ClientLimits::connect), and drops a try that takes longer.
    async fn connect(&self, resume: Resume) -> Result<Connection>;

    /// Whether no later try can do better after a connection, or what keeps it whole, failed like this.
    /// The client believes it at the third time in a row, and is disposed of.
    ///
    /// Unless told: [`Refused`](ErrorKind::Refused), [`NotFound`](ErrorKind::NotFound) and
    /// [`InvalidInput`](ErrorKind::InvalidInput).
    fn is_final(&self, error: &Error) -> bool {
        matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound | ErrorKind::InvalidInput)
    }
}

/// Where a client goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resume {
    /// The last frame that the client has. A host that can, pushes from there on; any other pushes what
    /// comes from now on, and the client asks for what lies between. `None` at the first connection.
    pub after: Option<u64>,
}

/// A connection that is open.
///
/// It is over when the stream of what is pushed ends or says [`Gone`](Pushed::Gone), and when a call
/// fails with [`Disconnected`](ErrorKind::Disconnected). Dropping it ends it as well.
#[non_exhaustive]
pub struct Connection {
    /// Makes the calls.
    pub calls: Arc<dyn Caller>,
    /// What the host pushes. The client reads it at once and waits for nobody meanwhile, so that what is
    /// held here needs room for a moment only; a transport bounds it, and drops what is more.
    pub pushes: BoxStream<'static, Pushed>,
}

impl Connection {
    /// A connection of these two halves.
    pub fn new(calls: impl Caller, pushes: impl Stream<Item = Pushed> + Send + 'static) -> Self {
        Self { calls: Arc::new(calls), pushes: pushes.boxed() }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Makes the calls of one connection, several at once.
#[async_trait]
pub trait Caller: Send + Sync + 'static {
    /// Makes a call, and gives the JSON of its answer, or the error that the host answered with.
    ///
    /// Calls leave in the order in which their futures are first polled. The client bounds each in time
    /// and drops those that take longer; the host may do them all the same. A connection that is gone is
    /// the error [`Disconnected`](ErrorKind::Disconnected), with
    /// [`NotSent`](sandbox_agent_sdk::Delivery::NotSent) where it is certain that the call never left.
    async fn call(&self, call: Call) -> Result<Box<RawValue>>;

    /// Says farewell. The client waits 2 s for it, then drops the connection, which is enough to end it.
    async fn close(&self) {}
}

/// What a host pushed. It may come twice, in another order, or not at all.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Pushed {
    /// Frames as they are in this process.
    Frames(Vec<Arc<Frame>>),
    /// The [JSON](Frame::json) of a frame, or an array of several.
    ///
    /// In place of a frame that is too large for one message stands
    /// `{"sequence": 17, "type": "large", "data": {"bytes": 3000000}}`, with `from` where the frame has it; the
    /// client fetches the frame by [`Call::GetFramePart`]. Pages may have such as well. What is none of these ends the connection with [`Protocol`](ErrorKind::Protocol).
    Json(String),
    /// The connection is gone.
    Gone(Error),
}
