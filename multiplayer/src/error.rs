//! The one error type, which travels to clients as a code, a sentence and data.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use sandbox_agent_sdk::{Delivery, persist};
use serde_json::{Value, json};

use crate::prompt::Failure;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: a kind to match on, a sentence to read, the cause in `source()`. A cheap clone.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    delivery: Option<Delivery>,
    source: Option<Arc<dyn StdError + Send + Sync + 'static>>,
}

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Whoever it is may not do this. Come with another token, or ask for the right.
    Refused,
    /// Somebody else drives. Ask for control.
    NotDriving {
        /// Who does.
        drivers: Vec<String>,
    },
    /// Control has changed hands since the term that the caller acted on.
    StaleControl {
        /// The term in force.
        term: u64,
    },
    /// The sequence is not there yet. Subscribe from `last` + 1 or less.
    FutureSequence {
        /// The last frame of the line.
        last: u64,
    },
    /// The line was begun anew since the caller read it: the store has lost what it had. Begin with a snapshot.
    OtherLine,
    /// A message is larger than the host takes. Send less.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// An argument is wrong; the message says which, and how it should be.
    InvalidInput,
    /// There is no such workspace, session, permission, prompt or process.
    NotFound,
    /// As many wait as the limit allows. Try again later.
    Full,
    /// Another process runs this workspace, and this one has stopped.
    Overtaken,
    /// The sandbox, its server or the agent failed; the message and the source say how.
    Sandbox,
    /// The store failed. The workspace has stopped rather than skip a frame; open it again.
    Store,
    /// No answer came within the bound of the call.
    TimedOut,
    /// The connection is gone, and with it the answer. What the call did is not known, unless the error's
    /// [`delivery`](Error::delivery) says so.
    Disconnected,
    /// What the other side sent can't be understood; the two are of different versions.
    Protocol,
    /// The workspace or the client was closed.
    Closed,
}

impl ErrorKind {
    /// The word that stands for it in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotDriving { .. } => "not_driving",
            Self::StaleControl { .. } => "stale_control",
            Self::FutureSequence { .. } => "future_sequence",
            Self::OtherLine => "other_line",
            Self::TooLarge { .. } => "too_large",
            Self::InvalidInput => "invalid_input",
            Self::NotFound => "not_found",
            Self::Full => "full",
            Self::Overtaken => "overtaken",
            Self::Sandbox => "sandbox",
            Self::Store => "store",
            Self::TimedOut => "timed_out",
            Self::Disconnected => "disconnected",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
        }
    }

    fn data(&self) -> Value {
        match self {
            Self::NotDriving { drivers } => json!({ "drivers": drivers }),
            Self::StaleControl { term } => json!({ "term": term }),
            Self::FutureSequence { last } => json!({ "last": last }),
            Self::TooLarge { limit } => json!({ "limit": limit }),
            _ => Value::Null,
        }
    }

    fn read(code: &str, data: &Value) -> Self {
        let number = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or_default();
        match code {
            "refused" => Self::Refused,
            "not_driving" => Self::NotDriving {
                drivers: data
                    .get("drivers")
                    .and_then(Value::as_array)
                    .map(|drivers| drivers.iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect())
                    .unwrap_or_default(),
            },
            "stale_control" => Self::StaleControl { term: number("term") },
            "future_sequence" => Self::FutureSequence { last: number("last") },
            "other_line" => Self::OtherLine,
            "too_large" => Self::TooLarge { limit: number("limit").try_into().unwrap_or(usize::MAX) },
            "invalid_input" => Self::InvalidInput,
            "not_found" => Self::NotFound,
            "full" => Self::Full,
            "overtaken" => Self::Overtaken,
            "sandbox" => Self::Sandbox,
            "store" => Self::Store,
            "timed_out" => Self::TimedOut,
            "disconnected" => Self::Disconnected,
            "closed" => Self::Closed,
            _ => Self::Protocol,
        }
    }
}

impl Error {
    /// An error of this kind. The message names the thing and, where there is one, the way out.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), delivery: None, source: None }
    }

    /// The error of somebody who may not do something; for a hook to give.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    pub(crate) fn other_line() -> Self {
        let message = "the workspace's line was begun anew, so its frames do not go on where you are; begin \
                       with a snapshot, as a new client does";
        Self::new(ErrorKind::OtherLine, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the workspace is closed; open it again")
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Adds whether the agent, or the workspace, got what was sent.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// The kind, to match on.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Whether what was sent arrived, of an error for which that is known.
    pub fn delivery(&self) -> Option<Delivery> {
        self.delivery
    }

    /// The error as it travels.
    pub fn to_failure(&self) -> Failure {
        let delivery = self.delivery.map(|delivery| match delivery {
            Delivery::NotSent => "not_sent",
            Delivery::Unknown => "unknown",
            Delivery::Executed => "executed",
        });
        Failure {
            code: self.kind.code().to_owned(),
            message: self.message.clone(),
            delivery: delivery.map(str::to_owned),
            data: self.kind.data(),
        }
    }

    /// The error that travelled.
    pub fn from_failure(failure: &Failure) -> Self {
        let delivery = match failure.delivery.as_deref() {
            Some("not_sent") => Some(Delivery::NotSent),
            Some("unknown") => Some(Delivery::Unknown),
            Some("executed") => Some(Delivery::Executed),
            _ => None,
        };
        let kind = ErrorKind::read(&failure.code, &failure.data);
        Self { kind, message: failure.message.clone(), delivery, source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<sandbox_agent_sdk::Error> for Error {
    fn from(error: sandbox_agent_sdk::Error) -> Self {
        use sandbox_agent_sdk::ErrorKind as Sdk;
        let kind = match error.kind() {
            Sdk::InvalidInput | Sdk::SessionExists => ErrorKind::InvalidInput,
            Sdk::SessionNotFound | Sdk::PermissionGone => ErrorKind::NotFound,
            Sdk::Refused(problem) if problem.status == 404 => ErrorKind::NotFound,
            Sdk::QueueFull | Sdk::Busy => ErrorKind::Full,
            Sdk::Persist(_) => ErrorKind::Store,
            Sdk::TimedOut(_) => ErrorKind::TimedOut,
            Sdk::TooLarge { limit } => ErrorKind::TooLarge { limit: *limit },
            Sdk::Closed => ErrorKind::Closed,
            _ => ErrorKind::Sandbox,
        };
        let delivery = error.delivery();
        Self { kind, message: error.to_string(), delivery, source: Some(Arc::new(error)) }
    }
}

impl From<persist::PersistError> for Error {
    fn from(error: persist::PersistError) -> Self {
        let kind = if error.is_fenced() { ErrorKind::Overtaken } else { ErrorKind::Store };
        Self { kind, message: error.to_string(), delivery: None, source: Some(Arc::new(error)) }
    }
}
