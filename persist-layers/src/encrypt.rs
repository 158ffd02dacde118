//! Encryption of what is stored.

mod binding;
mod hidden;
mod keys;
mod rotation;
mod seal;

use sandbox_agent_persist::{
    PersistError, PersistErrorKind, RawValue, SessionEvent, SessionFilter, SessionPersistDriver,
    SessionRecord,
};
use serde_json::{Map, Value};

pub use keys::Keys;
pub use rotation::Rotated;

use crate::{Layer, Transform};
use hidden::Hidden;
use seal::{MEMBER, Sealed, corrupt, seal};

/// A store whose content is encrypted.
///
/// Each value is encrypted with XChaCha20-Poly1305 under a random nonce, and carries the id of its key. It is
/// bound to its place: one that was changed, or moved to another event or session, is a `Corrupt` error that
/// names the event or record and the key, and so is one whose key is wrong or isn't among the [`Keys`].
/// Payloads come back byte for byte.
///
/// A record that can't be read stops a list of sessions, and the error lets the caller
/// [go on behind it](PersistError::unreadable), as retention and copies do. `delete_session` reads nothing, and
/// so deletes such a session as any other.
///
/// # What is encrypted
/// - Of an event its payload. Stored is `{"_sandboxAgentEncrypted":{"v":1,"key":…,"data":…}}`.
/// - Of a record its `session_init`, `config_options`, `modes`, `title`, `tags` and `extra`. Stored is the
///   same member `_sandboxAgentEncrypted` in `extra`, and nothing else of these.
///
/// # What stays readable
/// What a store goes by: all ids, indexes and runs, times, agent and sender. And how long each value is, and
/// who has something in common with whom. All of it is bound to the encrypted value, so that a change of it is
/// noticed when that is read, and a record can only be changed through this layer. Not noticed is that
/// something is missing: events at the end of a session, a session, the newer version of a record.
///
/// # What is different
/// - Title and tags of a [`SessionFilter`] are compared here, after decrypting. A page is as long as it
///   should be, and only after 10,000 records without enough that match it is shorter, and has a cursor.
/// - A session's usage is counted by reading it: the store knows only what the encrypted values take.
/// - A store in memory looks into payloads to spare running turns when it is full. Here it can't.
/// - A store that replaces a payload which is too large for it leaves one that is not encrypted, and so is
///   refused: raise its limit.
/// - Whoever copies sessions, or exports and imports them, does it through this layer, so that they are
///   encrypted anew for the place that they come to.
///
/// # Plain values
/// A value that is not encrypted is refused as `Corrupt`: who can write to the store could put it there.
/// A store that was used without encryption is read with [`Encryption::accept_plain`] until it is
/// brought over: [`copy_to`](sandbox_agent_persist::SessionPersistDriverExt::copy_to) another one.
///
/// # Rotation
/// What is written has the current key, and what is there keeps the one it has: see [`Keys`]. Records can be
/// brought over by [`rotate_records`](Self::rotate_records). Events can't: a store changes none. To be rid
/// of an older key, copy the sessions to another store; [`keys_of`](Self::keys_of) tells which keys a
/// session needs.
///
/// ```
/// use sandbox_agent_persist::{SessionPersistDriver, SessionRecord};
/// use sandbox_agent_persist_layers::{EncryptedDriver, Keys};
/// # use sandbox_agent_persist_memory::MemorySessionPersistDriver;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sandbox_agent_persist::PersistError> {
/// # let (store, key) = (MemorySessionPersistDriver::new(), [7; 32]);
/// let sessions = EncryptedDriver::new(store, Keys::new("2025-06", &key));
/// let mut record = SessionRecord::new("default", "codex", 0);
/// record.title = Some("The merger".to_owned());
/// sessions.update_session(record.clone()).await?;
/// assert_eq!(sessions.get_session("default").await?, Some(record));
///
/// let stored = sessions.inner().get_session("default").await?.unwrap();
/// assert_eq!(stored.title, None);
/// # Ok(())
/// # }
/// ```
pub type EncryptedDriver<D> = Layer<D, Encryption>;

impl<D: SessionPersistDriver> EncryptedDriver<D> {
    /// This store, encrypted; plain values are refused.
    pub fn new(inner: D, keys: Keys) -> Self {
        Self::with(inner, Encryption::new(keys))
    }
}

/// The [`Transform`] of an [`EncryptedDriver`].
#[derive(Clone, Debug)]
pub struct Encryption {
    keys: Keys,
    accepts_plain: bool,
}

impl Encryption {
    /// With these keys; plain values are refused.
    pub fn new(keys: Keys) -> Self {
        Self { keys, accepts_plain: false }
    }

