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
    limit: Option<usize>,
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
        let parts = Parts { members, ..Parts::default() };
        Ok(Self { parts: Arc::new(Mutex::new(parts)) })
    }

    /// Holds the whole state to so many bytes.
    ///
    /// A driver is refused whose own limit leaves no room for what is beside it, and a change beside drivers
    /// that leaves none for these: what is in the state then is always small enough to be saved.
    #[must_use]
    pub fn with_limit(self, bytes: usize) -> Self {
        self.parts().limit = Some(bytes);
        self
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

    /// Gives what all drivers keep to those that are opened from now on: each later write through these
    /// is a `Fenced` error. For a state that somebody else has changed since it was saved from here.
    pub fn retire(&self) {
        for (_, content) in self.parts().contents.iter() {
            content.retire();
        }
    }

    /// Changes members beside those of drivers, which it does not see.
    ///
    /// # Errors
    /// Nothing is changed then. `Other`: it adds one that is a driver's. `TooLarge`: it leaves the
    /// drivers less than they may come to need of the [limit](Self::with_limit).
    pub fn change<T>(&self, change: impl FnOnce(&mut Vec<(Value, Value)>) -> T) -> Result<T, PersistError> {
        let mut parts = self.parts();
        let mut members = parts.members.clone();
        let changed = change(&mut members);
        let taken = |key: &str| members.iter().any(|(name, _)| name.as_text() == Some(key));
        if let Some((key, content)) = parts.contents.iter().find(|(key, _)| taken(key)) {
            return Err(content.not_a_member(key));
        }
        parts.check_limit(&members, None)?;
        parts.members = members;
        Ok(changed)
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // It is changed as a whole, so that it is whole whatever panicked.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// An error if the state could come to have more than its limit, with these members and with a
    /// driver that comes to it.
    fn check_limit(
        &self,
        members: &[(Value, Value)],
        new: Option<(&str, &Content)>,
    ) -> Result<(), PersistError> {
        let Some(limit) = self.limit else { return Ok(()) };
        let held = self.contents.iter().filter(|(key, _)| new.is_none_or(|(new, _)| new != *key));
        let mut most: usize = HEAD;
        for (key, content) in held.chain(new) {
            most = most.saturating_add(HEAD + key.len()).saturating_add(content.most_bytes());
        }
        let mut beside = Vec::new();
        for (name, value) in
            members.iter().filter(|(name, _)| new.is_none_or(|(key, _)| name.as_text() != Some(key)))
        {
            // Into memory it always goes.
            let _ = ciborium::into_writer(name, &mut beside);
            let _ = ciborium::into_writer(value, &mut beside);
        }
        if most.saturating_add(beside.len()) <= limit {
            return Ok(());
        }
        Err(PersistError::new(
            PersistErrorKind::TooLarge,
            format!(
                "the actor's state may have {limit} bytes, and would have {} beside the {most} that its drivers may come to need; lower RivetJsonOptions::max_bytes, or keep less beside",
                beside.len()
            ),
        ))
    }
}

/// The most that tells how many members an object has, or how long a text is.
const HEAD: usize = 9;

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
        if !parts.contents.has(key) {
            parts.check_limit(&parts.members, Some((key, content)))?;
        }
        if parts.contents.attach(key, content)? {
            parts.members.retain(|(name, _)| name.as_text() != Some(key));
        }
        Ok(())
    }
}
