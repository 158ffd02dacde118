//! The keys that values are encrypted with.

use std::collections::BTreeMap;
use std::fmt;

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use sandbox_agent_persist::{PersistError, PersistErrorKind};

/// A key to write with, and others to read with.
///
/// Keys are 32 random bytes; a password is none until a function that is made for it has derived one. Each has an
/// id, which is stored in plain text with what it encrypted: name it by when it was made, not by what it is.
///
/// To change to a new key, give that as the current one and the former as an [older](Self::older) one: what is
/// written from then on has the new one, and the rest stays readable.
///
/// Keys are wiped from memory when the last clone is dropped, and are never in `Debug`.
///
/// ```
/// # use sandbox_agent_persist_layers::Keys;
/// # fn main() -> Result<(), sandbox_agent_persist::PersistError> {
/// # let (key_of_march, key_of_june) = ([1; 32], [2; 32]);
/// let keys = Keys::new("june", &key_of_june).older("march", &key_of_march)?;
/// assert_eq!(keys.current_id(), "june");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Keys {
    current: String,
    ciphers: BTreeMap<String, XChaCha20Poly1305>,
}

impl Keys {
    /// The key that values are written with.
    pub fn new(id: impl Into<String>, key: &[u8; 32]) -> Self {
        let current = id.into();
        let ciphers = BTreeMap::from([(current.clone(), XChaCha20Poly1305::new(key.into()))]);
        Self { current, ciphers }
    }

    /// Another key, to read what was written with it.
    ///
    /// # Errors
    /// `Other`: there is a key of this id already.
    pub fn older(mut self, id: impl Into<String>, key: &[u8; 32]) -> Result<Self, PersistError> {
        let id = id.into();
        if self.ciphers.contains_key(&id) {
            return Err(PersistError::new(
                PersistErrorKind::Other,
                format!("there are two keys with the id {id:?}; give each one of its own"),
            ));
        }
        self.ciphers.insert(id, XChaCha20Poly1305::new(key.into()));
        Ok(self)
    }

    /// The id of the key that values are written with.
    pub fn current_id(&self) -> &str {
        &self.current
    }

    pub(super) fn cipher(&self, id: &str) -> Option<&XChaCha20Poly1305> {
        self.ciphers.get(id)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.ciphers.keys().collect();
        f.debug_struct("Keys").field("current", &self.current).field("ids", &ids).finish_non_exhaustive()
    }
}
