//! A state in the process that is saved as CBOR.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ciborium::Value;
use sandbox_agent_persist::{PersistError, PersistErrorKind};

use crate::contents::Contents;
use crate::{ActorState, Content, cbor};

/// A state that is one CBOR object, as actors of Rivet have it, in Rust and in JavaScript.
///
/// Clones are handles of the same state. When a second driver is opened on a key, it takes over what
/// the first one has, whose writes are `Fenced` errors from then on. It is not durable: what
/// [`to_bytes`](Self::to_bytes) gives is what there is to save.
///
/// CBOR has no text of its own for a payload. One that is read from a saved state is the JSON text that
/// JavaScript would print of it: as it came, if it came without spaces.
#[derive(Clone, Default)]
pub struct CborState {
    parts: Arc<Mutex<Parts>>,
}

#[derive(Default)]
struct Parts {
    members: Vec<(Value, Value)>,
    contents: Contents,
}

impl CborState {
    /// An empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// A state that was saved; an empty one of no bytes.
    ///
    /// # Errors
    /// `Corrupt`: it is no CBOR object.
    pub fn from_bytes(saved: &[u8]) -> Result<Self, PersistError> {
        let members = match saved {
            [] => Vec::new(),
            saved => match ciborium::from_reader(saved) {
                Ok(Value::Map(members)) => members,
                Ok(Value::Null) => Vec::new(),
                Ok(_) => return Err(corrupt("it is no object")),
                Err(error) => return Err(corrupt(&error.to_string()).with_source(error)),
            },
        };
        let parts = Parts { members, contents: Contents::default() };
        Ok(Self { parts: Arc::new(Mutex::new(parts)) })
    }

    /// The whole state as it is now.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = self.parts();
        let mut bytes = Vec::new();
        cbor::object(&mut bytes, parts.members.len() + parts.contents.iter().count());
        for (name, value) in &parts.members {
            // Into memory it always goes.
            let _ = ciborium::into_writer(name, &mut bytes);
            let _ = ciborium::into_writer(value, &mut bytes);
        }
        for (key, content) in parts.contents.iter() {
            cbor::text(&mut bytes, key);
            cbor::write(&content.json(), &mut bytes);
        }
        bytes
    }

    /// How many bytes the state may come to have at the most: its members beside those of drivers, and the
    /// limits of these.
    pub fn most_bytes(&self) -> usize {
        let parts = self.parts();
        // The head of the object.
        let mut most: usize = 9;
        let mut count = Vec::new();
        let _ = ciborium::into_writer(&Value::Map(parts.members.clone()), &mut count);
        most = most.saturating_add(count.len());
        for (key, content) in parts.contents.iter() {
            most = most.saturating_add(key.len() + 9).saturating_add(content.most_bytes());
        }
        most
    }

    /// Changes members beside those of drivers, which it does not see.
    ///
    /// # Errors
    /// `Other` when it adds one that is a driver's, which is as it was then; the other changes are made.
    pub fn change<T>(&self, change: impl FnOnce(&mut Vec<(Value, Value)>) -> T) -> Result<T, PersistError> {
        let mut parts = self.parts();
        let changed = change(&mut parts.members);
        let Parts { members, contents } = &mut *parts;
        match contents.iter().find(|(key, _)| members.iter().any(|(name, _)| name.as_text() == Some(key))) {
            None => Ok(changed),
            Some((key, content)) => {
                members.retain(|(name, _)| !name.as_text().is_some_and(|name| contents.has(name)));
                Err(content.not_a_member(key))
            }
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A panic of a caller's change leaves a list, as whole as the change is.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn corrupt(why: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::Corrupt,
        format!(
            "the actor's state can't be read: {why}; nothing was changed: repair it, or begin a new actor"
        ),
    )
}

impl fmt::Debug for CborState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        let names: Vec<_> = parts.members.iter().filter_map(|(name, _)| name.as_text()).collect();
        f.debug_struct("CborState").field("members", &names).field("contents", &parts.contents).finish()
    }
}

#[async_trait]
impl ActorState for CborState {
    async fn read(&self, key: &str) -> Result<Option<String>, PersistError> {
        let parts = self.parts();
        let held = parts.contents.hand_over(key);
        let saved = || {
            let (_, value) = parts.members.iter().rfind(|(name, _)| name.as_text() == Some(key))?;
            let mut json = Vec::new();
            cbor::print(value, &mut json);
            String::from_utf8(json).ok()
        };
        Ok(held.or_else(saved))
    }

    async fn save(&self, key: &str, content: &Content) -> Result<(), PersistError> {
        let mut parts = self.parts();
        if parts.contents.attach(key, content)? {
            parts.members.retain(|(name, _)| name.as_text() != Some(key));
        }
        Ok(())
    }
}
