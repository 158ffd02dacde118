//! What a client is about.

use crate::error::{Error, ErrorKind};

/// What a client is about.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Status {
    /// It connects for the first time.
    #[default]
    Connecting,
    /// The host answers; calls are made at once.
    Connected,
    /// There is no connection. The client waits as [`ClientLimits::reconnect`](super::ClientLimits::reconnect) says,
    /// and tries again, without end.
    #[non_exhaustive]
    Reconnecting {
        /// The how manieth try comes next, since the last connection that lasted; from 1.
        attempt: u32,
        /// What ended the connection, or the last try.
        error: Error,
    },
    /// It is over. The last thing that a client is.
    #[non_exhaustive]
    Disposed {
        /// Why.
        why: Why,
    },
}

/// Why a client is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Why {
    /// It was disposed of, or its last clone was dropped.
    Asked,
    /// No connection can be had any more, or none that goes on from where the client is.
    Failed(Error),
}

impl Status {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Disposed { .. })
    }
}

impl Why {
    /// The error of who wants something from a client that is over.
    pub(super) fn error(&self) -> Error {
        match self {
            Self::Asked => Error::new(ErrorKind::Closed, "the client was disposed of; connect a new one"),
            Self::Failed(error) => error.clone(),
        }
    }
}
