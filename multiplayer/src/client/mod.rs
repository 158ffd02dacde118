//! The follower of a workspace: one face for every host.
//!
//! ```text
//! transport → driver (one connection) → merge → window → subscribers, callbacks
//! callers   → outbox ┘                               pages of the host ┘
//! ```

mod arrival;
mod builder;
mod callbacks;
mod calls;
mod driver;
mod fetch;
mod frames;
mod in_process;
mod limits;
mod merge;
mod outbox;
mod prompts;
mod reconnect;
mod status;
mod transport;
mod window;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use builder::{WhileAway, WorkspaceClientBuilder};
pub use callbacks::Subscription;
pub use frames::ClientFrames;
pub use in_process::InProcess;
pub use limits::ClientLimits;
pub use status::{Status, Why};
pub use transport::{Caller, Connection, Pushed, Resume, Transport};

use crate::error::Result;
use crate::member::Member;
use crate::snapshot::Snapshot;
use callbacks::Callbacks;
use outbox::Request;
use window::Window;

/// Follows a workspace, and takes part in it, over any [`Transport`]. A cheap clone.
///
/// ```no_run
/// use sandbox_agent_multiplayer::{NewPrompt, Participant, Person, Result, Rights, Workspace, WorkspaceClient};
///
/// async fn summarize(workspace: &Workspace) -> Result<()> {
///     let ada = workspace.seat(Participant::new(Person::new("ada"), Rights::MEMBER)).await?;
///     let client = WorkspaceClient::in_process(ada).await?;
///     println!("{} are here", client.snapshot().here.len());
///
///     let chat = client.on("chat.user", |frame| println!("{:?}", frame.body));
///     let mut frames = client.frames();
///     let accepted = client.prompt(NewPrompt::new("Summarize this repository")).await?;
///     let prompt = client.wait_for_prompt(&accepted.prompt.prompt_id).await?;
///     println!("it ended: {:?}", prompt.stop_reason);
///     while frames.position() < Some(client.snapshot().sequence) {
///         match frames.recv().await {
///             Some(frame) => println!("{}", frame?.sequence),
///             None => break,
///         }
///     }
///     chat.off();
///     client.dispose();
///     Ok(())
/// }
/// ```
///
/// # What holds
///
/// - **Every frame, once, in order.** Each subscriber gets the line without a hole and without a double,
///   from where it began to its end, whatever is lost, doubled or reordered on the way, and across
///   reconnections. What the host no longer stores is a frame [`Evicted`](crate::FrameBody::Evicted).
/// - **Seen at last.** A hole is filled when the next frame shows it. The last frame before a silence is asked
///   for after [`ClientLimits::check`] (5 s).
/// - **Slow readers hurt nobody,** and memory is bounded: by [`ClientLimits::window_bytes`] for all
///   subscribers, and one page for each. Who is slower reads pages of the host.
/// - **No call is without an end.** Each takes [`ClientLimits::call`] (30 s) at most, the time without a connection
///   included. Its error [`TimedOut`](crate::ErrorKind::TimedOut) or [`Disconnected`](crate::ErrorKind::Disconnected)
///   says by [`delivery`](crate::Error::delivery) what is known: `NotSent`, or `Unknown`.
/// - **Never twice.** A call whose answer was lost with the connection is sent again only where that is safe:
///   when it reads, and a prompt, whose id makes it one.
///
/// # How long it lives
///
/// Until [`dispose`](Self::dispose), until the last clone is dropped, or until the transport says that
/// [no later try can do better](Transport::is_final). Streams and subscriptions don't keep it alive: they
/// end with it. Nothing that is awaited has to be awaited to its end; dropped calls that were not sent yet
/// are not sent.
///
/// It runs on the Tokio runtime that it was started on, and ends with that.
#[derive(Clone)]
pub struct WorkspaceClient {
    inner: Arc<Inner>,
    _guard: Arc<DropGuard>,
}

struct Inner {
    window: Window,
    status: watch::Sender<Status>,
    requests: mpsc::UnboundedSender<Request>,
    /// One for each call that may be under way, which bounds the requests.
    permits: Semaphore,
    limits: ClientLimits,
    callbacks: Arc<Callbacks>,
    stop: CancellationToken,
    runtime: Handle,
}

impl fmt::Debug for WorkspaceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceClient")
            .field("status", &*self.inner.status.borrow())
            .finish_non_exhaustive()
    }
}

impl WorkspaceClient {
    /// A client over this transport; [`connect`](WorkspaceClientBuilder::connect) starts it.
    pub fn builder(transport: impl Transport) -> WorkspaceClientBuilder {
        WorkspaceClientBuilder::new(Arc::new(transport))
    }

    /// A client of somebody who takes part in a workspace of this process: no network, no token.
    ///
    /// They are among those who are here until the client is over. It is over, too, when the workspace is.
    pub async fn in_process(member: Member) -> Result<Self> {
        Self::builder(InProcess::new(member)).connect().await
    }

    /// What the workspace is like, as far as is known here; empty before the first connection.
    ///
    /// [`Snapshot::sequence`] says which frame that is. [`frames_after`](Self::frames_after) it go on from there.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.window.snapshot()
    }

    /// Every frame after this one; 0 is before the first.
    ///
    /// One that the line does not have yet is answered by the host: the error
    /// [`FutureSequence`](crate::ErrorKind::FutureSequence) is then the only item.
    pub fn frames_after(&self, sequence: u64) -> ClientFrames {
        ClientFrames::new(self.inner.clone(), Some(sequence))
    }

    /// Every frame after the newest that is here now. Before the first connection, after the snapshot that
    /// it begins with.
    pub fn frames(&self) -> ClientFrames {
        let mark = self.inner.window.mark();
        ClientFrames::new(self.inner.clone(), mark.start.map(|_| mark.last))
    }

    /// What the client is about, now and from now on. The last one is [`Status::Disposed`].
    pub fn status(&self) -> watch::Receiver<Status> {
        self.inner.status.subscribe()
    }

    /// Ends the client, with all its clones: calls fail with [`Closed`](crate::ErrorKind::Closed), streams
    /// and subscriptions end, the connection is closed.
    ///
    /// Returns at once; [`Status::Disposed`] says that all of it is done, which takes 2 s at most. What a
    /// call has done by then stays done.
    pub fn dispose(&self) {
        self.inner.stop.cancel();
    }
}
