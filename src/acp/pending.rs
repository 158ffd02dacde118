//! Who waits for which answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::{RawValue, SessionEvent};
use tokio::sync::oneshot;

use crate::error::{Delivery, Error, Result};

/// What a request gets: the stored response.
pub(crate) type Answer = Result<Arc<SessionEvent>>;

/// The requests of one process that have no answer yet, by the JSON text of their id.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashMap<String, Waiting>>);

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Answer>,
    /// The POST's own answer, should the stream's copy be lost.
    hint: Option<Box<RawValue>>,
    /// Whether the request may have left.
    left: bool,
}

impl Pending {
    pub(crate) fn register(&self, id: String) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        self.lock().insert(id, Waiting { answer, hint: None, left: false });
        receiver
    }

    pub(crate) fn complete(&self, id: &str, answer: Answer) -> bool {
        match self.lock().remove(id) {
            // A receiver that is gone wants no answer.
            Some(waiting) => waiting.answer.send(answer).is_ok(),
            None => false,
        }
    }

    /// Ends all of them; what never left was not sent, whatever the error.
    pub(crate) fn fail_all(&self, error: &Error) {
        for (_, waiting) in self.lock().drain() {
            let error = error.clone();
            let error = if waiting.left { error } else { error.with_delivery(Delivery::NotSent) };
            let _ = waiting.answer.send(Err(error));
        }
    }

    pub(crate) fn set_left(&self, id: &str, left: bool) {
        if let Some(waiting) = self.lock().get_mut(id) {
            waiting.left = left;
        }
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Keeps the POST's answer; false when nobody waits for it any more.
    pub(crate) fn hint(&self, id: &str, payload: Box<RawValue>) -> bool {
        match self.lock().get_mut(id) {
            Some(waiting) => {
                waiting.hint = Some(payload);
                true
            }
            None => false,
        }
    }

    /// The requests that a POST has answered and the stream has not.
    pub(crate) fn hinted(&self) -> Vec<String> {
        let waiting = self.lock();
        waiting.iter().filter(|(_, one)| one.hint.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// The POST's answer to a request that still waits.
    pub(crate) fn take_hint(&self, id: &str) -> Option<Box<RawValue>> {
        self.lock().get_mut(id)?.hint.take()
    }

    /// Nothing panics while it holds the lock, and the map is whole at every step.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod model;
