//! Who may write to which session.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sandbox_agent_persist::{Acquired, Lease, PersistError};

/// For so long an expired lease that nobody took is good for its holder.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// The newest lease of each session, be it expired or not.
#[derive(Default)]
pub(crate) struct Leases {
    by_session: HashMap<String, Lease>,
    granted: u64,
}

impl Leases {
    pub(crate) fn acquire(&mut self, session_id: &str, holder: &str, ttl: Duration) -> Acquired {
        match self.in_force(session_id) {
            Some(lease) if lease.holder != holder => Acquired::Held(lease.clone()),
            _ => Acquired::Granted(self.grant(session_id, holder, ttl)),
        }
    }

    pub(crate) fn grant(&mut self, session_id: &str, holder: &str, ttl: Duration) -> Lease {
        if self.by_session.len() >= self.by_session.capacity() {
            // Before the map grows: nobody comes back to those.
            let long_ago = now_ms() - DAY_MS;
            self.by_session.retain(|_, lease| lease.expires_at > long_ago);
        }
        self.granted += 1;
        let lease = Lease::new(session_id, holder, self.granted, end(ttl));
        self.by_session.insert(session_id.to_owned(), lease.clone());
        lease
    }

    pub(crate) fn renew(&mut self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        self.check(&lease.session_id, Some(lease))?;
        let renewed = Lease::new(&lease.session_id, &lease.holder, lease.token, end(ttl));
        self.by_session.insert(lease.session_id.clone(), renewed.clone());
        Ok(renewed)
    }

    pub(crate) fn release(&mut self, lease: &Lease) {
        if self.check(&lease.session_id, Some(lease)).is_ok() {
            self.by_session.remove(&lease.session_id);
        }
    }

    pub(crate) fn in_force(&self, session_id: &str) -> Option<&Lease> {
        self.by_session.get(session_id).filter(|lease| lease.expires_at > now_ms())
    }

    /// Whether a write that carries this lease, or none, may go to the session.
    pub(crate) fn check(&self, session_id: &str, fence: Option<&Lease>) -> Result<(), PersistError> {
        match fence.filter(|lease| lease.session_id == session_id) {
            Some(ours) => match self.by_session.get(session_id) {
                Some(newest) if newest.token == ours.token => Ok(()),
                newest => Err(PersistError::fenced(session_id, newest.map(|newest| newest.holder.as_str()))),
            },
            None => self.in_force(session_id).map_or(Ok(()), |lease| Err(lease.fences())),
        }
    }
}

fn end(ttl: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
