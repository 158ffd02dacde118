//! Holding a session, so that no other SDK drives it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{Acquired, Lease};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::core::SessionCore;
use super::recorder::{Entry, Then};
use crate::error::{Delivery, Error, ErrorKind, Result};

/// A lease is renewed so often in its time, so that one renewal may fail.
const RENEWALS: u32 = 3;
const SHORTEST: Duration = Duration::from_millis(10);

/// How a lease is come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Where nobody else has it.
    #[default]
    Free,
    /// From whoever has it.
    TakeOver,
}

/// The lease of one session.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    held: tokio::sync::Mutex<Option<Held>>,
    /// Read by those who still have something to write of a process on which no session came about.
    notes: Arc<RwLock<()>>,
}

#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    /// Nothing came of it.
    given_up: CancellationToken,
    /// Nothing more is written, and the store knows.
    released: CancellationToken,
}

impl SessionCore {
    /// Makes sure that this SDK holds the session, or, where it holds none, that nobody else does.
    pub(crate) async fn hold(self: &Arc<Self>, claim: Claim) -> Result<()> {
        let Some(holder) = self.holder.as_deref() else { return self.check_held().await };
        let mut held = self.hold.held.lock().await;
        if held.as_ref().is_some_and(|ours| !ours.given_up.is_cancelled()) {
            return Ok(());
        }
        self.end_hold(&mut held).await;
        if self.is_ended() {
            return Err(self.end_error());
        }
        let (store, ttl) = (&self.store, self.limits.lease);
        let acquired = match claim {
            Claim::Free => store.call(async || store.leases()?.acquire(&self.id, holder, ttl).await).await,
            Claim::TakeOver => {
                let taken = store.call(async || store.leases()?.take_over(&self.id, holder, ttl).await).await;
                taken.map(Acquired::Granted)
            }
        };
        let lease = match acquired? {
            Acquired::Granted(lease) => lease,
            Acquired::Held(other) => return Err(held_by(&other)),
        };
        store.fence(&lease)?;
        let ours = Held { lease, given_up: CancellationToken::new(), released: CancellationToken::new() };
        *held = Some(ours.clone());
        self.runtime.spawn(keep(self.clone(), ours));
        Ok(())
    }

    /// Lets go of a session that could not be opened, so that others may try.
    pub(super) async fn give_up_hold(&self) {
        let mut held = self.hold.held.lock().await;
        if held.is_none() {
            return;
        }
        // What is written carries the lease, and so comes before its end.
        drop(self.hold.notes.write().await);
        let _ = self.recorder.barrier().await;
        self.end_hold(&mut held).await;
    }

    async fn end_hold(&self, held: &mut Option<Held>) {
        if let Some(ours) = held.as_ref() {
            ours.given_up.cancel();
            ours.released.cancelled().await;
            self.store.unfence();
            *held = None;
        }
    }

    /// The same, where it is not open now; bounded by a call that is opening it.
    async fn give_up_unless_live(&self) {
        let live = self.live.lock().await;
        if live.as_ref().is_none_or(|live| live.link.is_dead()) {
            self.give_up_hold().await;
        }
    }

    /// The session is let go of unless it is opened, also when the call that held it is dropped.
    pub(crate) fn provisionally(self: &Arc<Self>) -> Provisional {
        Provisional(Some(self.clone()))
    }

    /// As long as this lives, something is still to be written before the session may be let go of.
    pub(super) fn writes_yet(&self) -> Option<OwnedRwLockReadGuard<()>> {
        self.hold.notes.clone().try_read_owned().ok()
    }

    /// Whether another SDK took the session over or deleted it, be it that this one has yet to learn of it.
    /// Then it ends here.
    pub(crate) async fn was_lost(&self) -> bool {
        let why = match self.check_same().await {
            Ok(()) => self.overtaken().await,
            Err(error) => Some(error),
        };
        let lost = why.is_some();
        if let Some(why) = why {
            self.fail(why);
        }
        lost
    }

