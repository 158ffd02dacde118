//! Calls on their way: which wait, which were sent, and what becomes of them when a connection is lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sandbox_agent_sdk::Delivery;
use sandbox_agent_sdk::persist::RawValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::WhileAway;
use crate::call::Call;
use crate::error::{Error, ErrorKind, Result};

/// How long the calls that waited for a connection wait for the answer to the one before.
const TURN: Duration = Duration::from_secs(5);

/// Whether a call may still be given up as one that was never sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending(Arc<AtomicU8>);

const WAITING: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Sending {
    /// Gives the call up if it was not sent; then it never is.
    fn give_up(&self) -> bool {
        self.turns(WAITING, GIVEN_UP)
    }

    /// What is known of a call that nobody waits for any more.
    pub(super) fn delivery(&self) -> Delivery {
        if self.give_up() { Delivery::NotSent } else { Delivery::Unknown }
    }

    fn send(&self) -> bool {
        // What was sent before, and is safe to repeat, is sent again.
        self.turns(WAITING, SENT) || self.0.load(Ordering::Acquire) == SENT
    }

    fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Acquire) == WAITING
    }

    fn did_not_leave(&self) {
        self.turns(SENT, WAITING);
    }

    fn turns(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A call that somebody waits for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) call: Call,
    pub(super) reply: oneshot::Sender<Result<Box<RawValue>>>,
    pub(super) sending: Sending,
    pub(super) deadline: Instant,
    /// Made by the client itself, for somebody who reads.
    pub(super) own: bool,
    /// It went over a connection that was lost since.
    pub(super) left: bool,
}

impl Request {
    fn is_over(&self) -> bool {
        self.reply.is_closed()
    }

    fn fail(self, error: Error) {
        // Whoever waited may have gone.
        let _ = self.reply.send(Err(error));
    }
}

/// Whether sending a call a second time is the same as once: it only reads, or its id says that it is known.
fn is_idempotent(call: &Call) -> bool {
    is_read(call) || matches!(call, Call::Prompt(_))
}

fn is_read(call: &Call) -> bool {
    matches!(call, Call::GetSessionInfo {} | Call::GetSequencedEvents { .. } | Call::GetFramePart { .. })
}

#[derive(Debug)]
pub(super) struct Outbox {
    policy: WhileAway,
    most: usize,
    waiting: VecDeque<Request>,
    /// What was sent, by the order in which it was.
    sent: BTreeMap<u64, Request>,
    next: u64,
    /// The call whose answer those that wait are to wait for, and until when.
    turn: Option<(u64, Instant)>,
}

/// A call to send now.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) id: u64,
    pub(super) call: Call,
    pub(super) deadline: Instant,
}

impl Outbox {
    pub(super) fn new(policy: WhileAway, most: usize) -> Self {
        Self { policy, most, waiting: VecDeque::new(), sent: BTreeMap::new(), next: 0, turn: None }
    }

    /// Takes a call that was made while there is no connection.
    pub(super) fn take_away(&mut self, request: Request) {
        if !request.own {
            if self.policy == WhileAway::Fail {
                return request.fail(away("there is no connection; try again when there is"));
            }
            self.waiting.retain(|request| !request.is_over());
            if self.waiting.len() >= self.most {
                let message = format!("{} calls wait for a connection, as many as may", self.most);
                return request.fail(Error::new(ErrorKind::Full, message).with_delivery(Delivery::NotSent));
            }
        }
        self.waiting.push_back(request);
    }

    /// Takes a call that was made while there is one. It goes behind those that wait, unless it only reads.
    pub(super) fn take(&mut self, request: Request, now: Instant) -> Option<Send> {
        if is_read(&request.call) || (self.waiting.is_empty() && self.turn.is_none()) {
            return self.send(request, now);
        }
        self.waiting.push_back(request);
        None
    }

    /// Takes a call that comes too late.
    pub(super) fn put_aside(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// What is to be sent next of what waits: one after the other, in the order in which they were made.
    pub(super) fn next(&mut self, now: Instant) -> Option<Send> {
        if self.turn.is_some_and(|(_, until)| now < until) {
            return None;
        }
        self.turn = None;
        while let Some(request) = self.waiting.pop_front() {
            if let Some(send) = self.send(request, now) {
                self.turn = Some((send.id, now + TURN));
                return Some(send);
            }
        }
        None
    }

    /// When to look for the next again, where no answer says so before.
    pub(super) fn turn(&self) -> Option<Instant> {
        self.turn.filter(|_| !self.waiting.is_empty()).map(|(_, until)| until)
    }

    /// An answer came, or none came in time. Gives the error that the connection was lost by.
    pub(super) fn answered(&mut self, id: u64, answer: Result<Box<RawValue>>) -> Option<Error> {
        if self.turn.is_some_and(|(turn, _)| turn == id) {
            self.turn = None;
        }
        let lost = answer.as_ref().err().filter(|error| *error.kind() == ErrorKind::Disconnected).cloned();
        let request = self.sent.remove(&id)?;
        match &lost {
            Some(error) => {
                if let Some(request) = after_loss(request, error) {
                    // It is put where it was when the rest of what was sent is.
                    self.sent.insert(id, request);
                }
            }
            // Whoever waited may have gone.
            None => drop(request.reply.send(answer)),
        }
        lost
    }

    /// The connection is gone. What is safe to send again waits, before what waited already.
    pub(super) fn lost(&mut self, error: &Error) {
        self.turn = None;
        // What the connection died of says nothing of a call that it did not fail.
        let error = Error::new(ErrorKind::Disconnected, error.to_string()).with_source(error.clone());
        for request in std::mem::take(&mut self.sent).into_values().rev() {
            if let Some(request) = after_loss(request, &error) {
                self.waiting.push_front(request);
            }
        }
    }

    /// Nothing is sent any more.
    pub(super) fn close(&mut self, error: &Error) {
        for request in self.waiting.drain(..) {
            let delivery = request.sending.delivery();
            request.fail(error.clone().with_delivery(delivery));
        }
        for request in std::mem::take(&mut self.sent).into_values() {
            request.fail(error.clone().with_delivery(Delivery::Unknown));
        }
    }

    fn send(&mut self, request: Request, now: Instant) -> Option<Send> {
        if request.is_over() || now >= request.deadline || !request.sending.send() {
            return None;
        }
        self.next += 1;
        let send = Send { id: self.next, call: request.call.clone(), deadline: request.deadline };
        self.sent.insert(send.id, request);
        Some(send)
    }
}

/// What becomes of a call whose connection was lost before its answer came: `Some` where it is sent again.
fn after_loss(mut request: Request, error: &Error) -> Option<Request> {
    if request.is_over() {
        return None;
    }
    if error.delivery() == Some(Delivery::NotSent) && !request.left {
        request.sending.did_not_leave();
    }
    if request.sending.is_waiting() {
        return Some(request);
    }
    if is_idempotent(&request.call) {
        request.left = true;
        return Some(request);
    }
    request.fail(error.clone().with_delivery(Delivery::Unknown));
    None
}

fn away(message: &str) -> Error {
    Error::new(ErrorKind::Disconnected, message).with_delivery(Delivery::NotSent)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
