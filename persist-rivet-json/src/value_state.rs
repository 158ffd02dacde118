//! A state in the process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sandbox_agent_persist::PersistError;
use serde_json::{Map, Value};

use crate::contents::Contents;
use crate::{ActorState, Content};

/// A state that is a value in the process: for tests, and for whoever saves it in a way of their own.
///
/// Clones are handles of the same state. When a second driver is opened on a key, it takes over what
/// the first one has, whose writes are `Fenced` errors from then on. It is not durable: what
/// [`value`](Self::value) gives is what there is to save.
#[derive(Clone, Default)]
pub struct ValueState {
    parts: Arc<Mutex<Parts>>,
}

#[derive(Default)]
struct Parts {
    members: Map<String, Value>,
    contents: Contents,
}

impl ValueState {
    /// An empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// A state with these members, such as one that was saved.
    pub fn with_members(members: Map<String, Value>) -> Self {
        let parts = Parts { members, contents: Contents::default() };
        Self { parts: Arc::new(Mutex::new(parts)) }
    }

    /// The whole state as it is now, an object.
    pub fn value(&self) -> Value {
        let parts = self.parts();
        let mut members = parts.members.clone();
        let contents = parts.contents.iter().map(|(key, content)| (key.to_owned(), content.to_value()));
        members.extend(contents);
        Value::Object(members)
    }

    /// Changes members beside those of drivers, which it does not see.
    ///
    /// # Errors
    /// `Other`: it adds one that is a driver's. Nothing is changed then.
    pub fn change<T>(&self, change: impl FnOnce(&mut Map<String, Value>) -> T) -> Result<T, PersistError> {
        let mut parts = self.parts();
        let mut members = parts.members.clone();
        let changed = change(&mut members);
        if let Some((key, content)) = parts.contents.iter().find(|(key, _)| members.contains_key(*key)) {
            return Err(content.not_a_member(key));
        }
        parts.members = members;
        Ok(changed)
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // It is changed as a whole, so that it is whole whatever panicked.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ValueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        f.debug_struct("ValueState")
            .field("members", &parts.members.keys())
            .field("contents", &parts.contents)
            .finish()
    }
}

#[async_trait]
impl ActorState for ValueState {
    async fn read(&self, key: &str) -> Result<Option<String>, PersistError> {
        let parts = self.parts();
        let held = parts.contents.hand_over(key);
        Ok(held.or_else(|| parts.members.get(key).map(Value::to_string)))
    }

    async fn save(&self, key: &str, content: &Content) -> Result<(), PersistError> {
        let mut parts = self.parts();
        if parts.contents.attach(key, content)? {
            parts.members.remove(key);
        }
        Ok(())
    }
}
