//! The handle of a session.

use std::sync::Arc;

use futures::StreamExt;
use sandbox_agent_persist::{Lease, RawValue, SessionEvent, SessionRecord};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::callback::Callback;
use super::core::SessionCore;
use super::events::{Events, From, Subscription};
use super::key;
use super::open::Ready;
use super::outcome::Opened;
use super::permission::{PermissionReply, PermissionRequest, PermissionRequests, PermissionSubscription};
use super::prompt::Prompt;
use super::queue::{Job, Ticket};
use super::request::Wish;
use super::state::SessionState;
use super::turn::Turn;
use crate::acp::read_answer;
use crate::client::Guard;
use crate::error::{Delivery, Error, ErrorKind, Result};

/// A session with an agent: prompts go in, events come out, all of it is recorded.
///
/// A cheap clone of the same session. It lives as long as its SDK or any handle of a session.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) core: Arc<SessionCore>,
    pub(super) guard: Arc<Guard>,
}

impl Session {
    pub(crate) fn new(core: Arc<SessionCore>, guard: Arc<Guard>) -> Self {
        Self { core, guard }
    }

    pub(crate) fn core(&self) -> &Arc<SessionCore> {
        &self.core
    }

    /// The caller's id of the session.
    pub fn id(&self) -> &str {
        &self.core.id
    }

    /// The record as the store has it.
    pub fn record(&self) -> SessionRecord {
        self.core.record()
    }

    /// The index of the newest event that is stored; 0 before the first.
    pub fn last_index(&self) -> u64 {
        self.core.tail.last()
    }

    /// Who holds the session, where the store grants leases; `None` when nobody does.
    ///
    /// Bounded by [`Limits::store`](crate::Limits::store).
    pub async fn lease(&self) -> Result<Option<Lease>> {
        self.core.lease_in_force().await
    }

    /// What the session is doing, to watch.
    pub fn state(&self) -> watch::Receiver<SessionState> {
        self.core.state.watch()
    }

    /// Queues a prompt: text, a block, blocks, or a [`Prompt`] with an idempotency key.
    ///
    /// It is queued when this returns, so that the order of calls is the order of turns, and it
    /// runs even when the [`Turn`] is dropped. A session without an agent process gets one first.
    /// It is sent once; an error says by [`delivery`](Error::delivery) whether the agent got it.
    /// The call itself does not wait; [`Turn`] says what bounds the turn. A permission that the
    /// agent asks for has to be answered, or left to a [policy](crate::PermissionPolicy): until
    /// then the turn waits.
    pub fn prompt(&self, prompt: impl Into<Prompt>) -> Turn {
        let ticket = Ticket::default();
        let job = Job { prompt: prompt.into(), ticket: ticket.clone() };
        self.core.queue.push(job, |kind| {
            let error = match kind {
                ErrorKind::Busy => Error::new(kind, "a turn runs, and the prompt was not to wait"),
                ErrorKind::QueueFull => {
                    Error::new(kind, "as many prompts wait as the queue takes; wait for one to end")
                }
                _ => self.core.end_error(),
            };
            error.with_delivery(Delivery::NotSent)
        });
        Turn::new(self.core.clone(), ticket, self.guard.clone())
    }

    /// The turn that runs, whoever began it: another handle, or, where the session was
    /// [reattached](crate::ResumeOutcome::Reattached), another process. `None` between turns.
    pub fn running_turn(&self) -> Option<Turn> {
        let ticket = self.core.queue.current()?;
        Some(Turn::new(self.core.clone(), ticket, self.guard.clone()))
    }

    /// What the record says of the prompt with this idempotency key: after a restart, or after an
    /// error that said [`Unknown`](Delivery::Unknown). `None` when there is no such prompt among the
    /// session's newest 10,000 events.
    ///
    /// The longer after [reattaching](crate::ResumeOutcome::Reattached), the better the answer: an agent's
    /// response, or its work, settles what was unknown. Bounded by [`Limits::store`](crate::Limits::store)
    /// for each page that is read.
    pub async fn delivery(&self, idempotency_key: &str) -> Result<Option<Delivery>> {
        key::look_up(&self.core.store, &self.core.id, idempotency_key).await
    }

    /// Cancels the running turn, if there is one; prompts that wait behind it run.
    ///
    /// Returns at once; [`Turn::cancel`] does the same, waits for the end, and says what happens
    /// when the agent does not stop.
    pub fn cancel(&self) {
        if let Some(ticket) = self.core.queue.current() {
            ticket.cancel.cancel();
        }
    }

    /// The session's events from anywhere on: stored, then live.
    pub fn events(&self, from: From) -> Events {
        Events::new(&self.core, from)
    }

    /// Calls `callback` with every event that is stored from now on, until the subscription is dropped.
    ///
    /// It runs on a thread of its own. Where the system has none to give, nothing is called, and
    /// [`caught_up`](Subscription::caught_up) fails.
    #[must_use = "dropping the subscription ends it"]
    pub fn on_event(&self, callback: impl FnMut(&SessionEvent) + Send + 'static) -> Subscription {
        self.on_event_from(From::Now, callback)
    }

    /// The same from anywhere on.
    #[must_use = "dropping the subscription ends it"]
    pub fn on_event_from(
        &self,
        from: From,
        callback: impl FnMut(&SessionEvent) + Send + 'static,
    ) -> Subscription {
        Subscription::new(self.core.clone(), from, callback)
    }

