//! Why a sandbox can't be had.

use std::error::Error as StdError;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// Why a provider could not do what it was asked.
///
/// `Display` is a sentence that names the thing and the way out; causes are in `source()`. No token may be in either.
/// As an [`Error`] its kind is [`ErrorKind::Sandbox`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SandboxError {
    kind: SandboxErrorKind,
    message: String,
    #[source]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What is wrong with a sandbox, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SandboxErrorKind {
    /// The provider has no sandbox of this id, or has it no more. Start another one.
    NotFound,
    /// The provider can't do this at all. Do without it.
    Unsupported,
    /// The provider could not be reached, or has no room. Call again later.
    Unavailable,
    /// There is no binary of the server. The message says how to get one.
    NoBinary,
    /// What was found as the server's binary can't be run. The message says how to mend it.
    NotExecutable,
    /// The server is of a version that this SDK does not know, or is another program. Install one that it knows.
    WrongVersion,
    /// The server was started, and ended or did not become healthy. The message has the end of its log.
    ServerFailed,
    /// Something else, which the message and the cause tell.
    Other,
}

impl SandboxError {
    /// An error of this kind. The message is a sentence that names the thing and the way out.
    pub fn new(kind: SandboxErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The error of a provider that has no such sandbox, or has it no more.
    pub fn not_found(id: &str) -> Self {
        Self::new(SandboxErrorKind::NotFound, format!("there is no sandbox {id:?}; start another one"))
    }

    /// The error of a provider that can't do this at all.
    pub fn unsupported(provider: &str, what: &str) -> Self {
        Self::new(SandboxErrorKind::Unsupported, format!("the provider {provider:?} can't {what} a sandbox"))
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The kind, to match on.
    pub fn kind(&self) -> SandboxErrorKind {
        self.kind
    }
}

impl From<SandboxError> for Error {
    fn from(error: SandboxError) -> Self {
        let made = Self::new(ErrorKind::Sandbox(error.kind), error.message);
        match error.source {
            Some(source) => made.with_cause(source),
            None => made,
        }
    }
}
