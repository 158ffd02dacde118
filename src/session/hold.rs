//! Holding a session, so that no other SDK drives it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{Acquired, Lease};
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
        if held.is_some() {
            return Ok(());
        }
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
        if let Some(ours) = held.as_ref() {
            ours.given_up.cancel();
            ours.released.cancelled().await;
            self.store.unfence();
            *held = None;
        }
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
                tracing::warn!(session = %core.id, "another SDK took the session over");
                core.recorder.record(Entry { draft: None, then: Then::Fail(error) });
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
