//! Following what others write to a session, where the store tells of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::BackoffBuilder;
use sandbox_agent_persist::PersistError;
use tokio::time::sleep;

use super::core::{SessionCore, deleted};
use super::recorder::{Entry, Then};
use super::state::SessionState;
use super::store::delays;
use crate::error::Result;

/// So often it is looked whether the session is still there: the store tells of events alone.
const LOOK: Duration = Duration::from_secs(5);

/// Whether somebody follows the store for this session's readers.
#[derive(Debug, Default)]
pub(crate) struct Following(AtomicBool);

impl SessionCore {
    /// From now on readers see what others store, while no process runs here.
    pub(super) fn follow_store(self: &Arc<Self>) {
        let follows = self.store.driver().follow().is_some();
        if follows && !self.following.0.swap(true, Ordering::Relaxed) {
            self.runtime.spawn(run(self.clone()));
        }
    }
}

async fn run(core: Arc<SessionCore>) {
    let mut state = core.state.watch();
    let mut waits = delays().build();
    // Of what was evicted meanwhile the tail never hears.
    let mut seen = 0;
    loop {
        // The state is the core's, so that this can't fail.
        let dormant = state.wait_for(|state| *state == SessionState::Dormant);
        if core.stop.run_until_cancelled(dormant).await.is_none() {
            return;
        }
        let after = core.tail.last().max(seen);
        let told = tokio::select! {
            told = changed(&core, after) => told,
            () = sleep(LOOK) => Ok(after),
            _ = state.wait_for(|state| *state != SessionState::Dormant) => continue,
            () = core.stop.cancelled() => return,
        };
        match told {
            Ok(last) => {
                waits = delays().build();
                if let Err(error) = core.check_same().await {
                    core.fail(error);
                    return;
                }
                core.recorder.record(Entry { draft: None, then: Then::CatchUp(last) });
                if core.recorder.barrier().await.is_err() {
                    return;
                }
                seen = last;
            }
            Err(error) => {
                tracing::debug!(session = %core.id, %error, "the store did not tell of new events; asking again");
                core.stop.run_until_cancelled(sleep(waits.next().unwrap_or_default())).await;
            }
        }
    }
}

impl SessionCore {
    /// An error when the store has another session under the id, or none, than when this one was read.
    pub(super) async fn check_same(&self) -> Result<()> {
        let driver = self.store.driver();
        let Ok(stored) = self.store.call(|| driver.get_session(&self.id)).await else {
            // Nobody knows; reading says what is wrong with the store.
            return Ok(());
        };
        match stored {
            Some(stored) if stored.created_at == self.record().created_at => Ok(()),
            _ => Err(deleted(&self.id)),
        }
    }
}

/// Not bounded: there may be nothing to tell.
async fn changed(core: &SessionCore, after: u64) -> Result<u64, PersistError> {
    match core.store.driver().follow() {
        Some(follow) => follow.changed(&core.id, after).await,
        None => std::future::pending().await,
    }
}
