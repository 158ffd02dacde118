//! Runs a session's prompts, one after the other, each until it has an outcome.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sandbox_agent_persist::{ListEventsRequest, SessionEvent, envelope};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::core::{Live, SessionCore};
use super::key;
use super::prompt::Prompt;
use super::transcript;
use super::turn::{Outcome, Progress, cancelled};
use super::view::{SessionEventExt, is_work};
use crate::acp::{Answer, Link, Outbound, read_answer};
use crate::acp_types::PromptResponse;
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};
use crate::limits::after;

/// Where a prompt says in `_meta` by which key it is known.
const KEY: &str = "sandboxAgent/idempotencyKey";

/// How many events after a prompt are looked at for a sign of the agent's work.
const EVIDENCE: usize = 1_000;

/// A prompt in the queue.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prompt: Prompt,
    pub(crate) progress: Arc<watch::Sender<Progress>>,
    pub(crate) cancel: CancellationToken,
}

impl Job {
    /// What is known of a prompt when the SDK ends; the agent may go on with it.
    fn delivery(&self) -> Delivery {
        if self.progress.borrow().first.is_some() { Delivery::Unknown } else { Delivery::NotSent }
    }

    pub(crate) fn end(&self, last: u64, result: Result<PromptResponse>) {
        self.progress.send_modify(|progress| {
            progress.outcome.get_or_insert(Outcome { last, result });
        });
    }
}

/// Whatever becomes of a prompt, whoever waits for it is told.
impl Drop for Job {
    fn drop(&mut self) {
        self.end(0, Err(Error::closed().with_delivery(self.delivery())));
    }
}

pub(crate) async fn run(core: Arc<SessionCore>, mut jobs: mpsc::Receiver<Job>) {
    let stop = core.stop.clone();
    while let Some(Some(job)) = stop.run_until_cancelled(jobs.recv()).await {
        if !claim(&job) {
            continue;
        }
        core.set_running(Some(job.cancel.clone()));
        let outcome = stop.run_until_cancelled(turn(&core, &job)).await;
        core.set_running(None);
        let result = outcome.unwrap_or_else(|| Err(core.end_error().with_delivery(job.delivery())));
        job.end(core.tail.last(), result);
    }
}

/// Takes a prompt that was not cancelled while it waited.
fn claim(job: &Job) -> bool {
    job.progress.send_if_modified(|progress| {
        progress.running = progress.outcome.is_none();
        progress.running
    })
}

async fn turn(core: &Arc<SessionCore>, job: &Job) -> Result<PromptResponse> {
    let begun = job.cancel.run_until_cancelled(begin(core, job)).await;
    let Some(begun) = begun else {
        return Err(cancelled());
    };
    let Begun { live, outbound, rpc_id } = begun.map_err(|error| error.or_delivery(Delivery::NotSent))?;
    // From here on the prompt is stored: it is posted, or its end is recorded.
    let stored = store(core, job, &live.link, &outbound).await?;
    job.progress.send_modify(|progress| progress.first = Some(stored));
    let told = core.transcript_due.swap(false, Ordering::AcqRel);
    core.touch();
    let answer = live.link.expect_answer(rpc_id.clone());
    live.link.post_request(rpc_id.clone(), &outbound.payload);
    let ended = Running { core, live: &live, job, stored }.wait(answer).await;
    live.link.pending.forget(&rpc_id);
    core.cancel_permissions().await;
    match ended {
        Ok(event) => read_answer(&event.payload),
        Err(error) => {
            if told && error.delivery() == Some(Delivery::NotSent) {
                core.transcript_due.store(true, Ordering::Release);
            }
            let reason = reason(&error);
            let id: Value = serde_json::from_str(&rpc_id).unwrap_or_default();
            core.note(&live.link, envelope::TURN_ENDED, json!({ "id": id, "reason": reason })).await;
            Err(error)
        }
    }
}

struct Begun {
    live: Live,
    outbound: Outbound,
    rpc_id: String,
}

/// All that comes before the prompt is stored; dropping it leaves nothing behind.
async fn begin(core: &Arc<SessionCore>, job: &Job) -> Result<Begun> {
    let (live, _) = core.ensure_live().await?;
    let mut blocks = Vec::new();
    if core.transcript_due.load(Ordering::Acquire)
        && let Some(block) = transcript::block(&core.store, &core.id, core.limits.transcript_chars).await?
    {
        blocks.push(block);
    }
    for block in &job.prompt.blocks {
        blocks.push(
            serde_json::to_value(block)
                .map_err(|error| Error::invalid("the prompt can't be written as JSON").with_source(error))?,
        );
    }
    if job.prompt.key.as_deref() == Some("") {
        return Err(Error::invalid("an idempotency key must not be empty"));
    }
    if blocks.is_empty() {
        return Err(Error::invalid("a prompt needs at least one content block"));
    }
    let mut params = Map::new();
    params.insert("sessionId".into(), json!(live.agent_session_id));
    params.insert("prompt".into(), Value::Array(blocks));
    if let Some(key) = &job.prompt.key {
        params.insert("_meta".into(), json!({ KEY: key }));
    }
    let outbound = Outbound::request(envelope::PROMPT, params)?;
    let rpc_id = outbound.rpc_id.clone().unwrap_or_default();
    Ok(Begun { live, outbound, rpc_id })
}

