//! Whoever waits for a session's events.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The sessions that somebody waits for, with the index that each is known to have come to.
#[derive(Debug, Default)]
pub(super) struct Followers(Mutex<HashMap<String, watch::Sender<u64>>>);

impl Followers {
    /// Hears of what is stored from now on.
    pub(super) fn wait_for(&self, session_id: &str) -> watch::Receiver<u64> {
        let mut sessions = self.sessions();
        // What nobody waits for any more goes when somebody comes, so that there are never many.
        sessions.retain(|_, last| last.receiver_count() > 0);
        sessions.entry(session_id.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells that the session has come to this index.
    pub(super) fn tell(&self, session_id: &str, last_index: u64) {
        if let Some(last) = self.sessions().get(session_id) {
            last.send_replace(last_index);
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        // It is whole at every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
