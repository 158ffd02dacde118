//! Settings of a client, and starting it.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::callbacks::Callbacks;
use super::driver::Driver;
use super::limits::ClientLimits;
use super::status::Status;
use super::transport::Transport;
use super::window::Window;
use super::{Inner, WorkspaceClient};
use crate::error::{Error, ErrorKind, Result};

/// What becomes of a call that is made while there is no connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhileAway {
    /// It waits for one, [`ClientLimits::waiting`] calls at most, and is then sent once. Those that waited are
    /// sent one after the other, in the order in which they were made, each when the one before it was
    /// answered, or after 5 s. The default.
    #[default]
    Queue,
    /// It fails at once with [`Disconnected`](ErrorKind::Disconnected), not sent. A call whose connection is
    /// lost is sent again all the same, where that is safe.
    Fail,
}

/// What a [`WorkspaceClient`] is started with.
#[must_use = "nothing happens before `connect` or `start`"]
pub struct WorkspaceClientBuilder {
    transport: Arc<dyn Transport>,
    limits: ClientLimits,
    policy: WhileAway,
}

impl fmt::Debug for WorkspaceClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceClientBuilder")
            .field("limits", &self.limits)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl WorkspaceClientBuilder {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, limits: ClientLimits::default(), policy: WhileAway::default() }
    }

    /// The bounds in time and size.
    pub fn limits(mut self, limits: ClientLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What becomes of a call that is made while there is no connection; it waits unless told.
    pub fn while_away(mut self, policy: WhileAway) -> Self {
        self.policy = policy;
        self
    }

    /// Starts the client, and waits until it is connected and has a snapshot.
    ///
    /// Bounded by [`ClientLimits::call`] (30 s), in which it tries as often as it takes; then the error is
    /// [`TimedOut`](ErrorKind::TimedOut), with what went wrong last as its source. Dropping it ends the client.
    pub async fn connect(self) -> Result<WorkspaceClient> {
        let limit = self.limits.call;
        let client = self.start();
        let mut status = client.status();
        let connected =
            status.wait_for(|status| matches!(status, Status::Connected | Status::Disposed { .. }));
        // The sender lives as long as the client.
        let reached = timeout(limit, connected).await.map(|reached| reached.map(|status| status.clone()));
        match reached {
            Ok(Ok(Status::Disposed { why })) => Err(why.error()),
            Ok(_) => Ok(client),
            Err(_) => {
                let message = format!("the workspace could not be connected to within {limit:?}");
                let error = Error::new(ErrorKind::TimedOut, message);
                Err(match &*client.inner.status.borrow() {
                    Status::Reconnecting { error: cause, .. } => error.with_source(cause.clone()),
                    _ => error,
                })
            }
        }
    }

    /// Starts the client, and returns at once: it connects when it can.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn start(self) -> WorkspaceClient {
        let (requests, received) = mpsc::unbounded_channel();
        let runtime = Handle::current();
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner {
            window: Window::new(self.limits.window_bytes),
            status: watch::Sender::new(Status::Connecting),
            requests,
            permits: Semaphore::new(self.limits.calls.min(Semaphore::MAX_PERMITS)),
            limits: self.limits,
            callbacks: Arc::new(Callbacks::default()),
            stop: stop.clone(),
            runtime: runtime.clone(),
        });
        runtime.spawn(Driver::new(self.transport, inner.clone(), received, self.policy).run());
        WorkspaceClient { inner, _guard: Arc::new(stop.drop_guard()) }
    }
}
