//! The way out of what is no prompt: stored first, then sent.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{Sender, envelope};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::Instrument;

use super::core::SessionCore;
use super::dispatch::answered_already;
use super::ids;
use super::recorder::Draft;
use crate::acp::{Answer, Link, Outbound};
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};

/// How long the note of a process's end may wait behind what the store still has to take.
const NOTE: Duration = Duration::from_secs(1);

impl SessionCore {
    /// Records an envelope of ours, and says when it may be sent: by its index.
    pub(crate) async fn store_outbound(&self, link: &Link, outbound: &Outbound) -> Result<u64> {
        let stored = self.store_as(&link.server_id, ids::outbound(&link.server_id), outbound).await?;
        stored.ok_or_else(|| Error::protocol("the store says that it has an id that is new"))
    }

    /// The same under an id that may be taken: `None` then. Otherwise the event's index.
    pub(crate) async fn store_as(
        &self,
        server_id: &str,
        id: String,
        outbound: &Outbound,
    ) -> Result<Option<u64>> {
        let draft = Draft {
            id,
            connection_id: server_id.to_owned(),
            sender: Sender::Client,
            payload: outbound.payload.clone(),
            permit: None,
        };
        let stored = self.recorder.store(draft).await.map_err(|error| match error.kind() {
            // Nothing is recorded any more, which has a reason.
            ErrorKind::Closed => self.end_error().with_delivery(Delivery::NotSent),
            _ => error,
        });
        Ok(stored?.map(|event| event.event_index))
    }

    /// Sends a request and waits for its answer, within the limit for requests.
    pub(crate) async fn call(&self, link: &Arc<Link>, method: &str, params: impl Serialize) -> Answer {
        self.ask(link, method, &Outbound::request(method, params)?).await
    }

    /// The same with a request that is made already.
    pub(crate) async fn ask(&self, link: &Arc<Link>, method: &str, outbound: &Outbound) -> Answer {
        let span = tracing::debug_span!("request", session = %self.id, server_id = %link.server_id, method);
        let asked = async {
            if link.pending.len() >= self.limits.pending_requests {
                return Err(too_many(self.limits.pending_requests));
            }
            let rpc_id = outbound.rpc_id.clone().unwrap_or_default();
            self.store_outbound(link, outbound).await?;
            let _forget = Forget { link, rpc_id: &rpc_id };
            let answer = link.expect_answer(rpc_id.clone());
            link.post_request(rpc_id.clone(), &outbound.payload);
            match self.stop.run_until_cancelled(timeout(self.limits.request, answer)).await {
                Some(Ok(Ok(answer))) => answer,
                Some(Err(_)) => Err(timed_out(method, self.limits.request)),
                Some(Ok(Err(_))) | None => Err(self.end_error().with_delivery(Delivery::Unknown)),
            }
        };
        asked.instrument(span).await
    }

    /// Records a notification and sends it.
    pub(crate) async fn notify(&self, link: &Link, method: &str, params: impl Serialize) -> Result<()> {
        let outbound = Outbound::notification(method, params)?;
        self.store_outbound(link, &outbound).await?;
        link.post_notification(&outbound.payload).await
    }

    /// Records the answer to a request of the agent's and sends it: once, whoever reads the process.
    /// An attempt that was not sent leaves the answer to the next one.
    pub(crate) async fn reply(
        &self,
        link: &Link,
        rpc_id: &str,
        attempt: u32,
        answer: Result<Value, Value>,
    ) -> Result<()> {
        let outbound = Outbound::reply(rpc_id, answer)?;
        let id = ids::reply(&link.server_id, rpc_id, attempt);
        if self.store_as(&link.server_id, id, &outbound).await?.is_none() {
            let message = "somebody else answered this request of the agent's";
            return Err(Error::new(ErrorKind::PermissionGone, message).with_delivery(Delivery::NotSent));
        }
        link.post_reply(&outbound.payload).await
    }

    /// Records what no envelope says, of a process. The session's own end is no reason to fail.
    pub(crate) async fn note_of(&self, server_id: &str, method: &str, params: Value) {
        self.note_as(server_id, ids::outbound(server_id), method, params).await;
    }

    /// Whether it is in the record.
    async fn note_as(&self, server_id: &str, id: String, method: &str, params: Value) -> bool {
        let Ok(outbound) = Outbound::notification(method, params) else { return false };
        let stored = self.store_as(server_id, id, &outbound).await;
        if let Err(error) = &stored {
            tracing::debug!(session = %self.id, %error, method, "could not be recorded");
        }
        stored.is_ok()
    }

    /// Ends a process of ours, and records how far it was heard. Bounded by 3 s, and where that can't be
    /// recorded by one call of the store more.
    pub(crate) async fn end_process(&self, link: &Link, error: &Error, reason: &str) {
        // Buried first: a call in flight would keep the process alive, and nothing more is read of it.
        link.bury(error);
        match self.sign_off(link, reason).await {
            Ok(true) => link.delete().await,
            Ok(false) => {}
            Err(error) => {
                let (session, server) = (&self.id, &link.server_id);
                tracing::warn!(%session, %server, %error, "an agent process goes on: it may be another SDK's by now");
            }
        }
    }

    /// Records that a process of ours was ended, and how far it was heard. Whether that is recorded now.
    pub(crate) async fn note_end_of(&self, link: &Link, reason: &str) -> bool {
        let (server_id, last) = (&link.server_id, link.done());
        let params = json!({ "serverId": server_id, "lastEventId": last, "reason": reason });
        let note = self.note_as(server_id, ids::ended(server_id), envelope::PROCESS_ENDED, params);
        timeout(NOTE, note).await.unwrap_or(false)
    }

    /// Records that a process of ours is ended, before it is. Whether it may be: whoever takes the session over
    /// behind the note leaves the process alone, and without it they may be at it by now, or nobody knows.
    pub(super) async fn sign_off(&self, link: &Link, reason: &str) -> Result<bool> {
        if self.note_end_of(link, reason).await {
            return Ok(true);
        }
        self.may_end_process().await
    }

    /// Answers "cancelled" to every permission request that nobody answered.
    pub(crate) async fn cancel_permissions(&self) {
        for (link, rpc_id, attempt) in self.permissions.clear() {
            self.permissions_changed();
            if link.is_dead() {
                continue;
            }
            let outcome = json!({ "outcome": { "outcome": "cancelled" } });
            let sent = self.reply(&link, &rpc_id, attempt, Ok(outcome)).await;
            if let Err(error) = sent.or_else(answered_already) {
                tracing::debug!(session = %self.id, %error, "a permission request could not be cancelled");
            }
        }
    }
}

/// A request that nobody waits for any more needs no answer.
struct Forget<'a> {
    link: &'a Link,
    rpc_id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.link.pending.forget(self.rpc_id);
    }
}

fn too_many(limit: usize) -> Error {
    let message =
        format!("{limit} requests of this session wait for the agent's answer; wait for one of them");
    Error::new(ErrorKind::QueueFull, message).with_delivery(Delivery::NotSent)
}

fn timed_out(method: &str, limit: Duration) -> Error {
    Error::new(
        ErrorKind::TimedOut(Limit::Request),
        format!("the agent did not answer {method:?} within {limit:?}"),
    )
    .with_delivery(Delivery::Unknown)
}