    /// The permission requests that wait for an answer, oldest first.
    pub fn pending_permissions(&self) -> Vec<PermissionRequest> {
        self.core.permissions.list()
    }

    /// The permission requests as a stream: those that are pending, then those that come.
    pub fn permission_requests(&self) -> PermissionRequests {
        let closed = self.core.stop.clone().cancelled_owned();
        PermissionRequests::new(self.core.permissions.clone(), closed)
    }

    /// Calls `callback` with every permission request, until the subscription is dropped.
    ///
    /// Those that are pending come first. The callback runs on a thread of its own; it, or
    /// anybody else, answers with [`respond`](Self::respond) or [`respond_detached`](Self::respond_detached).
    #[must_use = "dropping the subscription ends it"]
    pub fn on_permission_request(
        &self,
        mut callback: impl FnMut(PermissionRequest) + Send + 'static,
    ) -> PermissionSubscription {
        let requests = self.permission_requests().map(|request| (request.event_index, request));
        let callback =
            Callback::start(&self.core.runtime, "session-permissions", 0, requests, move |request| {
                callback(request)
            });
        PermissionSubscription { _callback: callback }
    }

    /// Answers a permission request. The first answer counts.
    ///
    /// The answer is stored before it is sent. Fails with
    /// [`PermissionGone`](ErrorKind::PermissionGone) when it was answered or its turn ended, and with
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the agent doesn't offer that answer; with
    /// [`Held`](ErrorKind::Held) when another SDK holds the session, whose users answer. After an
    /// error with the delivery [`NotSent`](Delivery::NotSent) the request is listed again. Bounded by
    /// [`Limits::store`](crate::Limits::store) for each of what waits to be stored, and 10 s for the
    /// server to take it. Dropping the call does not take the answer back.
    pub async fn respond(&self, request_id: &str, reply: PermissionReply) -> Result<()> {
        let claim = match self.core.permissions.claim(request_id, &reply) {
            Err(error) if *error.kind() == ErrorKind::PermissionGone => {
                self.core.check_held().await?;
                return Err(error);
            }
            claim => claim?,
        };
        let core = self.core.clone();
        // Apart, so that a dropped call can't leave an answer half sent.
        let answering = self.core.runtime.spawn(async move {
            let outcome = json!({ "outcome": { "outcome": "selected", "optionId": claim.option } });
            let sent = core.reply(&claim.link, &claim.rpc_id, claim.attempt, Ok(outcome)).await;
            match &sent {
                Err(error) if *error.kind() == ErrorKind::PermissionGone => {
                    core.permissions.remove(claim.event_index);
                }
                Err(error) if error.delivery() == Some(Delivery::NotSent) => {
                    core.permissions.unclaim(claim.event_index);
                }
                _ => core.permissions.remove(claim.event_index),
            }
            core.permissions_changed();
            sent
        });
        answering.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    /// Answers a permission request from where nothing can be awaited, such as a callback. An
    /// error is logged, and the request listed again.
    pub fn respond_detached(&self, request_id: impl Into<String>, reply: PermissionReply) {
        let (session, id) = (self.clone(), request_id.into());
        self.core.runtime.spawn(async move {
            if let Err(error) = session.respond(&id, reply).await {
                tracing::warn!(session = %session.id(), %error, "a permission request could not be answered");
            }
        });
    }

    /// Sends any request to the agent and gives its result.
    ///
    /// The agent's session id is added to the parameters when they are an object without one.
    /// Both envelopes are recorded. A prompt has to go through [`prompt`](Self::prompt). Bounded by
    /// [`Limits::request`](crate::Limits::request), and before that by what opening the session takes.
    pub async fn raw_send(&self, method: &str, params: Value) -> Result<Box<RawValue>> {
        if method == sandbox_agent_persist::envelope::PROMPT {
            return Err(Error::invalid("send prompts with `prompt`: it keeps their order and their end"));
        }
        let live = self.core.ensure_live(Wish::default()).await?.live;
        let params = with_session(params, &live.agent_session_id);
        let answer = self.core.call(&live.link, method, params.clone()).await?;
        let result: Box<RawValue> = read_answer(&answer.payload)?;
        if let Err(error) = self.core.remember_change(method, &params, &result).await {
            tracing::warn!(session = %self.core.id, %error, method, "the setting holds, but could not be kept");
        }
        Ok(result)
    }

    /// Sends any notification to the agent; recorded, and bounded, as [`raw_send`](Self::raw_send) is.
    pub async fn raw_notify(&self, method: &str, params: Value) -> Result<()> {
        let live = self.core.ensure_live(Wish::default()).await?.live;
        self.core.notify(&live.link, method, with_session(params, &live.agent_session_id)).await
    }

    pub(crate) async fn open(self, wish: Wish) -> Result<Opened> {
        let Ready { outcome, not_restored, .. } = self.core.ensure_live(wish).await?;
        Ok(Opened { session: self, outcome, not_restored })
    }
}

fn with_session(params: Value, agent_session_id: &str) -> Value {
    match params {
        Value::Object(mut params) => {
            params.entry("sessionId").or_insert_with(|| json!(agent_session_id));
            Value::Object(params)
        }
        Value::Null => json!({ "sessionId": agent_session_id }),
        other => other,
    }
}
