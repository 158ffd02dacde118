//! The prompts of a session that wait, in the order of the calls, and the turn that runs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::core::Live;
use super::prompt::{Prompt, WhenBusy};
use super::turn::{Outcome, Progress, TurnStats, cancelled};
use crate::acp::Answer;
use crate::acp_types::PromptResponse;
use crate::error::{Delivery, Error, ErrorKind, Result};

pub(super) type AnswerReceiver = oneshot::Receiver<Answer>;

/// What a turn's handles and its runner share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticket {
    pub(super) progress: Arc<watch::Sender<Progress>>,
    pub(super) cancel: CancellationToken,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    events: AtomicU64,
    gaps: AtomicU64,
    missing: AtomicU64,
}

impl Ticket {
    /// Of a turn that was found running; `first` is the index of its prompt.
    pub(super) fn running(first: u64) -> Self {
        let ticket = Self::default();
        ticket.progress.send_replace(Progress { running: true, first: Some(first), outcome: None });
        ticket
    }

    pub(super) fn end(&self, last: u64, result: Result<PromptResponse>) {
        self.progress.send_modify(|progress| {
            progress.outcome.get_or_insert(Outcome { last, result });
        });
    }

    /// Takes a prompt that still waits out of the queue.
    pub(super) fn withdraw(&self) {
        self.cancel.cancel();
        self.progress.send_if_modified(|progress| {
            let waits = !progress.running && progress.outcome.is_none();
            if waits {
                progress.outcome = Some(Outcome { last: 0, result: Err(cancelled()) });
            }
            waits
        });
    }

    /// Says that the turn's time has come; false when it was withdrawn.
    pub(super) fn claim(&self) -> bool {
        self.progress.send_if_modified(|progress| {
            progress.running = progress.outcome.is_none();
            progress.running
        })
    }

    /// Whether it has no outcome.
    fn waits(&self) -> bool {
        self.progress.borrow().outcome.is_none()
    }

    pub(super) fn saw_event(&self) {
        self.counts.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saw_gap(&self, missing: u64) {
        self.counts.gaps.fetch_add(1, Ordering::Relaxed);
        self.counts.missing.fetch_add(missing, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> TurnStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { events, gaps, missing } = &*self.counts;
        TurnStats { events: read(events), gaps: read(gaps), missing: read(missing) }
    }
}

/// A prompt in the queue.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) prompt: Prompt,
    pub(super) ticket: Ticket,
}

impl Job {
    /// What is known of a prompt when the SDK ends; the agent may go on with it.
    pub(super) fn delivery(&self) -> Delivery {
        if self.ticket.progress.borrow().first.is_some() { Delivery::Unknown } else { Delivery::NotSent }
    }
}

/// Whatever becomes of a prompt, whoever waits for it is told.
impl Drop for Job {
    fn drop(&mut self) {
        self.ticket.end(0, Err(Error::closed().with_delivery(self.delivery())));
    }
}

/// A turn that was found running.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) live: Live,
    pub(super) rpc_id: String,
    /// The index of the prompt.
    pub(super) index: u64,
    /// An end of it is in the record.
    pub(super) given_up: bool,
    /// Taken by whoever waits for it.
    pub(super) answer: Option<AnswerReceiver>,
    pub(super) ticket: Ticket,
}

/// Whatever becomes of it, whoever waits for it is told.
impl Drop for Adopted {
    fn drop(&mut self) {
        self.ticket.end(0, Err(Error::closed().with_delivery(Delivery::Unknown)));
    }
}

/// What the runner does next.
#[derive(Debug)]
pub(super) enum Next {
    Adopted(Box<Adopted>),
    Job(Job),
}

#[derive(Debug)]
pub(crate) struct Queue {
    turns: Mutex<Turns>,
    come: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Turns {
    adopted: Option<Box<Adopted>>,
    waiting: VecDeque<Job>,
    running: Option<Ticket>,
    /// Comes after the running one, before all that wait.
    next: Option<Ticket>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { turns: Mutex::default(), come: Notify::new(), limit: limit.max(1) }
    }

    /// Queues a prompt, as far as its policy and the queue's limit allow; it ends at once otherwise.
    pub(super) fn push(&self, job: Job, refusal: impl FnOnce(ErrorKind) -> Error) {
        if let Err((job, kind)) = self.try_push(job).map_err(|refused| *refused) {
            job.ticket.end(0, Err(refusal(kind)));
        }
    }

