//! Why a store could not do what it was asked.

use std::error::Error as StdError;
use std::fmt;

use crate::Cursor;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// So much of a name shows which one it is.
const SHOWN: usize = 64;

/// An error of a store: a kind to match on, a sentence to read, the cause in `source()`.
#[derive(Debug)]
pub struct PersistError {
    kind: PersistErrorKind,
    message: String,
    source: Option<Source>,
    unreadable: Option<Box<Unreadable>>,
}

/// The session whose record stopped a list, because it can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The session. [`delete_session`](crate::SessionPersistDriver::delete_session) deletes it unread.
    pub session_id: String,
    /// Where the list goes on behind it; `None` where it was the last one.
    pub next_cursor: Option<Cursor>,
}

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PersistErrorKind {
    /// The store can't be reached or is busy. The same call may succeed later: the SDK tries again.
    Unavailable,
    /// The record or event is larger than the store takes. Raise the store's limit.
    TooLarge,
    /// What the store holds can't be read. The message names the file or row.
    Corrupt,
    /// The events asked for were evicted. Read on after `to`.
    Evicted {
        /// The first index that is gone.
        from: u64,
        /// The last index that is gone.
        to: u64,
    },
    /// Another holder has the session, or has taken it over. Stop writing to it.
    Fenced,
    /// The cursor is not one that this store gave out. List again from the start.
    InvalidCursor,
    /// Anything else; trying again does not help.
    Other,
}

impl PersistError {
    /// An error of this kind. The message names the thing and, where there is one, the way out.
    pub fn new(kind: PersistErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, unreadable: None }
    }

    /// The error of a reader whose events `from..=to` were evicted.
    pub fn evicted(session_id: &str, from: u64, to: u64) -> Self {
        Self::new(
            PersistErrorKind::Evicted { from, to },
            format!("events {from} to {to} of session {session_id:?} were evicted; read on after {to}"),
        )
    }

    /// The error of a write that does not carry the session's lease; `holder` is who has that, if anybody.
    pub fn fenced(session_id: &str, holder: Option<&str>) -> Self {
        let message = match holder {
            Some(holder) => {
                format!("session {session_id:?} is held by {holder:?}; wait for them, or take it over")
            }
            None => format!("the lease of session {session_id:?} was given up; acquire it again"),
        };
        Self::new(PersistErrorKind::Fenced, message)
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says that a list came to a record that can't be read, and where it goes on behind that one.
    #[must_use]
    pub fn at_unreadable(mut self, session_id: impl Into<String>, next_cursor: Option<Cursor>) -> Self {
        self.unreadable = Some(Box::new(Unreadable { session_id: session_id.into(), next_cursor }));
        self
    }

    /// The session whose record can't be read, of an error by which
    /// [`list_sessions`](crate::SessionPersistDriver::list_sessions) lets its caller go on behind it.
    pub fn unreadable(&self) -> Option<&Unreadable> {
        self.unreadable.as_deref()
    }

    /// The kind, to match on.
    pub fn kind(&self) -> PersistErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        self.kind == PersistErrorKind::Unavailable
    }

    /// Whether another holder has the session.
    pub fn is_fenced(&self) -> bool {
        self.kind == PersistErrorKind::Fenced
    }

    /// Whether the events asked for were evicted.
    pub fn is_evicted(&self) -> bool {
        matches!(self.kind, PersistErrorKind::Evicted { .. })
    }
}

impl fmt::Display for PersistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for PersistError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// A name in quotes for the message of an error: whole, or its beginning where it is long. How long an id is,
/// its user decides.
pub fn brief(name: &str) -> String {
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(brief("one \"s\""), r#""one \"s\"""#);
        assert_eq!(brief(&"ü".repeat(64)), format!("\"{}\"", "ü".repeat(64)));
        assert_eq!(brief(&"ü".repeat(65)), format!("\"{}\"…", "ü".repeat(64)));
    }
}
