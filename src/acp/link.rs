//! One agent process: its id, who waits for it, and the tasks that read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
use crate::metrics::Counters;
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
    pub(crate) counters: Arc<Counters>,
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
    /// The agent said that it exits.
    exiting: AtomicBool,
    dead: watch::Sender<Option<Error>>,
}

/// Which process a link is to.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) server_id: String,
    pub(crate) agent: String,
    /// Up to which SSE id the record has its events; `None` for one that is to be started.
    pub(crate) recorded: Option<u64>,
}

impl Process {
    /// One that starts with the first POST, under an id that nobody has used.
    pub(crate) fn fresh(agent: &str) -> Self {
        Self { server_id: Uuid::new_v4().to_string(), agent: agent.to_owned(), recorded: None }
    }

    /// One that runs already.
    pub(crate) fn running(server_id: &str, agent: &str, recorded: u64) -> Self {
        Self { server_id: server_id.to_owned(), agent: agent.to_owned(), recorded: Some(recorded) }
    }
}

/// What a link stands on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) http: Http,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
}

/// A link that is not read yet, so that nothing comes before whoever waits for it is registered.
#[derive(Debug)]
#[must_use = "nothing is read of it"]
pub(crate) struct Unread {
    link: Arc<Link>,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl Link {
    pub(crate) fn new(ground: Ground, process: Process) -> (Arc<Self>, Unread) {
        let (signals, receiver) = mpsc::unbounded_channel();
        let Ground { http, limits, counters, runtime, stop } = ground;
        let link = Arc::new(Self {
            server_id: process.server_id,
            agent: process.agent,
            http,
            limits,
            counters,
            runtime,
            pending: Pending::default(),
            signals,
            stop,
            connected: watch::Sender::new(false),
            done: AtomicU64::new(process.recorded.unwrap_or(0)),
            started: watch::Sender::new(process.recorded.is_some()),
            exiting: AtomicBool::new(false),
            dead: watch::Sender::new(None),
        });
        let unread = Unread { link: link.clone(), signals: receiver };
        (link, unread)
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

    /// Whatever becomes of the answer to the call that starts it, a stream shows that the server has it.
    pub(super) fn set_started(&self) {
        self.started.send_replace(true);
    }

    pub(crate) fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Up to which SSE id all events were handed on.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Whether the agent said that it exits; the link dies when all that it wrote is recorded.
    pub(crate) fn is_exiting(&self) -> bool {
        self.exiting.load(Ordering::Acquire)
    }

    /// Returns when the process is of no more use, with the reason.
    pub(crate) async fn dies(&self) -> Error {
        let mut dead = self.dead.subscribe();
        // The sender is in `self`.
        let error = dead.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        error.unwrap_or_else(Error::closed)
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
        self.exiting.store(true, Ordering::Release);
        let _ = self.signals.send(Signal::Exited(error));
    }
}

impl Unread {
    /// Begins to read. What the process gives goes to `inbound`, in its order.
    pub(crate) fn read(self, inbound: impl Fn(Arc<Link>, Inbound) + Send + 'static) {
        let Self { link, signals } = self;
        let budget = Budget::new(link.limits.queue_bytes);
        link.runtime.spawn(Sequencer::new(link.clone(), signals, inbound).run());
        link.runtime.spawn(Reader::new(link.clone(), budget).run());
    }
}