    fn try_push(&self, job: Job) -> Result<(), Box<(Job, ErrorKind)>> {
        let refuse = |job, kind| Err(Box::new((job, kind)));
        let mut turns = self.turns();
        if turns.closed {
            return refuse(job, ErrorKind::Closed);
        }
        turns.waiting.retain(|job| job.ticket.waits());
        let busy = turns.current().is_some() || !turns.waiting.is_empty();
        match job.prompt.when_busy {
            WhenBusy::Reject if busy => return refuse(job, ErrorKind::Busy),
            WhenBusy::Interrupt => {
                turns.waiting.drain(..).for_each(|job| job.ticket.withdraw());
                if let Some(next) = &turns.next {
                    next.cancel.cancel();
                }
                if let Some(current) = turns.current() {
                    current.cancel.cancel();
                }
            }
            _ if turns.waiting.len() >= self.limit => return refuse(job, ErrorKind::QueueFull),
            _ => {}
        }
        turns.waiting.push_back(job);
        drop(turns);
        self.come.notify_one();
        Ok(())
    }

    /// A turn that runs already comes before all that wait.
    pub(super) fn adopt(&self, adopted: Box<Adopted>) {
        let mut turns = self.turns();
        if turns.closed {
            return;
        }
        turns.adopted = Some(adopted);
        drop(turns);
        self.come.notify_one();
    }

    /// Waits for something to do. For one caller; dropping the call loses nothing.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.turns().next() {
                return next;
            }
            self.come.notified().await;
        }
    }

    pub(super) fn take_adopted(&self) -> Option<Box<Adopted>> {
        self.turns().adopted.take()
    }

    pub(super) fn set_running(&self, ticket: Option<Ticket>) {
        self.turns().running = ticket;
    }

    pub(super) fn set_next(&self, ticket: Option<Ticket>) {
        self.turns().next = ticket;
    }

    /// The turn that runs, or is about to be taken up again.
    pub(super) fn current(&self) -> Option<Ticket> {
        self.turns().current().cloned()
    }

    /// Takes no more, and lets go of what waits: that is told why.
    pub(super) fn close(&self, why: &Error) {
        let mut turns = self.turns();
        turns.closed = true;
        let (waiting, adopted) = (std::mem::take(&mut turns.waiting), turns.adopted.take());
        // Whoever is told may ask for the queue.
        drop(turns);
        for job in waiting {
            job.ticket.end(0, Err(why.clone().with_delivery(job.delivery())));
        }
        if let Some(adopted) = adopted {
            adopted.ticket.end(0, Err(why.clone().with_delivery(Delivery::Unknown)));
        }
    }

    /// Nothing panics while it holds the lock, and each field is whole at every step.
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn next(&mut self) -> Option<Next> {
        if let Some(adopted) = self.adopted.take() {
            self.running = Some(adopted.ticket.clone());
            return Some(Next::Adopted(adopted));
        }
        while let Some(job) = self.waiting.pop_front() {
            if job.ticket.claim() {
                self.running = Some(job.ticket.clone());
                return Some(Next::Job(job));
            }
        }
        None
    }

    /// A turn that has an outcome runs no more, also while the runner has yet to see it.
    fn current(&self) -> Option<&Ticket> {
        let adopted = self.adopted.as_ref().map(|adopted| &adopted.ticket);
        self.running.as_ref().filter(|running| running.waits()).or(adopted)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::acp::{Ground, Link, Process};
    use crate::http::Http;
    use crate::limits::Limits;

    #[tokio::test]
    async fn whoever_waits_for_a_found_turn_that_nobody_takes_up_is_told() {
        let ground = Ground {
            http: Http::new(reqwest::Client::new(), "http://localhost", None, &[]).unwrap(),
            limits: Limits::default(),
            counters: Arc::default(),
            runtime: Handle::current(),
            stop: CancellationToken::new(),
        };
        for closed_first in [true, false] {
            let (link, _unread) = Link::new(ground.clone(), Process::running("server", "mock", 1));
            let ticket = Ticket::running(1);
            let adopted = Adopted {
                live: Live { link, agent_session_id: "session".into() },
                rpc_id: "1".into(),
                index: 1,
                given_up: false,
                answer: None,
                ticket: ticket.clone(),
            };
            let queue = Queue::new(1);
            if closed_first {
                queue.close(&Error::closed());
            }
            queue.adopt(Box::new(adopted));
            assert_eq!(ticket.waits(), !closed_first);
            queue.close(&Error::closed());
            let outcome = ticket.progress.borrow().outcome.clone().unwrap();
            assert_eq!(outcome.result.unwrap_err().delivery(), Some(Delivery::Unknown));
        }
    }
}
