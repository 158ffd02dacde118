//! One error type: a kind to match on, a sentence to read, the cause in `source()`.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{PersistError, PersistErrorKind};

use crate::http::Problem;
use crate::sandbox::SandboxErrorKind;
use crate::session::SameName;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// [`kind`](Self::kind) is what to match on and [`delivery`](Self::delivery) says whether a prompt
/// reached the agent. `Display` shows this layer alone; causes are in `source()`. The SDK puts no token and nothing
/// of what it sends into any of them. What others say of a failure is in it as they say it, so where they repeat
/// what they were sent, that is in it, too: the server's words and the message of an agent's error in this layer,
/// what the agent adds to it (at most 500 characters) in `source()`, so that the SDK's own log doesn't have it.
/// Cheap to clone: everybody who waited gets the same error.
#[derive(Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Arc<Inner>);

#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    message: String,
    delivery: Option<Delivery>,
    retry_after: Option<Duration>,
    offered: Vec<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument can't be right. The message names it; correct it.
    InvalidInput,
    /// The server did not answer within its budget. Its sessions live on; call again later.
    Unreachable,
    /// The server, or a proxy in front of it, refused the token. Connect with another one. The server did nothing for
    /// what it refused; after a proxy's refusal `delivery` is [`Unknown`](Delivery::Unknown).
    Unauthorized,
    /// The [token provider](crate::TokenProvider) gave none, so that nothing was sent. The cause is what it said.
    TokenUnavailable,
    /// The server's address begins with `https://`, and no TLS is compiled in. Turn on the feature `rustls` or
    /// `native-tls`, or give the builder a client.
    NoTls,
    /// The server refused the request, and says why.
    Refused(Problem),
    /// The agent answered the request with this JSON-RPC error. The cause is what the agent adds to it, where anything.
    Agent {
        /// The JSON-RPC error code; -32000 asks for authentication.
        code: i64,
    },
    /// The agent does not offer this method, so that it was not asked. Do without, or take another agent.
    NotOffered {
        /// The method of the protocol, such as `session/fork`.
        method: String,
    },
    /// The agent's process exited. The next call starts a new one.
    AgentExited {
        /// Its exit code, where it had one.
        code: Option<i64>,
    },
    /// The server no longer knows the process. A session's next call starts a new agent.
    ProcessGone,
    /// A limit in time ran out; the message says which.
    TimedOut(Limit),
    /// The turn was cancelled before it was sent.
    Cancelled,
    /// An event, response or request is larger than its cap.
    TooLarge {
        /// The cap in bytes.
        limit: usize,
    },
    /// The store failed, or refuses, and the kind says how. Where it is an event that could not be stored, the
    /// session has ended rather than skip it: resume it once the store is well. `Fenced`: another SDK has the session.
    Persist(PersistErrorKind),
    /// The provider of the sandbox could not do what it was asked, and the kind says why.
    Sandbox(SandboxErrorKind),
    /// No session has this id.
    SessionNotFound,
    /// A session with this id exists. Resume it, or choose another id.
    SessionExists,
    /// The session was destroyed. Resume it to open it again.
    SessionDestroyed,
    /// Another SDK holds the session, and drives it. Wait until it lets go, or
    /// [take the session over](crate::SandboxAgent::take_over_session).
    Held {
        /// The name under which the other one holds it.
        holder: String,
    },
    /// As many prompts, or requests, wait as may. Wait for one to end.
    QueueFull,
    /// A turn runs, and the prompt was not to wait for it.
    Busy,
    /// A prompt with this idempotency key is in the store already; `delivery` is that one's.
    DuplicatePrompt,
    /// The permission request was answered, or ended with its turn.
    PermissionGone,
    /// A command of the SDK's in the sandbox failed; the message has what it said.
    CommandFailed {
        /// Its exit code, where it had one.
        code: Option<i32>,
    },
    /// Nothing in the sandbox takes connections on this port. Start the service, or wait for it.
    PortRefused {
        /// Which.
        port: u16,
    },
    /// A connection to a port in the sandbox broke, and something of it is missing. What was read is as it was sent;
    /// of what was written it isn't known how much arrived. Connect again.
    ConnectionBroken,
    /// The sandbox lacks a program that the SDK runs there. Install one of these in it.
    ProgramMissing {
        /// Any of them does.
        any_of: Vec<String>,
    },
    /// A file or a port of this machine could not be had; the cause says why.
    Io,
    /// A folder holds what is not carried: a link that leads out of it, a device, a path that is not below it.
    UnsafePath {
        /// Which.
        path: String,
    },
    /// The agent or server sent what the protocol does not allow, a store broke its contract, or others open the
    /// same session again and again; the message says which.
    Protocol,
    /// The SDK was closed or detached, or the last handle was dropped.
    Closed,
}

