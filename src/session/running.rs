//! A turn whose prompt was posted: waits for its response, within the limits.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{ListEventsRequest, PersistError, PersistErrorKind, SessionEvent};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::core::{Live, SessionCore};
use super::memo::{LongTurn, Memo};
use super::queue::{AnswerReceiver, Ticket};
use super::view::{SessionEventExt, is_work};
use crate::acp::Answer;
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};
use crate::limits::after;

/// How many events after a prompt are looked at for a sign of the agent's work.
const EVIDENCE: usize = 1_000;
/// The word to stop may overtake the prompt, on connections of their own: it is said once more.
const OVERTAKEN: Duration = Duration::from_secs(1);
/// A turn of so many events is long: less than what is read of a record to find its beginning.
const LONG: u64 = 4_000;

/// A turn whose prompt was posted.
pub(super) struct Running<'a> {
    pub(super) core: &'a Arc<SessionCore>,
    pub(super) live: &'a Live,
    pub(super) ticket: &'a Ticket,
    /// The index of the prompt.
    pub(super) stored: u64,
    /// It was found running, so that nobody knows whether the agent has its prompt.
    pub(super) adopted: bool,
}

impl Running<'_> {
    /// Waits for the response, within the limits.
    pub(super) async fn wait(&self, answer: AnswerReceiver, rpc_id: &str) -> Result<Arc<SessionEvent>> {
        let ended = tokio::select! {
            ended = self.answered(answer) => ended,
            never = self.keep_found(rpc_id) => never,
        };
        if Memo::read(&self.core.record()).turn.is_some() {
            let cleared =
                self.core.change_record(|record| Memo::change(record, |memo| memo.turn = None)).await;
            if let Err(error) = cleared {
                tracing::debug!(session = %self.core.id, %error, "the end of a long turn could not be noted");
            }
        }
        ended
    }

    /// Of a long turn, notes its beginning in the record from time to time. Never returns.
    async fn keep_found<T>(&self, rpc_id: &str) -> T {
        let mut mark = self.core.tail.watch();
        // Where events are evicted, the beginning may be gone long before.
        let evicts = self.core.store.driver().capabilities().evicts;
        let mut next = if evicts { self.stored } else { self.stored.saturating_add(LONG) };
        // The tail is the core's, so that the wait can't fail.
        while mark.wait_for(|mark| mark.last >= next).await.is_ok() {
            next = self.core.tail.last().saturating_add(LONG);
            let turn = LongTurn {
                server_id: self.live.link.server_id.clone(),
                rpc_id: rpc_id.to_owned(),
                index: self.stored,
                permissions: self.core.permissions.list().iter().map(|request| request.event_index).collect(),
            };
            let noted = self.core.change_record(|record| {
                Memo::change(record, |memo| memo.turn = Some(turn));
            });
            if let Err(error) = noted.await {
                tracing::warn!(session = %self.core.id, %error, "the beginning of a long turn could not be noted");
            }
        }
        std::future::pending().await
    }

    async fn answered(&self, mut answer: AnswerReceiver) -> Result<Arc<SessionEvent>> {
        let started = Instant::now();
        let mut permissions = self.core.permissions.watch();
        // Until when nothing has to show that the agent has the prompt.
        let mut unconfirmed = self.adopted.then(|| after(started, self.core.limits.unconfirmed));
        loop {
            let (deadline, limit) = self.deadline(started, unconfirmed);
            tokio::select! {
                biased;
                answered = &mut answer => return self.judge(answered).await,
                () = self.ticket.cancel.cancelled() => return self.cancel(answer).await,
                () = sleep_until(deadline) => {
                    // The agent may have spoken since the deadline was taken.
                    if self.deadline(started, unconfirmed).0 > Instant::now() {
                        continue;
                    }
                    if limit == Limit::Unconfirmed {
                        unconfirmed = match self.evidence().await {
                            Ok(true) => None,
                            Ok(false) => return self.disown(answer).await,
                            // A store that can't be read says nothing of the agent.
                            Err(_) => Some(after(Instant::now(), self.core.limits.unconfirmed)),
                        };
                    } else {
                        let ended = self.cancel(answer).await;
                        let executed = ended.is_ok();
                        return Err(self.ran_out(limit, executed).await);
                    }
                }
                changed = permissions.changed() => {
                    if changed.is_err() { return Err(Error::closed()) }
                    self.core.touch();
                }
            }
        }
    }

    /// The next limit that ends the turn.
    fn deadline(&self, started: Instant, unconfirmed: Option<Instant>) -> (Instant, Limit) {
        let limits = &self.core.limits;
        let asked = self.core.permissions.oldest();
        let total = limits.turn.map(|limit| (after(started, limit), Limit::Turn));
        let waiting = match asked {
            Some(since) => limits.permission.map(|limit| (after(since, limit), Limit::Permission)),
            None => {
                // An agent that waits for a handler has nothing to say; handlers have limits of their own.
                let heard = if self.core.handling.is_idle() { self.core.activity() } else { Instant::now() };
                limits.silence.map(|limit| (after(heard.max(started), limit), Limit::Silence))
            }
        };
        let unconfirmed = unconfirmed.filter(|_| asked.is_none()).map(|until| (until, Limit::Unconfirmed));
        let next = total.into_iter().chain(waiting).chain(unconfirmed).min_by_key(|(deadline, _)| *deadline);
        next.unwrap_or_else(|| (after(started, Duration::MAX), Limit::Turn))
    }

    async fn judge(&self, answered: Result<Answer, oneshot::error::RecvError>) -> Result<Arc<SessionEvent>> {
        match answered.unwrap_or_else(|_| Err(Error::closed())) {
            Ok(event) => Ok(event),
            Err(error) if error.delivery() == Some(Delivery::NotSent) => Err(error),
            Err(error) => Err(error.with_delivery(self.delivery().await)),
        }
    }

    /// What is known without a response: an agent that works since the prompt was stored got it.
    async fn delivery(&self) -> Delivery {
        if self.evidence().await.unwrap_or(false) { Delivery::Executed } else { Delivery::Unknown }
    }

    /// Whether the agent has worked since the prompt was stored.
    async fn evidence(&self) -> Result<bool, PersistError> {
        let ours = |event: &&SessionEvent| event.connection_id == self.live.link.server_id;
        let mut after = self.stored;
        loop {
            let request = ListEventsRequest::new(&self.core.id).after_index(after).limit(EVIDENCE);
            match self.core.store.list_events(&request).await {
                Ok(page) => return Ok(page.items.iter().filter(ours).any(|event| is_work(&event.view()))),
                Err(error) => match error.kind() {
                    PersistErrorKind::Evicted { to, .. } if to > after => after = to,
                    _ => return Err(error),
                },
            }
        }
    }

    /// Has the agent end the turn; where it doesn't, ends its process.
    async fn cancel(&self, mut answer: AnswerReceiver) -> Result<Arc<SessionEvent>> {
        let (core, link) = (self.core, &self.live.link);
        let limit = core.limits.cancel;
        let settle = async {
            let mut permissions = core.permissions.watch();
            core.cancel_permissions().await;
            core.handling.cancel_all();
            self.tell_to_stop().await;
            let mut again = Some(Instant::now() + OVERTAKEN);
            loop {
                tokio::select! {
                    biased;
                    answered = &mut answer => return self.judge(answered).await,
                    // One that was asked on the way.
                    _ = permissions.changed() => core.cancel_permissions().await,
                    () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                        again = None;
                        self.tell_to_stop().await;
                    }
                }
            }
        };
        match timeout(limit, settle).await {
            Ok(ended) => ended,
            Err(_) => {
                let error = Error::new(
                    ErrorKind::TimedOut(Limit::Cancel),
                    format!(
                        "the agent did not end the cancelled turn within {limit:?}; its process was ended"
                    ),
                )
                .with_delivery(self.delivery().await);
                if matches!(core.may_end_process().await, Ok(true)) {
                    core.end_process(link, &error, "cancelled").await;
                }
                Err(error)
            }
        }
    }

    async fn tell_to_stop(&self) {
        let params = json!({ "sessionId": self.live.agent_session_id });
        if let Err(error) = self.core.notify(&self.live.link, "session/cancel", params).await {
            tracing::debug!(session = %self.core.id, %error, "the agent could not be told to stop");
        }
    }

    /// The agent shows no sign of having the prompt. Should it have it all the same, it is told to
    /// stop; it owes an answer then.
    async fn disown(&self, answer: AnswerReceiver) -> Result<Arc<SessionEvent>> {
        let limits = &self.core.limits;
        self.tell_to_stop().await;
        match timeout(limits.cancel, answer).await {
            Ok(answered) => self.judge(answered).await,
            Err(_) => Err(Error::new(
                ErrorKind::TimedOut(Limit::Unconfirmed),
                format!(
                    "since the session was reattached, nothing showed within {:?} that the agent has the prompt",
                    limits.unconfirmed
                ),
            )
            .with_delivery(Delivery::Unknown)),
        }
    }

    async fn ran_out(&self, limit: Limit, executed: bool) -> Error {
        let limits = &self.core.limits;
        let (what, bound) = match limit {
            Limit::Silence => ("nothing came from the agent for", limits.silence),
            Limit::Permission => ("a permission was not answered within", limits.permission),
            _ => ("the turn lasted longer than", limits.turn),
        };
        let bound = bound.unwrap_or_default();
        let delivery = if executed { Delivery::Executed } else { self.delivery().await };
        Error::new(ErrorKind::TimedOut(limit), format!("{what} {bound:?}; the turn was cancelled"))
            .with_delivery(delivery)
    }
}
