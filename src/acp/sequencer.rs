//! Runs the sequence of one process: feeds it, refills its holes, hands on what it delivers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sandbox_agent_persist::RawValue;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fetch::{Fetch, PROBE};
use super::gap::{Gap, GapCause};
use super::link::{Inbound, Link};
use super::reader::Signal;
use super::sequence::{Sequence, Slot, Step, Way};
use crate::error::{Error, ErrorKind};
use crate::sse::{Budget, Permit};

/// Refills have room of their own: were they to wait behind the events that wait for them, nothing moved.
const REFILL_BYTES: usize = 16 * 1024 * 1024;

pub(crate) struct Sequencer<F> {
    link: Arc<Link>,
    signals: mpsc::UnboundedReceiver<Signal>,
    sequence: Sequence<(Box<RawValue>, Permit)>,
    refill_budget: Budget,
    inbound: F,
    steps: Vec<Step<(Box<RawValue>, Permit)>>,
}

impl<F: Fn(Arc<Link>, Inbound) + Send + 'static> Sequencer<F> {
    pub(crate) fn new(link: Arc<Link>, signals: mpsc::UnboundedReceiver<Signal>, inbound: F) -> Self {
        let sequence = Sequence::new(link.done.load(Ordering::Acquire));
        Self { link, signals, sequence, refill_budget: Budget::new(REFILL_BYTES), inbound, steps: Vec::new() }
    }

    pub(crate) async fn run(mut self) {
        let stop = self.link.stop.clone();
        while let Some(Some(signal)) = stop.run_until_cancelled(self.signals.recv()).await {
            if let Some(error) = self.step(signal) {
                self.finish(error);
                return;
            }
        }
    }

    /// Returns the error that ends the process.
    fn step(&mut self, signal: Signal) -> Option<Error> {
        match signal {
            Signal::Event { id, way, data, permit, stalled } => {
                if stalled {
                    self.sequence.stalled();
                }
                self.arrive(id, way, data, permit);
            }
            Signal::Unreadable { id, way, too_large, head } => self.unreadable(id, way, too_large, &head),
            Signal::Connected | Signal::Probe => self.probe(),
            Signal::Heartbeat => {
                self.sequence.kept_up();
                if !self.link.pending.is_empty() {
                    self.probe();
                }
            }
            Signal::SettleByHints => self.settle_by_hints(),
            Signal::Refilled { covered } => self.sequence.refilled(covered, &mut self.steps),
            Signal::Probed { passed } => self.sequence.probed(passed, &mut self.steps),
            Signal::Exited(error) => self.fetch_rest(error),
            Signal::Died(error) => return Some(error),
        }
        self.perform();
        None
    }

    fn arrive(&mut self, id: u64, way: Way, data: String, permit: Permit) {
        let slot = match RawValue::from_string(data) {
            Ok(payload) => Slot::Event((payload, permit)),
            Err(_) => Slot::Unreadable(GapCause::Unreadable),
        };
        self.sequence.arrive(id, way, slot, &mut self.steps);
    }

    fn unreadable(&mut self, id: u64, way: Way, too_large: bool, head: &str) {
        let cause = if too_large { GapCause::TooLarge } else { GapCause::Unreadable };
        self.sequence.arrive(id, way, Slot::Unreadable(cause), &mut self.steps);
        // A notification owes nobody an answer; anything else may have been one.
        if too_large && !head.contains("\"method\"") {
            let limit = self.link.limits.event_bytes;
            self.link.pending.fail_all(&Error::new(
                ErrorKind::TooLarge { limit },
                format!("the agent sent an event over {limit} bytes, which may have been the answer; raise `event_bytes`"),
            ));
        }
    }

    fn perform(&mut self) {
        for step in std::mem::take(&mut self.steps) {
            match step {
                Step::Deliver(sse_id, (payload, permit)) => {
                    self.give(Inbound::Event { sse_id, payload, permit: Some(permit) });
                }
                Step::Gap { from, to, cause } => {
                    let server_id = self.link.server_id.clone();
                    tracing::warn!(%server_id, from, to, ?cause, "events of the agent were lost");
                    self.give(Inbound::Gap(Gap { server_id, from, to, cause }));
                }
                Step::Refill { after, until } => self.refill(after, until),
            }
        }
        self.link.done.store(self.sequence.done(), Ordering::Release);
    }

    fn give(&self, inbound: Inbound) {
        (self.inbound)(self.link.clone(), inbound);
    }

    /// Fetches the events of a hole beside the running stream.
    fn refill(&self, after: u64, until: u64) {
        let fetch = self.fetch();
        tokio::spawn(async move {
            let link = fetch.link.clone();
            if let Some(covered) = link.stop.run_until_cancelled(fetch.refill(after, until)).await {
                let _ = link.signals.send(Signal::Refilled { covered });
            }
        });
    }

    /// Fetches what may be missing at the very end, where no later id betrays it.
    fn probe(&self) {
        let (fetch, after, passed) = (self.fetch(), self.sequence.done(), self.sequence.passed());
        tokio::spawn(async move {
            let link = fetch.link.clone();
            let probe = timeout(PROBE, fetch.run(after, None));
            if link.stop.run_until_cancelled(probe).await.is_some() {
                let _ = link.signals.send(Signal::Probed { passed });
            }
        });
    }

    /// Around an exit events come out of order: those before it may still be missing.
    fn fetch_rest(&self, error: Error) {
        let (fetch, after) = (self.fetch(), self.sequence.done());
        tokio::spawn(async move {
            let _ = timeout(PROBE / 2, fetch.run(after, None)).await;
            let _ = fetch.link.signals.send(Signal::Died(error));
        });
    }

    fn fetch(&self) -> Fetch {
        Fetch { link: self.link.clone(), budget: self.refill_budget.clone() }
    }

    fn settle_by_hints(&self) {
        for (rpc_id, payload) in self.link.pending.take_hints() {
            self.give(Inbound::Answer { rpc_id, payload });
        }
    }

    fn finish(mut self, error: Error) {
        self.sequence.finish(&mut self.steps);
        self.perform();
        // How far some message of ours came says nothing of those that wait.
        let error = error.without_delivery();
        if error.is_agent_gone() {
            // The server keeps a dead process on its list until it is told.
            let link = self.link.clone();
            tokio::spawn(async move { link.delete().await });
        }
        self.give(Inbound::Died { last_sse_id: self.sequence.done(), error });
    }
}
