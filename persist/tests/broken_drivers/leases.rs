//! Leases, and how they go wrong.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sandbox_agent_persist::{Acquired, Lease, PersistError, SessionLease, SessionPersistDriver, async_trait};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::driver::Driver;
use crate::faults::Fault::*;
use crate::state::{State, Tenure};

impl Driver {
    fn grant(&self, state: &mut State, session_id: &str, holder: &str, ttl: Duration) -> Lease {
        let old = state.tenures.get(session_id).map(|tenure| &tenure.lease);
        let token = match (self.fault, old) {
            (CountsTokensBySession, old) => old.map_or(1, |old| old.token + 1),
            (KeepsTheTokenOfTheSameHolder, Some(old)) if old.holder == holder => old.token,
            _ => state.last_token + 1,
        };
        state.last_token = state.last_token.max(token);
        let lease = Lease::new(session_id, holder, token, end(ttl));
        self.put(state, &lease, ttl);
        lease
    }

    fn put(&self, state: &mut State, lease: &Lease, ttl: Duration) {
        let ends = Instant::now() + ttl;
        let tenure = Tenure { lease: lease.clone(), ends, released: false, handle: self.handle };
        state.tenures.insert(lease.session_id.clone(), tenure);
    }
}

fn end(ttl: Duration) -> i64 {
    (SystemTime::now() + ttl).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

#[async_trait]
impl SessionLease for Driver {
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError> {
        let is_refused = |tenure: &&Tenure| match self.fault {
            GrantsToAll => false,
            GrantsOncePerHolder => tenure.in_force(self.fault),
            _ => tenure.in_force(self.fault) && tenure.lease.holder != holder,
        };
        let held = self.state().tenures.get(session_id).filter(is_refused).cloned();
        if self.fault == LooksThenGrants && held.is_none() {
            yield_now().await;
            return Ok(Acquired::Granted(self.grant(&mut self.state(), session_id, holder, ttl)));
        }
        let mut state = self.state();
        match state.tenures.get(session_id).filter(is_refused) {
            Some(held) if self.fault == TellsTheWrongHolder => {
                let mut lease = held.lease.clone();
                lease.holder = holder.to_owned();
                Ok(Acquired::Held(lease))
            }
            Some(held) => Ok(Acquired::Held(held.lease.clone())),
            None => Ok(Acquired::Granted(self.grant(&mut state, session_id, holder, ttl))),
        }
    }

    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError> {
        let mut state = self.state();
        match (self.fault, state.tenures.get(session_id)) {
            (TakesOverTheExpiredOnly, Some(held)) if held.in_force(self.fault) => {
                Ok(Lease::new(session_id, holder, held.lease.token, end(ttl)))
            }
            (TakesOverWithoutATokenOfItsOwn, Some(held)) => {
                let lease = Lease::new(session_id, holder, held.lease.token, end(ttl));
                self.put(&mut state, &lease, ttl);
                Ok(lease)
            }
            _ => Ok(self.grant(&mut state, session_id, holder, ttl)),
        }
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        let mut state = self.state();
        let held = state.tenures.get(&lease.session_id);
        let is_own = held.is_some_and(|held| {
            let own = held.lease.token == lease.token && !held.released;
            own && (held.in_force(self.fault) || self.fault != RenewsNothingExpired)
        });
        if !is_own && self.fault != RenewsWhatIsOver {
            let holder = held.filter(|held| held.in_force(self.fault)).map(|held| &*held.lease.holder);
            return Err(PersistError::fenced(&lease.session_id, holder));
        }
        let mut renewed = lease.clone();
        match self.fault {
            RenewsForAnotherToken => {
                state.last_token += 1;
                renewed.token = state.last_token;
            }
            RenewsForNoTime => return Ok(renewed),
            ForgetsRenewals => {
                renewed.expires_at = end(ttl);
                return Ok(renewed);
            }
            _ => {}
        }
        renewed.expires_at = end(ttl);
        self.put(&mut state, &renewed, ttl);
        Ok(renewed)
    }

    async fn release(&self, lease: &Lease) -> Result<(), PersistError> {
        if let Some(held) = self.state().tenures.get_mut(&lease.session_id) {
            held.released |= match self.fault {
                ReleasesWhateverThereIs => true,
                ReleasesForItsHolder => held.lease.holder == lease.holder,
                _ => held.lease.token == lease.token,
            };
        }
        Ok(())
    }

    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError> {
        let state = self.state();
        let in_force = |tenure: &&Tenure| match self.fault {
            HoldsWhatExpired => !tenure.released,
            HoldsWhatWasReleased => Instant::now() < tenure.ends,
            _ => tenure.in_force(self.fault),
        };
        Ok(state.tenures.get(session_id).filter(in_force).map(|tenure| tenure.lease.clone()))
    }

    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver> {
        let mut driver = self.clone();
        driver.lease = Some(lease.clone());
        Arc::new(driver)
    }
}
