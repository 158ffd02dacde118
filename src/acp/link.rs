//! One agent process: its id, who waits for it, and the tasks that read it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sandbox_agent_persist::RawValue;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::gap::Gap;
use super::pending::{Answer, Pending};
use super::reader::{Reader, Signal};
use super::sequencer::Sequencer;
use crate::error::Error;
use crate::http::Http;
use crate::limits::Limits;
use crate::sse::{Budget, Permit};

/// What a process gave, in its order, for the recorder to store.
#[derive(Debug)]
pub(crate) enum Inbound {
    Event {
        sse_id: u64,
        payload: Box<RawValue>,
        permit: Permit,
    },
    Gap(Gap),
    /// Whoever still waits for one of these answers gets what the POST brought.
    Settle(Vec<String>),
    /// The last there is: nothing comes after it.
    Died {
        last_sse_id: u64,
        error: Error,
    },
}

/// The handle of one agent process.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server_id: String,
    pub(crate) agent: String,
    pub(crate) http: Http,
    pub(crate) limits: Limits,
    /// Where its tasks run, whoever opened it.
    pub(super) runtime: Handle,
    pub(crate) pending: Pending,
    pub(super) signals: mpsc::UnboundedSender<Signal>,
    /// Ends the reading, not the process.
    pub(super) stop: CancellationToken,
    pub(super) connected: watch::Sender<bool>,
    /// Up to which SSE id all events are handed on.
    pub(super) done: AtomicU64,
    /// Whether the server has the process.
    started: watch::Sender<bool>,
    dead: watch::Sender<Option<Error>>,
}

impl Link {
    /// Takes a fresh server id and begins to read it. The process itself starts with the first POST.
    pub(crate) fn start(
        http: Http,
        agent: &str,
        limits: Limits,
        runtime: Handle,
        stop: CancellationToken,
        inbound: impl Fn(Arc<Self>, Inbound) + Send + 'static,
    ) -> Arc<Self> {
        let (signals, receiver) = mpsc::unbounded_channel();
        let budget = Budget::new(limits.queue_bytes);
        let link = Arc::new(Self {
            server_id: Uuid::new_v4().to_string(),
            agent: agent.to_owned(),
            http,
            limits,
            runtime: runtime.clone(),
            pending: Pending::default(),
            signals,
            stop,
            connected: watch::Sender::new(false),
            done: AtomicU64::new(0),
            started: watch::Sender::new(false),
            dead: watch::Sender::new(None),
        });
        runtime.spawn(Sequencer::new(link.clone(), receiver, inbound).run());
        runtime.spawn(Reader::new(link.clone(), budget).run());
        link
    }

    /// Whether the event stream is open right now.
    pub(crate) fn connection(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    pub(super) fn is_started(&self) -> bool {
        *self.started.borrow()
    }

    pub(super) async fn started(&self) {
        // It can't fail: the sender is in `self`.
        let _ = self.started.subscribe().wait_for(|started| *started).await;
    }

    pub(super) fn set_started(&self) {
        self.started.send_replace(true);
    }

    pub(crate) fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.borrow().is_some()
    }

    /// Why the process is of no more use.
    pub(crate) fn death(&self) -> Option<Error> {
        self.dead.borrow().clone()
    }

    /// Registers for an answer. A dead process gives its error at once.
    pub(crate) fn expect_answer(&self, rpc_id: String) -> oneshot::Receiver<Answer> {
        let receiver = self.pending.register(rpc_id);
        // Looked at after registering, so that no death falls between the two.
        if let Some(error) = self.death() {
            self.pending.fail_all(&error);
        }
        receiver
    }

    /// All that the process gave is stored: ends what still waits for it.
    pub(crate) fn bury(&self, error: &Error) {
        self.dead.send_if_modified(|dead| {
            let first = dead.is_none();
            if first {
                *dead = Some(error.clone());
            }
            first
        });
        self.pending.fail_all(error);
        self.stop.cancel();
    }

    /// The agent said that it exits: fetches what it wrote around that, then dies.
    pub(crate) fn exited(&self, error: Error) {
        let _ = self.signals.send(Signal::Exited(error));
    }
}