/// Stores the prompt, under its key where it has one.
async fn store(core: &SessionCore, job: &Job, link: &Link, outbound: &Outbound) -> Result<u64> {
    let Some(key) = &job.prompt.key else {
        return core.store_outbound(link, outbound).await;
    };
    let mut attempt = 1;
    loop {
        let id = key::event_id(&core.id, key, attempt);
        if let Some(index) = core.store_as(link, id.clone(), outbound).await? {
            return Ok(index);
        }
        match key::delivery(&core.store, &core.id, &id).await? {
            Delivery::NotSent => attempt += 1,
            delivery => return Err(key::taken(delivery)),
        }
    }
}

/// Why a turn has no response, for the record.
fn reason(error: &Error) -> &'static str {
    match error.kind() {
        _ if error.delivery() == Some(Delivery::NotSent) => key::NOT_SENT,
        ErrorKind::AgentExited { .. } | ErrorKind::ProcessGone => "process_ended",
        ErrorKind::TimedOut(Limit::Cancel) | ErrorKind::Cancelled => "cancelled",
        ErrorKind::TimedOut(_) => "timed_out",
        _ => "lost",
    }
}

/// A turn whose prompt was posted.
struct Running<'a> {
    core: &'a Arc<SessionCore>,
    live: &'a Live,
    job: &'a Job,
    /// The index of the prompt.
    stored: u64,
}

impl Running<'_> {
    /// Waits for the response, within the limits.
    async fn wait(&self, mut answer: oneshot::Receiver<Answer>) -> Result<Arc<SessionEvent>> {
        let started = Instant::now();
        let mut permissions = self.core.permissions.watch();
        loop {
            let (deadline, limit) = self.deadline(started);
            tokio::select! {
                biased;
                answered = &mut answer => return self.judge(answered).await,
                () = self.job.cancel.cancelled() => return self.cancel(answer).await,
                () = sleep_until(deadline) => {
                    // The agent may have spoken since the deadline was taken.
                    if self.deadline(started).0 <= Instant::now() {
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
    fn deadline(&self, started: Instant) -> (Instant, Limit) {
        let limits = &self.core.limits;
        let asked = self.core.permissions.oldest();
        let total = limits.turn.map(|limit| (after(started, limit), Limit::Turn));
        let waiting = match asked {
            Some(since) => limits.permission.map(|limit| (after(since, limit), Limit::Permission)),
            None => {
                limits.silence.map(|limit| (after(self.core.activity().max(started), limit), Limit::Silence))
            }
        };
        let next = total.into_iter().chain(waiting).min_by_key(|(deadline, _)| *deadline);
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
        let store = &self.core.store;
        let request = ListEventsRequest::new(&self.core.id).after_index(self.stored).limit(EVIDENCE);
        let page = store.list_events(&request).await;
        let ours = |event: &&SessionEvent| event.connection_id == self.live.link.server_id;
        let worked =
            page.is_ok_and(|page| page.items.iter().filter(ours).any(|event| is_work(&event.view())));
        if worked { Delivery::Executed } else { Delivery::Unknown }
    }

    /// Has the agent end the turn; where it doesn't, ends its process.
    async fn cancel(&self, mut answer: oneshot::Receiver<Answer>) -> Result<Arc<SessionEvent>> {
        let (core, link) = (self.core, &self.live.link);
        let limit = core.limits.cancel;
        let settle = async {
            let mut permissions = core.permissions.watch();
            core.cancel_permissions().await;
            let params = json!({ "sessionId": self.live.agent_session_id });
            if let Err(error) = core.notify(link, "session/cancel", params).await {
                tracing::debug!(session = %core.id, %error, "the agent could not be told to stop");
            }
            loop {
                tokio::select! {
                    biased;
                    answered = &mut answer => return self.judge(answered).await,
                    // One that was asked on the way.
                    _ = permissions.changed() => core.cancel_permissions().await,
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
                // Buried first: a call in flight would keep the process alive.
                link.bury(&error);
                link.delete().await;
                Err(error)
            }
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