    async fn overtaken(&self) -> Option<Error> {
        let held = self.hold.held.lock().await;
        let ours = held.as_ref().filter(|ours| !ours.given_up.is_cancelled())?;
        self.renew(&ours.lease).await.err().filter(Error::is_fenced)
    }

    /// Somebody else has the session, or nobody: nothing more is recorded here.
    pub(super) fn fail(&self, error: Error) {
        tracing::warn!(session = %self.id, %error, "the session ends here");
        self.recorder.record(Entry { draft: None, then: Then::Fail(error) });
    }

    /// An error that says who holds the session, where that is somebody else.
    pub(crate) async fn check_held(&self) -> Result<()> {
        if !self.store.has_leases() || self.hold.held.lock().await.is_some() {
            return Ok(());
        }
        match self.lease_in_force().await? {
            Some(lease) => Err(held_by(&lease)),
            None => Ok(()),
        }
    }

    /// The lease in force, whoever has it.
    pub(crate) async fn lease_in_force(&self) -> Result<Option<Lease>> {
        let store = &self.store;
        Ok(store.call(async || store.leases()?.holder(&self.id).await).await?)
    }

    /// Whether its process is this SDK's to end. Somebody who took the session over goes on with it,
    /// and where that can't be known, which is an error, it may be so.
    pub(crate) async fn may_end_process(&self) -> Result<bool> {
        let held = self.hold.held.lock().await.clone();
        let ours = match held {
            Some(held) => self.renew(&held.lease).await.map(drop),
            None if self.holder.is_some() => return Ok(false),
            None => self.check_held().await,
        };
        match ours {
            Ok(()) => Ok(true),
            Err(error) if error.is_fenced() || matches!(error.kind(), ErrorKind::Held { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns when the store knows that the session is not held any more; bounded.
    pub(super) async fn let_go(&self) {
        let held = self.hold.held.lock().await.clone();
        if let Some(held) = held {
            let _ = timeout(self.limits.store, held.released.cancelled()).await;
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease> {
        let store = &self.store;
        Ok(store.call(async || store.leases()?.renew(lease, self.limits.lease).await).await?)
    }
}

/// See [`SessionCore::provisionally`].
#[must_use = "dropped, it lets go of the session"]
pub(crate) struct Provisional(Option<Arc<SessionCore>>);

impl Provisional {
    /// The session is open, or let go of.
    pub(crate) fn settled(mut self) {
        self.0 = None;
    }
}

impl Drop for Provisional {
    fn drop(&mut self) {
        if let Some(core) = self.0.take() {
            core.runtime.clone().spawn(async move { core.give_up_unless_live().await });
        }
    }
}

/// Renews the lease until the session ends, and gives it up then.
async fn keep(core: Arc<SessionCore>, held: Held) {
    let pause = (core.limits.lease / RENEWALS).max(SHORTEST);
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = core.stop.cancelled() => break,
            () = held.given_up.cancelled() => break,
        }
        match core.renew(&held.lease).await {
            Ok(_) => {}
            Err(error) if error.is_fenced() => {
                core.fail(error);
                break;
            }
            Err(error) => {
                tracing::warn!(session = %core.id, %error, "the session's lease could not be renewed");
            }
        }
    }
    // What was received is stored first. The tail is the core's, so that the wait can't fail.
    let mut mark = core.tail.watch();
    tokio::select! {
        _ = mark.wait_for(|mark| mark.end.is_some()) => {}
        () = held.given_up.cancelled() => {}
    }
    let store = &core.store;
    let released = store.call(async || store.leases()?.release(&held.lease).await).await;
    if let Err(error) = released {
        tracing::warn!(session = %core.id, %error, "the session's lease was not given up; it ends by itself");
    }
    held.released.cancel();
}

fn held_by(lease: &Lease) -> Error {
    let Lease { session_id, holder, .. } = lease;
    Error::new(
        ErrorKind::Held { holder: holder.clone() },
        format!("session {session_id:?} is held by {holder:?}; wait until they let go, or take it over"),
    )
    .with_delivery(Delivery::NotSent)
}
