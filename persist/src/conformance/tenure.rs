//! What the cases of leases are written with.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Harness;
use super::kit::{Outcome, Subject, event, handles};
use crate::{
    Acquired, Inserted, Lease, ListEventsRequest, PersistError, PersistErrorKind, SessionLease,
    SessionPersistDriver,
};

/// Longer than any case lasts.
pub(super) const LONG: Duration = Duration::from_secs(3_600);

/// The shortest that a lease is asked for, and then as much more as a slow store needs.
const SHORT: Duration = Duration::from_millis(60);

/// How long a short lease may stay in force after its end; far more than clocks differ.
const OVER_WITHIN: Duration = Duration::from_secs(10);

/// A handle of a store with leases.
#[derive(Clone)]
pub(super) struct Tenure {
    pub(super) subject: Subject,
}

/// Two handles, of two processes where that is promised; `None` of a store without leases.
pub(super) async fn tenures(sentence: usize, harness: &dyn Harness) -> Outcome<Option<[Tenure; 2]>> {
    let subject = Subject::new(sentence, harness).await?;
    if subject.store.leases().is_none() {
        return Ok(None);
    }
    let other = handles(&subject, harness).await?.pop().unwrap_or_else(|| subject.clone());
    Ok(Some([Tenure { subject }, Tenure { subject: other }]))
}

impl Tenure {
    pub(super) fn leases(&self) -> Outcome<&dyn SessionLease> {
        match self.subject.store.leases() {
            Some(leases) => Ok(leases),
            None => self.subject.broken("leases() gives nothing any more"),
        }
    }

    pub(super) async fn acquired(&self, s: &str, holder: &str, ttl: Duration) -> Outcome<Acquired> {
        let what = format!("acquire({s:?}, {holder:?})");
        self.subject.ok(self.leases()?.acquire(s, holder, ttl).await, &what)
    }

    pub(super) async fn granted(&self, s: &str, holder: &str, ttl: Duration) -> Outcome<Lease> {
        let what = format!("acquire({s:?}, {holder:?}) of what is free, or one's own");
        match self.acquired(s, holder, ttl).await? {
            Acquired::Granted(lease) => self.is_of(lease, s, holder, &what),
            Acquired::Held(lease) => {
                self.subject.broken(format!("{what}: got Held({lease:?}), want Granted"))
            }
        }
    }

    pub(super) async fn refused(&self, s: &str, holder: &str, want: &Lease) -> Outcome {
        let got = self.acquired(s, holder, LONG).await?;
        let what = format!("acquire({s:?}, {holder:?}) of what another one has");
        self.subject.equal(&got, &Acquired::Held(want.clone()), &what)
    }

    pub(super) async fn taken(&self, s: &str, holder: &str, ttl: Duration) -> Outcome<Lease> {
        let what = format!("take_over({s:?}, {holder:?})");
        let lease = self.subject.ok(self.leases()?.take_over(s, holder, ttl).await, &what)?;
        self.is_of(lease, s, holder, &what)
    }

    fn is_of(&self, lease: Lease, s: &str, holder: &str, what: &str) -> Outcome<Lease> {
        self.subject.equal(&(&*lease.session_id, &*lease.holder), &(s, holder), what)?;
        Ok(lease)
    }

    pub(super) async fn renewed(&self, lease: &Lease, ttl: Duration) -> Outcome<Lease> {
        let what = format!("renew({lease:?})");
        let renewed = self.subject.ok(self.leases()?.renew(lease, ttl).await, &what)?;
        let mut want = lease.clone();
        want.expires_at = renewed.expires_at.max(lease.expires_at);
        self.subject.equal(&renewed, &want, &what)?;
        Ok(renewed)
    }

    pub(super) async fn not_renewed(&self, lease: &Lease, why: &str) -> Outcome {
        let what = format!("renew of a lease that {why} {lease:?}");
        self.subject.error(self.leases()?.renew(lease, LONG).await, PersistErrorKind::Fenced, &what)
    }

    pub(super) async fn released(&self, lease: &Lease) -> Outcome {
        self.subject.ok(self.leases()?.release(lease).await, &format!("release({lease:?})"))
    }

    pub(super) async fn held(&self, s: &str, want: Option<&Lease>, what: &str) -> Outcome {
        let what = format!("holder({s:?}), {what}");
        let got = self.subject.ok(self.leases()?.holder(s).await, &what)?;
        self.subject.equal(&got.as_ref(), &want, &what)
    }

    pub(super) fn fenced(&self, lease: &Lease) -> Outcome<Arc<dyn SessionPersistDriver>> {
        let store = self.leases()?.fenced(lease);
        self.subject.on(store.clone())?;
        Ok(store)
    }

    /// Whoever has the lease stores an event.
    pub(super) async fn writes(&self, lease: &Lease, who: &str) -> Outcome {
        let store = self.subject.on(self.fenced(lease)?)?;
        let s = &lease.session_id;
        let newest = ListEventsRequest::new(s).descending().limit(1);
        let next = store.page(newest).await?.items.first().map_or(1, |last| last.event_index + 1);
        store.insert(event(s, next), Inserted::Stored, &format!("by {who}")).await
    }

    /// A lease of this holder that was in force and has run out, with those that ran out unseen before it.
    pub(super) async fn expired(&self, s: &str, holder: &str) -> Outcome<(Vec<Lease>, Lease)> {
        let (mut unseen, mut ttl) = (Vec::new(), SHORT);
        loop {
            let lease = self.granted(s, holder, ttl).await?;
            let asked = self.subject.ok(self.leases()?.holder(s).await, "holder")?;
            if asked.is_none() && ttl < OVER_WITHIN {
                unseen.push(lease);
                ttl *= 2;
                continue;
            }
            self.subject.equal(
                &asked.as_ref(),
                &Some(&lease),
                "holder of a short lease, at its beginning",
            )?;
            self.is_over(&lease, ttl + OVER_WITHIN).await?;
            return Ok((unseen, lease));
        }
    }

    async fn is_over(&self, lease: &Lease, within: Duration) -> Outcome {
        let begin = Instant::now();
        while begin.elapsed() < within {
            match self.subject.ok(self.leases()?.holder(&lease.session_id).await, "holder")? {
                None => return Ok(()),
                held => self.subject.equal(&held.as_ref(), &Some(lease), "holder of a short lease")?,
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.subject.broken(format!("holder: {lease:?} is in force {within:?} after it was granted"))
    }

    /// The write is refused for a lease's sake.
    pub(super) fn is_fenced<T: std::fmt::Debug>(&self, got: Result<T, PersistError>, what: &str) -> Outcome {
        self.subject.error(got, PersistErrorKind::Fenced, what)
    }
}
