//! The state of an actor that runs here. All that is known of the actor runtime is in this file.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rivetkit_core::{ActorContext, RequestSaveOpts, StateDelta};
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use sandbox_agent_persist_rivet_json::{ActorState, CborState, CborValue, Content};
use tokio::time::timeout;

/// What the engine saves is at most 128 KiB; this leaves a little of it.
const LARGEST: usize = 127 * 1024;

/// How long the save of an actor that stops may take: what the engine gives it, and a little less.
const LAST_SAVE: Duration = Duration::from_secs(10);

/// How many states are known that were given to be saved and may have failed to be.
const REMEMBERED: usize = 64;

/// The state of a Rivet actor. See the [crate](crate) for when it is saved.
///
/// Clones are handles of the same state, good for as long as the actor runs.
#[derive(Clone)]
pub struct RivetActorState {
    actor: ActorContext,
    state: CborState,
    /// What the engine may have, oldest first: what it had last, and what it was given since.
    given: Arc<Mutex<VecDeque<u64>>>,
    /// Held by the save that runs.
    turn: Arc<tokio::sync::Mutex<()>>,
    durable: Option<Duration>,
}

impl RivetActorState {
    /// The state of the actor that is starting, with the snapshot that it is given.
    ///
    /// # Errors
    /// `Corrupt`: the snapshot is no CBOR object. Nothing is written over it.
    pub fn new(actor: ActorContext, snapshot: Option<&[u8]>) -> Result<Self, PersistError> {
        let state = CborState::from_bytes(snapshot.unwrap_or_default())?.with_limit(LARGEST);
        let given = VecDeque::from([fingerprint(&actor.state())]);
        Ok(Self { actor, state, given: Arc::new(Mutex::new(given)), turn: Arc::default(), durable: None })
    }

    /// Makes drivers durable: each of their writes returns when it is saved, or is an `Unavailable`
    /// error when that takes longer than this.
    ///
    /// The save does not go through the actor's events, so that a handler may wait for it.
    #[must_use]
    pub fn durable(self, limit: Duration) -> Self {
        Self { durable: Some(limit), ..self }
    }

    /// The answer to `SerializeState`: the state as it is now. None where it is saved in another way, or
    /// somebody else has changed what is saved.
    pub fn deltas(&self) -> Vec<StateDelta> {
        match self.durable {
            Some(_) => Vec::new(),
            None => self.take().into_iter().map(StateDelta::ActorState).collect(),
        }
    }

    /// Saves the state, as an actor does before it stops. Bounded by 10 s.
    ///
    /// # Errors
    /// `Unavailable`: it could not be saved, or not in time. `Fenced`: somebody else has changed what is saved.
    pub async fn flush(&self) -> Result<(), PersistError> {
        self.save_within(LAST_SAVE).await
    }

    /// Changes members beside those of drivers, as [`CborState::change`] does, and asks for a save; a
    /// [durable](Self::durable) state has it with the next one, or by [`flush`](Self::flush).
    ///
    /// # Errors
    /// Those of [`CborState::change`]; nothing is changed then.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<(CborValue, CborValue)>) -> T,
    ) -> Result<T, PersistError> {
        let changed = self.state.change(change)?;
        self.actor.request_save(RequestSaveOpts::default());
        Ok(changed)
    }

    /// The state to save; `None` when somebody else has saved one.
    fn take(&self) -> Option<Vec<u8>> {
        // It is whole at every step.
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = fingerprint(&self.actor.state());
        let Some(place) = given.iter().rposition(|given| *given == saved) else {
            self.state.retire();
            return None;
        };
        // What was given before that will not come to be saved any more.
        given.drain(..place);
        let bytes = self.state.to_bytes();
        given.push_back(fingerprint(&bytes));
        if given.len() > REMEMBERED {
            given.remove(1);
        }
        Some(bytes)
    }

    async fn save_within(&self, limit: Duration) -> Result<(), PersistError> {
        let this = self.clone();
        // In a task of its own, so that a save that nobody waits for any more is not overtaken.
        let save = tokio::spawn(async move {
            let turn = this.turn.lock().await;
            let bytes = this.take().ok_or_else(changed_by_another)?;
            let saved = this.actor.save_state(vec![StateDelta::ActorState(bytes)]).await;
            drop(turn);
            saved.map_err(|error| unavailable(format!("{error:#}")).with_source(error))
        });
        match timeout(limit, save).await {
            Ok(Ok(saved)) => saved,
            Ok(Err(error)) => Err(unavailable(error.to_string()).with_source(error)),
            Err(error) => Err(unavailable(format!("it took longer than {limit:?}")).with_source(error)),
        }
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn unavailable(why: String) -> PersistError {
    let message = format!("the actor's state was not saved: {why}; try again");
    PersistError::new(PersistErrorKind::Unavailable, message)
}

fn changed_by_another() -> PersistError {
    PersistError::new(
        PersistErrorKind::Fenced,
        "the actor's state was saved by another than this actor; it is left as it is: start the actor anew",
    )
}

impl fmt::Debug for RivetActorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RivetActorState")
            .field("actor", &self.actor.actor_id())
            .field("state", &self.state)
            .field("durable", &self.durable)
            .finish()
    }
}

#[async_trait]
impl ActorState for RivetActorState {
    async fn read(&self, key: &str) -> Result<Option<String>, PersistError> {
        self.state.read(key).await
    }

    async fn save(&self, key: &str, content: &Content) -> Result<(), PersistError> {
        self.state.save(key, content).await?;
        match self.durable {
            Some(limit) => self.save_within(limit).await,
            None => {
                self.actor.request_save(RequestSaveOpts::default());
                Ok(())
            }
        }
    }

    fn is_durable(&self) -> bool {
        self.durable.is_some()
    }

    fn name(&self) -> String {
        format!("the state of actor {}", self.actor.actor_id())
    }
}
