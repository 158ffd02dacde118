//! The state of an actor, as far as a driver needs it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use serde_json::Value;

use crate::store::Store;
use crate::{print, value};

/// The state of an actor: JSON members, of which a driver has one, saved together.
///
/// The driver reads its member once, when it is opened. From then on it keeps what it has in a form of
/// its own, and the state asks for it when it is saved: an insert so costs the same in a large state
/// and in a small one. A state may be another program's too, but not at the same time: what it has
/// under the key while a driver is open is the driver's.
///
/// ```
/// use std::sync::{Mutex, PoisonError};
///
/// use sandbox_agent_persist::{PersistError, async_trait};
/// use sandbox_agent_persist_rivet_json::{ActorState, Content, RivetJsonSessionPersistDriver};
/// use serde_json::{Map, Value};
///
/// #[derive(Debug, Default)]
/// struct MyState {
///     members: Mutex<Map<String, Value>>,
///     sessions: Mutex<Option<(String, Content)>>,
/// }
///
/// #[async_trait]
/// impl ActorState for MyState {
///     async fn read(&self, key: &str) -> Result<Option<String>, PersistError> {
///         let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
///         Ok(members.get(key).map(Value::to_string))
///     }
///
///     async fn save(&self, key: &str, content: &Content) -> Result<(), PersistError> {
///         let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
///         sessions.get_or_insert_with(|| (key.to_owned(), content.clone()));
///         // Here it asks its framework for a save …
///         Ok(())
///     }
/// }
///
/// impl MyState {
///     /// … which asks for this, some time later.
///     fn serialize(&self) -> Value {
///         let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
///         if let Some((key, content)) = &*self.sessions.lock().unwrap_or_else(PoisonError::into_inner) {
///             members.insert(key.clone(), content.to_value());
///         }
///         members.into()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), PersistError> {
/// # use sandbox_agent_persist::{SessionPersistDriver, SessionRecord};
/// let state = std::sync::Arc::new(MyState::default());
/// let store = RivetJsonSessionPersistDriver::open(state.clone()).await?;
/// store.update_session(SessionRecord::new("default", "codex", 0)).await?;
/// assert_eq!(state.serialize()["_sandboxAgentPersist"]["sessions"]["default"]["agent"], "codex");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait ActorState: fmt::Debug + Send + Sync + 'static {
    /// The JSON text of what the state has under the key; `None` where it has nothing.
    ///
    /// # Errors
    /// `Corrupt` for a state that can't be read, so that nothing is written over it.
    async fn read(&self, key: &str) -> Result<Option<String>, PersistError>;

    /// Called after a change: what the state has under the key is the present content from now on,
    /// and is to be saved.
    ///
    /// A durable state returns when what the content was at the call is saved. It is called for one save
    /// at a time, which holds all changes that were made meanwhile. Another one is called after each
    /// change and should not wait: it notes that there is something to save, keeps a clone of the
    /// content, and asks that for its JSON when it is really saved.
    ///
    /// # Errors
    /// `Unavailable` for what may pass: the call that made the change has the error then, and whoever tries
    /// it again, or makes the next change, has it saved.
    async fn save(&self, key: &str, content: &Content) -> Result<(), PersistError>;

    /// Whether what [`save`](Self::save) returned for survives the death of the process and of the machine.
    fn is_durable(&self) -> bool {
        false
    }

    /// What errors call it.
    fn name(&self) -> String {
        "the actor's state".to_owned()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: ActorState + ?Sized> ActorState for Arc<S> {
    async fn read(&self, key: &str) -> Result<Option<String>, PersistError> {
        (**self).read(key).await
    }

    async fn save(&self, key: &str, content: &Content) -> Result<(), PersistError> {
        (**self).save(key, content).await
    }

    fn is_durable(&self) -> bool {
        (**self).is_durable()
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// What a driver keeps, as it is whenever it is asked for. Clones are of the same driver.
#[derive(Clone)]
pub struct Content {
    pub(crate) store: Arc<Mutex<Store>>,
}

impl Content {
    /// The JSON text, in which each payload stands as it came.
    pub fn json(&self) -> String {
        print::content(&self.store())
    }

    /// The same as a value. What only text can say, it says as JavaScript would: half of a surrogate pair
    /// becomes U+FFFD, and a number beyond all floats `null`.
    pub fn to_value(&self) -> Value {
        value::read(&self.json())
    }

    /// How many bytes it takes, as JSON or as CBOR; this is what
    /// [`RivetJsonOptions::max_bytes`](crate::RivetJsonOptions::max_bytes) limits. Never less than it is in
    /// either, and in JSON not much more.
    pub fn bytes(&self) -> usize {
        self.store().bytes()
    }

    /// How many bytes it may come to have, by
    /// [`RivetJsonOptions::max_bytes`](crate::RivetJsonOptions::max_bytes).
    pub fn most_bytes(&self) -> usize {
        self.store().options.max_bytes
    }

    /// Gives the JSON text for the last time: each later write through the driver of this content is a
    /// `Fenced` error. For a state that another driver is opened on, with that text.
    pub fn retire(&self) -> String {
        let mut store = self.store();
        store.retired = true;
        print::content(&store)
    }

    /// Whether it was [retired](Self::retire).
    pub fn is_retired(&self) -> bool {
        self.store().retired
    }

    /// The error of a write through a driver in whose place is another one.
    pub fn overtaken(&self) -> PersistError {
        let message = "another driver was opened on the same key of the state; write through that one";
        PersistError::new(PersistErrorKind::Fenced, message)
    }

    /// The error of whoever writes what is a driver's.
    pub(crate) fn not_a_member(&self, key: &str) -> PersistError {
        let message = format!("{key:?} of the state is kept by a driver; change it through that");
        PersistError::new(PersistErrorKind::Other, message)
    }

    /// Whether it is that of the same driver.
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing panics while it holds the lock, so that a poisoned store is whole all the same.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Content");
        for (name, count) in self.store().counts() {
            shown.field(name, &count);
        }
        shown.finish()
    }
}
