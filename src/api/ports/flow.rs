//! How much may be on its way in each direction.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The two windows of one connection, shared by its two ways.
#[derive(Debug)]
pub(super) struct Flow {
    window: u32,
    /// How much the relay still takes.
    credit: AtomicU32,
    /// What the application has taken, modulo 2³², and what of it the relay was told.
    consumed: AtomicU32,
    told: AtomicU32,
    ended: AtomicBool,
    changed: Notify,
    flushed: Notify,
}

impl Flow {
    pub(super) fn new(window: u32) -> Self {
        Self {
            window,
            credit: AtomicU32::new(window),
            consumed: AtomicU32::new(0),
            told: AtomicU32::new(0),
            ended: AtomicBool::new(false),
            changed: Notify::new(),
            flushed: Notify::new(),
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
        self.tell_flushed();
        self.changed.notify_one();
        given.is_ok()
    }

    /// Nothing more goes out.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.tell_flushed();
    }

    fn tell_flushed(&self) {
        if self.ended.load(Ordering::Acquire) && self.credit() == self.window {
            self.flushed.notify_one();
        }
    }

    /// Returns once all that will go out was taken. For one who waits.
    pub(super) async fn flushed(&self) {
        self.flushed.notified().await;
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
    fn it_is_flushed_once_all_was_taken_and_nothing_more_comes() {
        let flow = Flow::new(100);
        flow.sent(10);
        flow.end();
        assert!(flow.flushed().now_or_never().is_none());
        assert!(flow.taken(10));
        assert!(flow.flushed().now_or_never().is_some());
        let idle = Flow::new(100);
        idle.end();
        assert!(idle.flushed().now_or_never().is_some());
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
