//! What the parts of one session share.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandbox_agent_persist::{
    ListEventsRequest, PersistError, PersistErrorKind, Sender, SessionRecord, envelope,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::journal::Journal;
use super::permission::{PermissionPolicy, Permissions};
use super::recorder::{Draft, Recorder, Writer};
use super::runner::{self, Job};
use super::state::State;
use super::store::Store;
use super::tail::{End, Tail};
use crate::acp::{Answer, Link, Outbound};
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};
use crate::http::Http;
use crate::limits::Limits;

/// More prompts than this never wait: a queue of any size is made no larger.
const MOST_PROMPTS: usize = 1 << 20;
/// How long the note of a process's end may wait behind what the store still has to take.
const NOTE: Duration = Duration::from_secs(1);

/// One session of one SDK. Its tasks hold it; its users hold it together with the SDK's guard.
pub(crate) struct SessionCore {
    pub(crate) id: String,
    pub(crate) http: Http,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) runtime: Handle,
    pub(crate) tail: Arc<Tail>,
    pub(crate) recorder: Recorder,
    pub(crate) permissions: Arc<Permissions>,
    pub(crate) state: State,
    pub(crate) jobs: mpsc::Sender<Job>,
    /// The agent process in use. The lock is held while one is opened.
    pub(crate) live: tokio::sync::Mutex<Option<Live>>,
    /// The next prompt has to carry the history.
    pub(crate) transcript_due: AtomicBool,
    /// Ends the tasks; what was received is stored first.
    pub(crate) stop: CancellationToken,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    record: SessionRecord,
    policy: PermissionPolicy,
    link: Option<Arc<Link>>,
    /// The last process that was started, be the session open on it or not.
    opened_on: Option<String>,
    running: Option<CancellationToken>,
    /// When the agent last gave a sign of itself.
    activity: Instant,
}

/// An agent process with its session open.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) link: Arc<Link>,
    pub(crate) agent_session_id: String,
}

impl fmt::Debug for SessionCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("state", &*self.state.watch().borrow())
            .finish_non_exhaustive()
    }
}

/// What every session of an SDK is made from.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) http: Http,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
}

impl SessionCore {
    /// Starts the session's tasks; no agent process yet.
    pub(crate) async fn start(
        parts: Parts,
        record: SessionRecord,
        policy: PermissionPolicy,
    ) -> Result<Arc<Self>> {
        let Parts { http, store, limits, runtime, stop } = parts;
        let last = last_index(&store, &record.id).await?;
        let (recorder, entries) = Recorder::new();
        let (jobs, queue) = mpsc::channel(limits.queued_prompts.clamp(1, MOST_PROMPTS));
        let stop = stop.child_token();
        let core = Arc::new(Self {
            id: record.id.clone(),
            tail: Arc::new(Tail::new(last, limits.tail_bytes)),
            recorder,
            permissions: Arc::default(),
            state: State::new(),
            jobs,
            live: tokio::sync::Mutex::new(None),
            transcript_due: AtomicBool::new(false),
            shared: Mutex::new(Shared {
                record,
                policy,
                link: None,
                opened_on: None,
                running: None,
                activity: Instant::now(),
            }),
            http,
            store,
            limits,
            runtime,
            stop,
        });
        let journal =
            Journal { session_id: core.id.clone(), store: core.store.clone(), tail: core.tail.clone() };
        let writer = Writer { journal, entries, stop: core.stop.clone(), listener: core.clone() };
        let (ended, writing) = (core.clone(), core.runtime.spawn(writer.run()));
        core.runtime.spawn(async move {
            if writing.await.is_err() {
                let error = PersistError::new(PersistErrorKind::Other, "the session store panicked");
                ended.tail.end(End::Failed(error.into()));
            }
            ended.end();
        });
        core.runtime.spawn(runner::run(core.clone(), queue));
        Ok(core)
    }

    pub(crate) fn record(&self) -> SessionRecord {
        self.shared().record.clone()
    }

    /// Changes the record in memory; it is stored when the session is opened on a process.
    pub(crate) fn amend_record(&self, record: SessionRecord) {
        self.shared().record = record;
    }

    /// Changes the record, in memory and in the store.
    pub(crate) async fn change_record(&self, change: impl FnOnce(&mut SessionRecord)) -> Result<()> {
        let record = {
            let mut shared = self.shared();
            change(&mut shared.record);
            shared.record.clone()
        };
        self.store.call(|| self.store.driver.update_session(record.clone())).await?;
        Ok(())
    }

    pub(crate) fn policy(&self) -> PermissionPolicy {
        self.shared().policy
    }

    pub(crate) fn set_policy(&self, policy: PermissionPolicy) {
        self.shared().policy = policy;
    }

    pub(crate) fn set_link(&self, link: Option<Arc<Link>>) {
        self.shared().link = link;
    }