    /// Reads values that are not encrypted as they are.
    ///
    /// Whoever can write to the store can then put there what they like, so turn it on only for as long as
    /// there are such values.
    #[must_use]
    pub fn accept_plain(mut self) -> Self {
        self.accepts_plain = true;
        self
    }

    fn check_plain(&self, name: &str) -> Result<(), PersistError> {
        match self.accepts_plain {
            true => Ok(()),
            false => Err(corrupt(format!(
                "{name} is not encrypted; if it is older than the encryption, read it with Encryption::accept_plain"
            ))),
        }
    }

    /// The sealed value that a stored payload is; `None` for a plain one.
    fn sealed_payload(event: &SessionEvent) -> Result<Option<Sealed>, PersistError> {
        let Some(json) = event.payload.get().strip_prefix(OPENING) else {
            return Ok(None);
        };
        let sealed = json.strip_suffix('}').and_then(Sealed::read);
        sealed
            .map(Some)
            .ok_or_else(|| corrupt(format!("{} is damaged; restore it from a backup", name_of(event))))
    }

    /// The sealed value of a stored record; `None` for a plain one.
    fn sealed_members(record: &SessionRecord) -> Result<Option<Sealed>, PersistError> {
        let Some(value) = record.extra.get(MEMBER) else {
            return Ok(None);
        };
        let sealed = serde_json::from_value(value.clone());
        sealed.map(Some).map_err(|error| {
            corrupt(format!("the record of session {:?} is damaged; restore it from a backup", record.id))
                .with_source(error)
        })
    }
}

/// What an encrypted payload begins with.
const OPENING: &str = r#"{"_sandboxAgentEncrypted":"#;

fn name_of(event: &SessionEvent) -> String {
    format!("event {:?} at index {} of session {:?}", event.id, event.event_index, event.session_id)
}

fn name_of_record(record: &SessionRecord) -> String {
    format!("the record of session {:?}", record.id)
}

impl Transform for Encryption {
    fn record_in(&self, mut record: SessionRecord) -> Result<SessionRecord, PersistError> {
        let name = name_of_record(&record);
        let no_json = |error: serde_json::Error| {
            PersistError::new(PersistErrorKind::Other, format!("{name} can't be written as JSON: {error}"))
                .with_source(error)
        };
        let hidden = serde_json::to_vec(&Hidden::take(&mut record)).map_err(no_json)?;
        let sealed = seal(&self.keys, &hidden, &binding::of_record(&record), &name)?;
        let sealed: Value = serde_json::from_str(&sealed).map_err(no_json)?;
        record.extra = Map::from_iter([(MEMBER.to_owned(), sealed)]);
        Ok(record)
    }

    fn record_out(&self, mut record: SessionRecord) -> Result<SessionRecord, PersistError> {
        let name = name_of_record(&record);
        let Some(sealed) = Self::sealed_members(&record)? else {
            return self.check_plain(&name).map(|()| record);
        };
        let hidden = sealed.open(&self.keys, &binding::of_record(&record), &name)?;
        let hidden: Hidden = serde_json::from_slice(&hidden).map_err(|error| {
            corrupt(format!("{name} holds what this program doesn't know: {error}; update it"))
                .with_source(error)
        })?;
        record.extra.remove(MEMBER);
        if !Hidden::take(&mut record).is_empty() {
            return Err(corrupt(format!(
                "{name} has plain members beside the encrypted ones; it was changed by another program than this layer"
            )));
        }
        hidden.put(&mut record);
        Ok(record)
    }

    fn event_in(&self, mut event: SessionEvent) -> Result<SessionEvent, PersistError> {
        let name = name_of(&event);
        let place = binding::of_event(&event);
        let sealed = seal(&self.keys, event.payload.get().as_bytes(), &place, &name)?;
        event.payload = payload(format!("{OPENING}{sealed}}}"), &name)?;
        Ok(event)
    }

    fn event_out(&self, mut event: SessionEvent) -> Result<SessionEvent, PersistError> {
        let name = name_of(&event);
        let Some(sealed) = Self::sealed_payload(&event)? else {
            return self.check_plain(&name).map(|()| event);
        };
        let opened = sealed.open(&self.keys, &binding::of_event(&event), &name)?;
        let opened = String::from_utf8(opened).map_err(|error| {
            corrupt(format!("{name} was encrypted as something else than text")).with_source(error)
        })?;
        event.payload = payload(opened, &name)?;
        Ok(event)
    }

    fn stored_filter(&self, filter: &SessionFilter) -> SessionFilter {
        let mut filter = filter.clone();
        filter.title = None;
        filter.tags.clear();
        filter
    }

    fn keeps_sizes(&self) -> bool {
        false
    }
}

fn payload(json: String, name: &str) -> Result<Box<RawValue>, PersistError> {
    RawValue::from_string(json)
        .map_err(|error| corrupt(format!("{name} is no JSON: {error}")).with_source(error))
}
