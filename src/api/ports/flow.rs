//! How much may be on its way in each direction.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The two windows of one connection, shared by its two ways.
#[derive(Debug)]
pub(super) struct Flow {
    window: u32,
    /// How much the relay still takes.
    credit: AtomicU32,
    /// What came, what of it the application has taken, and what of that the relay was told, modulo 2³².
    arrived: AtomicU32,
    consumed: AtomicU32,
    told: AtomicU32,
    /// Nobody takes anything any more.
    is_deaf: AtomicBool,
    changed: Notify,
    shut: Notify,
}

impl Flow {
    pub(super) fn new(window: u32) -> Self {
        Self {
            window,
            credit: AtomicU32::new(window),
            arrived: AtomicU32::new(0),
            consumed: AtomicU32::new(0),
            told: AtomicU32::new(0),
            is_deaf: AtomicBool::new(false),
            changed: Notify::new(),
            shut: Notify::new(),
        }
    }

    pub(super) fn credit(&self) -> u32 {
        self.credit.load(Ordering::Acquire)
    }

    /// So much goes out; no more than there is credit for.
    pub(super) fn sent(&self, bytes: u32) {
        self.credit.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// The relay says that so much was taken; whether that can be.
    pub(super) fn taken(&self, bytes: u32) -> bool {
        let given = self.credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, |credit| {
            credit.checked_add(bytes).filter(|credit| *credit <= self.window)
        });
        self.changed.notify_one();
        given.is_ok()
    }

    /// The service was told that nothing more comes.
    pub(super) fn shut(&self) {
        self.shut.notify_one();
    }

    /// Returns once the service has all that was written, and was told that it is all. For one who waits.
    pub(super) async fn flushed(&self) {
        self.shut.notified().await;
    }

    /// So much more came; whether the relay may send that.
    pub(super) fn arrived(&self, bytes: u32) -> bool {
        let arrived = self.arrived.fetch_add(bytes, Ordering::AcqRel).wrapping_add(bytes);
        let may_be = arrived.wrapping_sub(self.consumed.load(Ordering::Acquire)) <= self.window;
        if self.is_deaf.load(Ordering::Acquire) {
            self.consumed(bytes);
        }
        may_be
    }

    /// How much came, modulo 2³².
    pub(super) fn count(&self) -> u32 {
        self.arrived.load(Ordering::Acquire)
    }

    /// The application has let go: all that came, and will, counts as taken. For whoever calls
    /// [`arrived`](Self::arrived).
    pub(super) fn nobody_reads(&self) {
        if !self.is_deaf.swap(true, Ordering::AcqRel) {
            self.consumed(self.count().wrapping_sub(self.consumed.load(Ordering::Acquire)));
        }
    }

    /// The application has taken so much more. The relay is told soon enough that it goes on sending, and not of
    /// every single byte.
    pub(super) fn consumed(&self, bytes: u32) {
        let consumed = self.consumed.fetch_add(bytes, Ordering::AcqRel).wrapping_add(bytes);
        if consumed.wrapping_sub(self.told.load(Ordering::Acquire)) >= self.window / 4 {
            self.changed.notify_one();
        }
    }

    /// What to tell the relay of what was taken, once: all of it, so that telling it again does no harm.
    pub(super) fn untold(&self) -> Option<u32> {
        let consumed = self.consumed.load(Ordering::Acquire);
        (self.told.swap(consumed, Ordering::AcqRel) != consumed).then_some(consumed)
    }

    /// Returns once there may be more credit, or more to tell.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn credit_is_what_is_not_on_its_way() {
        let flow = Flow::new(100);
        flow.sent(60);
        assert_eq!(flow.credit(), 40);
        assert!(flow.taken(60));
        assert!(!flow.taken(1), "more than was sent");
        assert_eq!(flow.credit(), 100);
    }

    #[test]
    fn no_more_comes_than_the_window() {
        let flow = Flow::new(100);
        assert!(flow.arrived(100));
        flow.consumed(10);
        assert!(flow.arrived(10));
        assert!(!flow.arrived(1));
    }

    #[test]
    fn what_nobody_reads_counts_as_taken() {
        let flow = Flow::new(100);
        assert!(flow.arrived(100));
        flow.consumed(10);
        flow.nobody_reads();
        assert_eq!(flow.untold(), Some(100));
        assert!(flow.arrived(50));
        flow.nobody_reads();
        assert_eq!(flow.untold(), Some(150));
    }

    #[test]
    fn the_relay_is_told_after_a_quarter_of_the_window() {
        let flow = Flow::new(100);
        flow.consumed(24);
        assert!(flow.changed().now_or_never().is_none());
        flow.consumed(1);
        assert!(flow.changed().now_or_never().is_some());
        assert_eq!((flow.untold(), flow.untold()), (Some(25), None));
        flow.consumed(25);
        assert_eq!(flow.untold(), Some(50), "all of it");
    }
}
