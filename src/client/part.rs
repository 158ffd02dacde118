//! The ways to part: from a session, or from all of them.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::{SandboxAgent, not_found};
use crate::error::Result;
use crate::session::{Claim, now_ms};

/// How long the end of the SDK waits for a session that is being opened: its process gets 2 s.
const OPENING: Duration = Duration::from_secs(3);

impl SandboxAgent {
    /// Ends a session's agent process and marks it destroyed. Its events stay in the store;
    /// [`resume_session`](Self::resume_session) opens it again.
    ///
    /// A process that was detached, by this SDK or another, is ended too.
    /// Fails with [`SessionNotFound`](crate::ErrorKind::SessionNotFound). Bounded by 3 s and
    /// [`Limits::store`](crate::Limits::store) for each of the store's calls, and before that by a call that
    /// is opening the session. Dropping the call does not take it back.
    pub async fn destroy_session(&self, id: &str) -> Result<()> {
        let mut slot = self.enter(id).await?;
        let core = self.core(&mut slot, id).await?.ok_or_else(|| not_found(id))?;
        self.apart(async move {
            core.hold(Claim::Free).await?;
            *slot = None;
            let claimed = core.claim_left_behind().await;
            let destroyed = core.change_record(|record| record.destroyed_at = Some(now_ms())).await;
            core.shut_down(true).await;
            claimed.and(destroyed)
        })
        .await
    }

    /// Ends one session's agent process, after storing what was received from it. The session stays
    /// in the store, to be resumed.
    ///
    /// A process that was detached, by this SDK or another, is ended too; without one this does
    /// nothing more. Bounded as [`destroy_session`](Self::destroy_session).
    pub async fn close_session(&self, id: &str) -> Result<()> {
        let mut slot = self.enter(id).await?;
        let Some(core) = self.core(&mut slot, id).await? else { return Ok(()) };
        self.apart(async move {
            core.hold(Claim::Free).await?;
            *slot = None;
            let claimed = core.claim_left_behind().await;
            core.shut_down(true).await;
            claimed
        })
        .await
    }

    /// Lets go of one session: stores what was received and leaves its agent process running.
    ///
    /// Bounded as [`destroy_session`](Self::destroy_session).
    pub async fn detach_session(&self, id: &str) -> Result<()> {
        let mut slot = self.slot(id)?.lock_owned().await;
        self.apart(async move {
            if let Some(core) = slot.take() {
                core.shut_down(false).await;
            }
            Ok(())
        })
        .await
    }

    /// Ends this SDK's agent processes, after storing what was received from them.
    ///
    /// Bounded by 3 s for the processes, 3 s more for sessions that are being opened, and
    /// [`Limits::store`](crate::Limits::store) for the store. Whatever still runs ends with [`Closed`](crate::ErrorKind::Closed), and so does
    /// every later call that needs a session.
    /// Dropping the call leaves what was not reached to [`detach`](Self::detach).
    pub async fn close(&self) -> Result<()> {
        self.part(true).await
    }

    /// Stores what was received and lets the agent processes go on, to be found again later.
    ///
    /// Bounded as [`close`](Self::close), without the wait for processes.
    pub async fn detach(&self) -> Result<()> {
        self.part(false).await
    }

    async fn part(&self, kill: bool) -> Result<()> {
        let slots: Vec<_> = std::mem::take(&mut *self.sessions()).into_values().collect();
        let open = slots.iter().filter_map(|slot| slot.try_lock().ok()?.clone());
        join_all(open.map(|core| async move { core.shut_down(kill).await })).await;
        // Ends what is being opened; that clears up by itself, and is waited for.
        self.shared.parts.stop.cancel();
        let opening = slots.iter().map(|slot| timeout(OPENING, slot.lock()));
        for slot in join_all(opening).await.into_iter().flatten() {
            if let Some(core) = slot.as_ref() {
                core.shut_down(kill).await;
            }
        }
        Ok(())
    }
}
