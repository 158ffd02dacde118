//! Saves: one at a time, each with all that was changed until it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::sync::Mutex;

use crate::{ActorState, Content};

pub(crate) struct Saver {
    pub(crate) state: Arc<dyn ActorState>,
    pub(crate) content: Content,
    key: Arc<str>,
    progress: Arc<Progress>,
    /// Held by the save that runs.
    turn: Arc<Mutex<LastFailure>>,
}

#[derive(Default)]
struct Progress {
    /// The last write that is saved.
    saved: AtomicU64,
    /// How many saves were begun.
    begun: AtomicU64,
}

/// What a save that failed would have saved, and its number.
#[derive(Default)]
struct LastFailure(Option<(u64, u64, Arc<PersistError>)>);

impl Saver {
    /// Of a content that is as the state has it.
    pub(crate) fn new(state: Arc<dyn ActorState>, key: &str, content: Content) -> Self {
        let progress = Progress::default();
        progress.saved.store(content.store().writes, Ordering::Release);
        Self { state, content, key: Arc::from(key), progress: Arc::new(progress), turn: Arc::default() }
    }

    /// Returns once this write is saved, where the state is durable. Of all that wait for a save, one
    /// makes it. Dropped while it does, it is made all the same.
    pub(crate) async fn reach(&self, write: u64) -> Result<(), PersistError> {
        if self.is_saved(write) {
            return Ok(());
        }
        if !self.state.is_durable() {
            self.state.save(&self.key, &self.content).await?;
            self.progress.saved.fetch_max(write, Ordering::AcqRel);
            return Ok(());
        }
        let begun = self.progress.begun.load(Ordering::Acquire);
        let mut turn = self.turn.clone().lock_owned().await;
        if self.is_saved(write) {
            return Ok(());
        }
        // A save that began after this call and had the write in it was this call's, too.
        if let Some((attempted, number, error)) = &turn.0
            && *attempted >= write
            && *number > begun
        {
            return Err(shared(error));
        }

        let (state, key, content) = (self.state.clone(), self.key.clone(), self.content.clone());
        let progress = self.progress.clone();
        let save = tokio::spawn(async move {
            let number = progress.begun.fetch_add(1, Ordering::AcqRel) + 1;
            let attempted = content.store().writes;
            let saved = state.save(&key, &content).await;
            match saved {
                Ok(()) => {
                    progress.saved.fetch_max(attempted, Ordering::AcqRel);
                    Ok(())
                }
                Err(error) => {
                    let error = Arc::new(error);
                    let answer = shared(&error);
                    turn.0 = Some((attempted, number, error));
                    Err(answer)
                }
            }
        });
        save.await.unwrap_or_else(|error| {
            let message = format!("{} was not saved: {error}", self.state.name());
            Err(PersistError::new(PersistErrorKind::Other, message).with_source(error))
        })
    }

    fn is_saved(&self, write: u64) -> bool {
        self.progress.saved.load(Ordering::Acquire) >= write
    }
}

/// The same error for another call.
fn shared(error: &Arc<PersistError>) -> PersistError {
    PersistError::new(error.kind(), error.to_string()).with_source(error.clone())
}
