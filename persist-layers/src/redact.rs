//! Redaction of what is stored.

mod json;
mod secrets;

use std::fmt;

use sandbox_agent_persist::{PersistError, RawValue, SessionEvent, SessionPersistDriver, SessionRecord};

pub use secrets::{REDACTED, Secrets};

use crate::{Layer, Transform};

/// A store that what is secret never reaches.
///
/// All that is to be stored goes through a [`Redact`] first; [`Secrets`] is one that is ready. What is read is what
/// is stored. Whoever listens to a live session sees the original: only the store has what is redacted, and so
/// has everybody who reads from it, which is also a listener that fell behind.
///
/// A record is what a session is opened from again. If its `session_init` had secrets, such as the environment
/// of an MCP server, whoever resumes it has to give them anew.
///
/// Whoever copies sessions into it, or imports them, does so with
/// [`payloads_may_differ`](sandbox_agent_persist::SessionCopy::payloads_may_differ): a copy that goes on would take what
/// it redacted for another session.
///
/// ```
/// use sandbox_agent_persist_layers::{RedactingDriver, Secrets};
/// # use sandbox_agent_persist_memory::MemorySessionPersistDriver;
///
/// # let (store, token) = (MemorySessionPersistDriver::new(), "t0k3n");
/// let sessions = RedactingDriver::new(store, Secrets::new().value(token).member("x-internal-key"));
/// # let _ = sessions;
/// ```
pub type RedactingDriver<D> = Layer<D, Redaction>;

impl<D: SessionPersistDriver> RedactingDriver<D> {
    /// This store, with all that it is given redacted.
    pub fn new(inner: D, redact: impl Redact) -> Self {
        Self::with(inner, Redaction::new(redact))
    }
}

/// Takes out of records and payloads what is not to be stored.
///
/// It must do nothing to what it has redacted already: a session that is copied, or stored anew, goes through it
/// again.
///
/// Two functions in a pair are one, too: for payloads and for records.
///
/// ```
/// use sandbox_agent_persist::{RawValue, SessionEvent, SessionRecord};
/// use sandbox_agent_persist_layers::RedactingDriver;
/// # use sandbox_agent_persist_memory::MemorySessionPersistDriver;
///
/// # let store = MemorySessionPersistDriver::new();
/// let without_init = RedactingDriver::new(
///     store,
///     (|_: &SessionEvent| None, |record: &mut SessionRecord| record.session_init = None),
/// );
/// # let _ = without_init;
/// ```
pub trait Redact: Send + Sync + 'static {
    /// The payload to store in place of the event's; `None` to store that as it is, byte for byte.
    fn payload(&self, event: &SessionEvent) -> Option<Box<RawValue>>;

    /// Changes what of the record is not to be stored. Its id and creation time are to stay.
    fn record(&self, record: &mut SessionRecord);
}

impl<P, R> Redact for (P, R)
where
    P: Fn(&SessionEvent) -> Option<Box<RawValue>> + Send + Sync + 'static,
    R: Fn(&mut SessionRecord) + Send + Sync + 'static,
{
    fn payload(&self, event: &SessionEvent) -> Option<Box<RawValue>> {
        self.0(event)
    }

    fn record(&self, record: &mut SessionRecord) {
        self.1(record);
    }
}

/// The [`Transform`] of a [`RedactingDriver`].
pub struct Redaction(Box<dyn Redact>);

impl Redaction {
    /// By this.
    pub fn new(redact: impl Redact) -> Self {
        Self(Box::new(redact))
    }
}

/// Without what is redacted, which may be known by its value.
impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").finish_non_exhaustive()
    }
}

impl Transform for Redaction {
    fn record_in(&self, mut record: SessionRecord) -> Result<SessionRecord, PersistError> {
        self.0.record(&mut record);
        Ok(record)
    }

    fn event_in(&self, mut event: SessionEvent) -> Result<SessionEvent, PersistError> {
        if let Some(payload) = self.0.payload(&event) {
            event.payload = payload;
        }
        Ok(event)
    }
}
