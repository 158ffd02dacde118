//! The ways to part: from a session, or from all of them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::{SandboxAgent, log, not_found};
use crate::error::Result;
use crate::session::{Claim, SessionCore, now_ms};

/// How long the end of the SDK waits for a session that is being opened: its process gets 2 s.
const OPENING: Duration = Duration::from_secs(3);

impl SandboxAgent {
    /// Ends a session's agent process and marks it destroyed. Its events stay in the store;
    /// [`resume_session`](Self::resume_session) opens it again.
    ///
    /// A process that was detached, by this SDK or another, is ended too.
    /// Fails with [`SessionNotFound`](crate::ErrorKind::SessionNotFound), with [`Held`](crate::ErrorKind::Held) where another SDK
    /// holds it, and as [`close`](Self::close), when all was done that could be. Bounded by 3 s and
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
            let parted = core.shut_down(true).await;
            claimed.and(destroyed).and(parted.whole())
        })
        .await
    }

    /// Ends one session's agent process, after storing what was received from it. The session stays
    /// in the store, to be resumed.
    ///
    /// A process that was detached, by this SDK or another, is ended too; without one this does
    /// nothing more. Fails with [`Held`](crate::ErrorKind::Held) where another SDK holds the session, and as
    /// [`close`](Self::close). Bounded as [`destroy_session`](Self::destroy_session).
    pub async fn close_session(&self, id: &str) -> Result<()> {
        let mut slot = self.enter(id).await?;
        let Some(core) = self.core(&mut slot, id).await? else { return Ok(()) };
        self.apart(async move {
            core.hold(Claim::Free).await?;
            *slot = None;
            let claimed = core.claim_left_behind().await;
            let parted = core.shut_down(true).await;
            claimed.and(parted.whole())
        })
        .await
    }

    /// Lets go of one session: stores what was received and leaves its agent process running.
    ///
    /// Fails as [`detach`](Self::detach). Bounded as [`destroy_session`](Self::destroy_session).
    pub async fn detach_session(&self, id: &str) -> Result<()> {
        let mut slot = self.slot(id)?.lock_owned().await;
        self.apart(async move {
            if let Some(core) = slot.take() {
                return core.shut_down(false).await.whole();
            }
            Ok(())
        })
        .await
    }

    /// Ends this SDK's agent processes, after storing what was received from them.
    ///
    /// All is closed that can be, whatever fails. Then the first failure is the error, and the others are
    /// logged: [`Persist`](crate::ErrorKind::Persist) where something that was received is not in the store, now or
    /// since a session ended by itself; or where the store did not say whether the session is
    /// [held](crate::SandboxAgentBuilder::holder) by another SDK meanwhile, so that its process was left running.
    /// What another SDK took over, or deleted, is that one's, and no error.
    ///
    /// Bounded by 3 s for the processes, 3 s more for sessions that are being opened, and
    /// [`Limits::store`](crate::Limits::store) for the store, four times that where sessions are held. Whatever still runs ends
    /// with [`Closed`](crate::ErrorKind::Closed), and so does every later call that needs a session, also when this one failed.
    /// Dropping the call leaves what was not reached to [`detach`](Self::detach).
    pub async fn close(&self) -> Result<()> {
        self.part(true).await
    }

    /// Stores what was received and lets the agent processes go on, to be found again later.
    ///
    /// Fails as [`close`](Self::close) where something that was received is not in the store. Bounded as that,
    /// without the wait for processes.
    pub async fn detach(&self) -> Result<()> {
        self.part(false).await
    }

    async fn part(&self, kill: bool) -> Result<()> {
        let slots: Vec<_> = std::mem::take(&mut *self.sessions()).into_values().collect();
        let open: Vec<_> = slots.iter().map(|slot| slot.try_lock().ok()?.clone()).collect();
        let shut_down = async |core: &Arc<SessionCore>| (core.clone(), core.shut_down(kill).await.whole());
        let mut parted = join_all(open.iter().flatten().map(shut_down)).await;
        // Ends what is being opened; that clears up by itself, and is waited for.
        self.shared.parts.stop.cancel();
        let opening = slots.iter().map(|slot| timeout(OPENING, slot.lock()));
        for (slot, before) in join_all(opening).await.into_iter().zip(&open) {
            let Ok(slot) = slot else { continue };
            let is_new =
                |core: &&Arc<SessionCore>| !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, core));
            if let Some(core) = slot.as_ref().filter(is_new) {
                parted.push(shut_down(core).await);
            }
        }
        let mut first = Ok(());
        for (core, parted) in parted {
            match first {
                Ok(()) => first = parted,
                Err(_) => log(&core, parted),
            }
        }
        first
    }
}
