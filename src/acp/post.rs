//! The way out: one POST an envelope. What it answers is a hint; the event stream is what counts.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use sandbox_agent_persist::RawValue;
use tokio::time::{Instant, sleep};

use super::link::Link;
use super::reader::Signal;
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};
use crate::http::{read_capped, within};
use crate::sse::Reconnect;

/// The stream's copy of an answer comes within milliseconds of the POST's; later, it was lost.
const OVERDUE: Duration = Duration::from_millis(250);
/// A notification or a reply is taken at once.
const TAKE: Duration = Duration::from_secs(10);
/// A live agent makes DELETE hang; the server ends the process when the call is given up.
const DELETE: Duration = Duration::from_secs(2);

impl Link {
    /// Sends a request; whatever becomes of it reaches whoever waits for `rpc_id`.
    pub(crate) fn post_request(self: &Arc<Self>, rpc_id: String, payload: &RawValue) {
        let (link, body) = (self.clone(), payload.get().to_owned());
        self.runtime.spawn(async move {
            let stop = link.stop.clone();
            let _ = stop.run_until_cancelled(link.request(rpc_id, body)).await;
        });
    }

    async fn request(&self, rpc_id: String, body: String) {
        let mut reconnect = Reconnect::new(self.limits.reconnect);
        loop {
            self.pending.set_left(&rpc_id, true);
            match self.post(&body).await {
                Ok(answer) => return self.answered(&rpc_id, answer).await,
                // It never left, so that sending it again can't make it run twice.
                Err(error) if never_left(&error) => {
                    self.pending.set_left(&rpc_id, false);
                    match reconnect.failed(Instant::now()) {
                        Some(delay) => sleep(delay).await,
                        None => return self.failed(&rpc_id, error),
                    }
                }
                Err(error) => return self.failed(&rpc_id, error),
            }
        }
    }

    fn failed(&self, rpc_id: &str, error: Error) {
        let problem = error.problem().map(|problem| (problem.status, problem.code()));
        match problem {
            // Only the first call names the agent: to any later one an unknown process is a bad request.
            Some((400, "invalid_request") | (404, "session_not_found")) if self.is_started() => {
                let error = gone(error);
                self.pending.complete(rpc_id, Err(error.clone()));
                self.died(error);
            }
            Some((502, "stream_error") | (500, "agent_process_exited")) => self.exited(exited(error)),
            // The agent may have it, and then the answer comes on the stream.
            Some((504, _) | (502 | 503, "")) => self.probe(),
            None if error.is_unreachable() && error.delivery() == Some(Delivery::Unknown) => self.probe(),
            _ => {
                // A proxy's refusal says nothing of the process, which may even have the message.
                if error.is_unauthorized() && error.delivery() == Some(Delivery::NotSent) {
                    self.died(error.clone());
                }
                self.pending.complete(rpc_id, Err(error));
            }
        }
    }

    fn probe(&self) {
        let _ = self.signals.send(Signal::Probe);
    }

    fn died(&self, error: Error) {
        let _ = self.signals.send(Signal::Died(error));
    }

    async fn answered(&self, rpc_id: &str, answer: Box<RawValue>) {
        if !self.pending.hint(rpc_id, answer) {
            return;
        }
        sleep(OVERDUE).await;
        if self.pending.contains(rpc_id) {
            self.probe();
        }
    }

    async fn post(&self, body: &str) -> Result<Box<RawValue>> {
        let response = self.http.accept(self.send(body).await?).await?;
        self.set_started();
        let body = read_capped(response, self.limits.event_bytes).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::new(ErrorKind::Unreachable, "the server's answer broke off").with_source(error)
        })
    }

    async fn send(&self, body: &str) -> Result<reqwest::Response> {
        let limit = self.limits.message_bytes;
        if body.len() > limit {
            let message =
                format!("a message of {} bytes is larger than the {limit} that are taken", body.len());
            return Err(Error::new(ErrorKind::TooLarge { limit }, message).with_delivery(Delivery::NotSent));
        }
        // Were a later call to name the agent, a server that was restarted would start another process for it.
        let agent = [("agent", self.agent.as_str())];
        let query = if self.is_started() { &[][..] } else { &agent[..] };
        self.counters.messages_sent.increment();
        let request = self
            .http
            .request_with(Method::POST, &["v1", "acp", &self.server_id], query)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        self.http.send(request).await.inspect_err(|_| self.counters.posts_failed.increment())
    }

    /// Sends a notification, within 10 s, once. As in all calls here the time of a token provider is added.
    pub(crate) async fn post_notification(&self, payload: &RawValue) -> Result<()> {
        within(TAKE, self.take(payload)).await.unwrap_or_else(|_| Err(not_taken()))
    }

    /// Sends an answer to the agent, within 10 s. The agent takes the first of several for a
    /// request, so one that may not have arrived is sent again.
    pub(crate) async fn post_reply(&self, payload: &RawValue) -> Result<()> {
        within(TAKE, self.reply(payload)).await.unwrap_or_else(|_| Err(not_taken()))
    }

    async fn reply(&self, payload: &RawValue) -> Result<()> {
        let mut reconnect = Reconnect::new(TAKE);
        loop {
            let Err(error) = self.take(payload).await else { return Ok(()) };
            let passing = error.is_unreachable()
                || *error.kind() == ErrorKind::TokenUnavailable
                || error.problem().is_some_and(|problem| problem.status >= 500 && problem.code().is_empty());
            match reconnect.failed(Instant::now()) {
                Some(delay) if passing => sleep(delay).await,
                _ => return Err(error),
            }
        }
    }

    async fn take(&self, payload: &RawValue) -> Result<()> {
        self.http.accept(self.send(payload.get()).await?).await.map(drop)
    }

    /// Ends the process, within 2 s.
    pub(crate) async fn delete(&self) {
        let request = self.http.request(Method::DELETE, &["v1", "acp", &self.server_id]);
        let _ = within(DELETE, self.http.send(request)).await;
    }
}

/// Whether it is sure that nobody got it, and whether that may change.
fn never_left(error: &Error) -> bool {
    let passing = error.is_unreachable() || *error.kind() == ErrorKind::TokenUnavailable;
    passing && error.delivery() == Some(Delivery::NotSent)
}

fn gone(error: Error) -> Error {
    Error::new(ErrorKind::ProcessGone, "the server no longer knows the agent's process")
        .with_source(error)
        .with_delivery(Delivery::NotSent)
}

fn exited(error: Error) -> Error {
    Error::new(ErrorKind::AgentExited { code: None }, "the agent's process exited")
        .with_source(error)
        .with_delivery(Delivery::Unknown)
}

fn not_taken() -> Error {
    Error::new(
        ErrorKind::TimedOut(Limit::Request),
        format!("the server did not take a message within {TAKE:?}"),
    )
    .with_delivery(Delivery::Unknown)
}
