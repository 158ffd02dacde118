//! Following what others write to a session, where the store tells of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backon::BackoffBuilder;
use tokio::time::sleep;

use super::core::SessionCore;
use super::recorder::{Entry, Then};
use super::state::SessionState;
use super::store::delays;

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
    loop {
        // The state is the core's, so that this can't fail.
        let dormant = state.wait_for(|state| *state == SessionState::Dormant);
        if core.stop.run_until_cancelled(dormant).await.is_none() {
            return;
        }
        let after = core.tail.last();
        let told = tokio::select! {
            told = changed(&core, after) => told,
            _ = state.wait_for(|state| *state != SessionState::Dormant) => continue,
            () = core.stop.cancelled() => return,
        };
        match told {
            Ok(last) => {
                waits = delays().build();
                core.recorder.record(Entry { draft: None, then: Then::CatchUp(last) });
                let mut mark = core.tail.watch();
                let _ = mark.wait_for(|mark| mark.last >= last || mark.end.is_some()).await;
            }
            Err(error) => {
                tracing::debug!(session = %core.id, %error, "the store did not tell of new events; asking again");
                core.stop.run_until_cancelled(sleep(waits.next().unwrap_or_default())).await;
            }
        }
    }
}

/// Not bounded: there may be nothing to tell.
async fn changed(core: &SessionCore, after: u64) -> Result<u64, sandbox_agent_persist::PersistError> {
    match core.store.driver().follow() {
        Some(follow) => follow.changed(&core.id, after).await,
        None => std::future::pending().await,
    }
}
