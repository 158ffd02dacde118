//! Runs the sequence of one process: feeds it, refills its holes, hands on what it delivers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sandbox_agent_persist::RawValue;
use tokio::sync::mpsc;

use super::fetch::{Fetch, Fetched, PROBE};
use super::gap::{Gap, GapCause};
use super::link::{Inbound, Link};
use super::reader::Signal;
use super::sequence::{Sequence, Slot, Step, Way};
use crate::error::{Error, ErrorKind};
use crate::http::within;
use crate::sse::{Budget, Permit};

/// Refills have room of their own: were they to wait behind the events that wait for them, nothing moved.
const REFILL_BYTES: usize = 8 * 1024 * 1024;
/// And probes, whose events may wait behind a hole that a refill has to fill.
const PROBE_BYTES: usize = 4 * 1024 * 1024;

pub(crate) struct Sequencer<F> {
    link: Arc<Link>,
    signals: mpsc::UnboundedReceiver<Signal>,
    sequence: Sequence<(Box<RawValue>, Permit)>,
    refill_budget: Budget,
    probe_budget: Budget,
    inbound: F,
    steps: Vec<Step<(Box<RawValue>, Permit)>>,
    /// Answers that only POSTs brought, with the id up to which all must be handed on before they count.
    settling: Vec<(u64, Vec<String>)>,
}

impl<F: Fn(Arc<Link>, Inbound) + Send + 'static> Sequencer<F> {
    pub(crate) fn new(link: Arc<Link>, signals: mpsc::UnboundedReceiver<Signal>, inbound: F) -> Self {
        let sequence = Sequence::new(link.done.load(Ordering::Acquire));
        Self {
            link,
            signals,
            sequence,
            refill_budget: Budget::new(REFILL_BYTES),
            probe_budget: Budget::new(PROBE_BYTES),
            inbound,
            steps: Vec::new(),
            settling: Vec::new(),
        }
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
            Signal::Connected => {
                self.sequence.reconnected();
                self.probe();
            }
            Signal::Probe => self.probe(),
            Signal::Heartbeat => {
                self.sequence.kept_up();
                if !self.link.pending.is_empty() {
                    self.probe();
                }
            }
            Signal::Refilled { after, until, covered } => {
                self.sequence.refilled(after, until, covered, &mut self.steps);
            }
            Signal::Probed { passed, fetched, hinted } => self.probed(passed, fetched, hinted),
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
        if !self.sequence.arrive(id, way, slot, &mut self.steps) {
            self.link.counters.events_repeated.increment();
        }
    }

    fn unreadable(&mut self, id: u64, way: Way, too_large: bool, head: &str) {
        let cause = if too_large { GapCause::TooLarge } else { GapCause::Unreadable };
        let new = id > self.sequence.done();
        self.sequence.arrive(id, way, Slot::Unreadable(cause), &mut self.steps);
        // A notification owes nobody an answer; anything else may have been one.
        if new && too_large && !head.contains("\"method\"") {
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
                    self.give(Inbound::Event { sse_id, payload, permit });
                }
                Step::Gap { from, to, cause } => {
                    let server_id = self.link.server_id.clone();
                    tracing::warn!(%server_id, from, to, ?cause, "events of the agent were lost");
                    self.link.counters.gaps.increment();
                    self.link.counters.events_missing.add(to - from + 1);
                    self.give(Inbound::Gap(Gap { server_id, from, to, cause }));
                }
                Step::Refill { after, until } => self.refill(after, until),
            }
        }
        self.link.done.store(self.sequence.done(), Ordering::Release);
        self.settle();
    }

    fn give(&self, inbound: Inbound) {
        (self.inbound)(self.link.clone(), inbound);
    }

    /// Fetches the events of a hole beside the running stream.
    fn refill(&self, after: u64, until: u64) {
        let fetch = self.fetch(&self.refill_budget);
        self.link.counters.refills.increment();
        self.link.runtime.spawn(async move {
            let link = fetch.link.clone();
            if let Some(covered) = link.stop.run_until_cancelled(fetch.refill(after, until)).await {
                let _ = link.signals.send(Signal::Refilled { after, until, covered });
            }
        });
    }

    /// Fetches what may be missing at the very end, where no later id betrays it.
    fn probe(&self) {
        let (after, passed) = (self.sequence.done(), self.sequence.passed());
        let fetch = self.fetch(&self.probe_budget);
        let hinted = self.link.pending.hinted();
        self.link.counters.probes.increment();
        self.link.runtime.spawn(async move {
            let link = fetch.link.clone();
            let probe = within(PROBE, fetch.run(after, None));
            if let Some(fetched) = link.stop.run_until_cancelled(probe).await {
                let fetched = fetched.ok().and_then(Result::ok);
                let _ = link.signals.send(Signal::Probed { passed, fetched, hinted });
            }
        });
    }

    /// The stream's copy of an answer is written before the POST answers. Where a probe saw all
    /// that the server holds and the copy is not among what was handed on by then, it was lost.
    fn probed(&mut self, passed: u64, fetched: Option<Fetched>, hinted: Vec<String>) {
        self.sequence.probed(passed, &mut self.steps);
        if let Some(Fetched { covered, complete: true }) = fetched
            && !hinted.is_empty()
        {
            self.settling.push((covered, hinted));
        }
    }

    fn settle(&mut self) {
        let done = self.sequence.done();
        for (_, hinted) in self.settling.extract_if(.., |(covered, _)| *covered <= done) {
            (self.inbound)(self.link.clone(), Inbound::Settle(hinted));
        }
    }

    /// Around an exit events come out of order: those before it may still be missing.
    fn fetch_rest(&self, error: Error) {
        let (fetch, after) = (self.fetch(&self.refill_budget), self.sequence.done());
        self.link.runtime.spawn(async move {
            let _ = within(PROBE / 2, fetch.run(after, None)).await;
            let _ = fetch.link.signals.send(Signal::Died(error));
        });
    }

    fn fetch(&self, budget: &Budget) -> Fetch {
        Fetch { link: self.link.clone(), budget: budget.clone() }
    }

    fn finish(mut self, error: Error) {
        self.sequence.finish(&mut self.steps);
        self.perform();
        // The stream brings no answer any more.
        self.give(Inbound::Settle(self.link.pending.hinted()));
        // How far some message of ours came says nothing of those that wait.
        let error = error.without_delivery();
        if error.is_agent_gone() {
            // The server keeps a dead process on its list until it is told.
            let link = self.link.clone();
            self.link.runtime.spawn(async move { link.delete().await });
        }
        self.give(Inbound::Died { last_sse_id: self.sequence.done(), error });
    }
}

/// A bug in here must not leave anybody waiting for what it would have brought.
impl<F> Drop for Sequencer<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.link.bury(&Error::closed());
        }
    }
}