    /// The process that runs or last ran it.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.shared().link.clone()
    }

    /// The server id of the process that was started first or last.
    pub(crate) fn opened_on(&self) -> Option<String> {
        self.shared().opened_on.clone()
    }

    pub(crate) fn set_opened_on(&self, server_id: &str) {
        self.shared().opened_on = Some(server_id.to_owned());
    }

    pub(crate) fn set_running(&self, cancel: Option<CancellationToken>) {
        self.state.change(|facts| facts.turn = cancel.is_some());
        self.shared().running = cancel;
    }

    pub(crate) fn running(&self) -> Option<CancellationToken> {
        self.shared().running.clone()
    }

    pub(crate) fn touch(&self) {
        self.shared().activity = Instant::now();
    }

    pub(crate) fn activity(&self) -> Instant {
        self.shared().activity
    }

    /// Nothing is recorded any more: ends what still waits, and the tasks.
    fn end(&self) {
        self.state.change(|facts| facts.closed = true);
        if let Some(link) = self.link() {
            link.bury(&self.end_error());
        }
        self.stop.cancel();
    }

    /// Why nothing is recorded any more.
    pub(crate) fn end_error(&self) -> Error {
        match self.tail.watch().borrow().end.clone() {
            Some(End::Failed(error)) => error,
            _ => Error::closed(),
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Records an envelope of ours, and says when it may be sent: by its index.
    pub(crate) async fn store_outbound(&self, link: &Link, outbound: &Outbound) -> Result<u64> {
        let id = format!("{}:c:{}", link.server_id, Uuid::new_v4());
        let stored = self.store_as(link, id, outbound).await?;
        stored.ok_or_else(|| Error::protocol("the store says that it has an id that is new"))
    }

    /// The same under an id that may be taken: `None` then. Otherwise the event's index.
    pub(crate) async fn store_as(&self, link: &Link, id: String, outbound: &Outbound) -> Result<Option<u64>> {
        let draft = Draft {
            id,
            connection_id: link.server_id.clone(),
            sender: Sender::Client,
            payload: outbound.payload.clone(),
            permit: None,
        };
        Ok(self.recorder.store(draft).await?.map(|event| event.event_index))
    }

    /// Sends a request and waits for its answer, within the limit for requests.
    pub(crate) async fn call(&self, link: &Arc<Link>, method: &str, params: impl Serialize) -> Answer {
        let outbound = Outbound::request(method, params)?;
        let rpc_id = outbound.rpc_id.clone().unwrap_or_default();
        self.store_outbound(link, &outbound).await?;
        let _forget = Forget { link, rpc_id: &rpc_id };
        let answer = link.expect_answer(rpc_id.clone());
        link.post_request(rpc_id.clone(), &outbound.payload);
        match self.stop.run_until_cancelled(timeout(self.limits.request, answer)).await {
            Some(Ok(Ok(answer))) => answer,
            Some(Err(_)) => Err(timed_out(method, self.limits.request)),
            Some(Ok(Err(_))) | None => Err(Error::closed().with_delivery(Delivery::Unknown)),
        }
    }

    /// Records a notification and sends it.
    pub(crate) async fn notify(&self, link: &Link, method: &str, params: impl Serialize) -> Result<()> {
        let outbound = Outbound::notification(method, params)?;
        self.store_outbound(link, &outbound).await?;
        link.post_notification(&outbound.payload).await
    }

    /// Records the answer to a request of the agent's and sends it.
    pub(crate) async fn reply(&self, link: &Link, rpc_id: &str, answer: Result<Value, Value>) -> Result<()> {
        let outbound = Outbound::reply(rpc_id, answer)?;
        self.store_outbound(link, &outbound).await?;
        link.post_reply(&outbound.payload).await
    }

    /// Records what no envelope says. The session's own end is no reason to fail.
    pub(crate) async fn note(&self, link: &Link, method: &str, params: Value) {
        if let Ok(outbound) = Outbound::notification(method, params)
            && let Err(error) = self.store_outbound(link, &outbound).await
        {
            tracing::debug!(session = %self.id, %error, method, "could not be recorded");
        }
    }

    /// Answers "cancelled" to every permission request that nobody answered.
    pub(crate) async fn cancel_permissions(&self) {
        for (link, rpc_id) in self.permissions.clear() {
            self.permissions_changed();
            if link.is_dead() {
                continue;
            }
            let outcome = json!({ "outcome": { "outcome": "cancelled" } });
            if let Err(error) = self.reply(&link, &rpc_id, Ok(outcome)).await {
                tracing::debug!(session = %self.id, %error, "a permission request could not be cancelled");
            }
        }
    }

    pub(crate) fn permissions_changed(&self) {
        self.state.change(|facts| facts.permissions = self.permissions.len());
    }

    /// Stores what was received and ends the tasks; with `kill` it ends the process too.
    pub(crate) async fn shut_down(&self, kill: bool) {
        let link = self.link().filter(|link| kill && !link.is_dead());
        let end = async {
            if let Some(link) = &link {
                let params = json!({ "serverId": link.server_id, "reason": "closed" });
                let _ = timeout(NOTE, self.note(link, envelope::PROCESS_ENDED, params)).await;
            }
            self.stop.cancel();
            let mut mark = self.tail.watch();
            let ended = mark.wait_for(|mark| mark.end.is_some());
            let _ = timeout(self.limits.store, ended).await;
        };
        let delete = async {
            if let Some(link) = &link {
                link.delete().await;
            }
        };
        futures::join!(end, delete);
    }

    /// Nothing panics while it holds the lock, and each field is whole at every step.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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

fn timed_out(method: &str, limit: Duration) -> Error {
    Error::new(
        ErrorKind::TimedOut(Limit::Request),
        format!("the agent did not answer {method:?} within {limit:?}"),
    )
    .with_delivery(Delivery::Unknown)
}

async fn last_index(store: &Store, session_id: &str) -> Result<u64> {
    let request = ListEventsRequest::new(session_id).descending().limit(1);
    let page = store.call(|| store.driver.list_events(request.clone())).await?;
    Ok(page.items.first().map_or(0, |event| event.event_index))
}