/// The limit that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// The wait for the answer to a request other than a prompt.
    Request,
    /// The turn as a whole.
    Turn,
    /// The time without any event during a turn.
    Silence,
    /// The time that a permission request may stay unanswered.
    Permission,
    /// The time that a turn, found running after a reattach, may go on without a sign of its prompt.
    Unconfirmed,
    /// The time that a cancelled turn gets to end by itself.
    Cancel,
    /// The time of one call to the server that is not about a session.
    Call,
    /// The time that a call of the sandbox's provider may take.
    Sandbox,
}

/// What is known of a message that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The agent did not get it. Sending it again can't make it run twice.
    NotSent,
    /// The agent may have got it.
    Unknown,
    /// The agent got it, and answered or began to work on it.
    Executed,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            delivery: None,
            retry_after: None,
            offered: Vec::new(),
            source: None,
        }))
    }

    pub(crate) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.with_cause(Arc::new(source))
    }

    pub(crate) fn with_cause(self, source: Arc<dyn StdError + Send + Sync>) -> Self {
        self.change(|inner| inner.source = Some(source))
    }

    pub(crate) fn with_delivery(self, delivery: Delivery) -> Self {
        self.change(|inner| inner.delivery = Some(delivery))
    }

    pub(crate) fn with_retry_after(self, after: Option<Duration>) -> Self {
        self.change(|inner| inner.retry_after = after)
    }

    pub(crate) fn with_offered(self, offered: Vec<String>) -> Self {
        self.change(|inner| inner.offered = offered)
    }

    /// The same error for others than whoever sent the message that it came from.
    pub(crate) fn without_delivery(self) -> Self {
        self.change(|inner| inner.delivery = None)
    }

    /// Says how far the message came, unless that is known already.
    pub(crate) fn or_delivery(self, delivery: Delivery) -> Self {
        if self.0.delivery.is_some() { self } else { self.with_delivery(delivery) }
    }

    fn change(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the SDK was closed or detached; connect again")
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    /// The kind, to match on.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether the message that failed reached the agent; `None` where nothing was to be sent.
    pub fn delivery(&self) -> Option<Delivery> {
        self.0.delivery
    }

    /// When the server wants to be asked again, where it said so (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What can be chosen instead of what can't be had: modes, models, values of an option, authentication
    /// methods. Empty where that is not what went wrong.
    pub fn offered(&self) -> &[String] {
        &self.0.offered
    }

    /// The server's problem document, where it sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match &self.0.kind {
            ErrorKind::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the agent's process is gone, so that the next call starts a new one.
    pub fn is_agent_gone(&self) -> bool {
        matches!(self.0.kind, ErrorKind::AgentExited { .. } | ErrorKind::ProcessGone)
    }

    /// Whether a limit in time ran out.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::TimedOut(_))
    }

    /// Whether the server could not be reached.
    pub fn is_unreachable(&self) -> bool {
        self.0.kind == ErrorKind::Unreachable
    }

    /// Whether the server, or a proxy in front of it, refused the token.
    pub fn is_unauthorized(&self) -> bool {
        self.0.kind == ErrorKind::Unauthorized
    }

    /// Whether another SDK took the session over: what this one writes is refused by the store.
    pub fn is_fenced(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Persist(PersistErrorKind::Fenced))
    }

    /// Whether the store failed.
    pub fn is_persist(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Persist(_))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("delivery", &self.0.delivery)
            .field("offered", &self.0.offered)
            .field("source", &self.0.source)
            .finish()
    }
}

impl From<PersistError> for Error {
    fn from(error: PersistError) -> Self {
        let message = match error.kind() {
            PersistErrorKind::Fenced
                if StdError::source(&error).is_some_and(|cause| cause.is::<SameName>()) =>
            {
                "another SDK has this one's holder's name, and so the session: give each running SDK a name of its own"
            }
            PersistErrorKind::Fenced => "another SDK has the session: what this one writes is refused",
            PersistErrorKind::Unavailable => "the session store is unavailable",
            PersistErrorKind::TooLarge => "the session store takes nothing that large",
            PersistErrorKind::Corrupt => "what the session store holds can't be read",
            PersistErrorKind::Evicted { .. } => "the session store has dropped these events",
            PersistErrorKind::InvalidCursor => "the session store did not give out this cursor",
            _ => "the session store failed",
        };
        Self::new(ErrorKind::Persist(error.kind()), message).with_source(error)
    }
}
