//! Requests of an agent's that its client handles: each runs as a task of its own, and ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::{RawValue, SessionEvent};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::core::SessionCore;
use super::dispatch::answered_already;
use super::view::params;
use crate::acp::{Link, Outbound};
use crate::acp_types::Error as RpcError;
use crate::error::{Delivery, Error};
use crate::handlers::{Asked, Call, Patience};

/// The handlers of a session that run, by process and request.
#[derive(Debug, Default)]
pub(super) struct Handling(Mutex<HashMap<(String, String), CancellationToken>>);

impl Handling {
    /// `None` when as many run as may.
    fn begin(self: &Arc<Self>, link: &Link, rpc_id: &str, limit: usize) -> Option<Running> {
        let key = (link.server_id.clone(), rpc_id.to_owned());
        let cancel = CancellationToken::new();
        let mut running = self.lock();
        if running.len() >= limit {
            return None;
        }
        running.insert(key.clone(), cancel.clone());
        drop(running);
        Some(Running { handling: self.clone(), key, cancel })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lock().is_empty()
    }

    /// The turn was cancelled: whatever was asked is of no use any more.
    pub(super) fn cancel_all(&self) {
        self.lock().values().for_each(CancellationToken::cancel);
    }

    fn cancel(&self, link: &Link, rpc_id: &str) {
        if let Some(cancel) = self.lock().get(&(link.server_id.clone(), rpc_id.to_owned())) {
            cancel.cancel();
        }
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as running for as long as it lives.
struct Running {
    handling: Arc<Handling>,
    key: (String, String),
    cancel: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handling.lock().remove(&self.key);
    }
}

/// Ends a handler that nobody waits for any more.
struct Abort(AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The agent takes a request of its own back.
pub(super) const CANCEL: &str = "$/cancel_request";

pub(super) fn taken_back(core: &SessionCore, link: &Link, event: &SessionEvent) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TakenBack {
        request_id: Box<RawValue>,
    }
    if let Some(taken) = params::<TakenBack>(&event.payload) {
        core.handling.cancel(link, taken.request_id.get());
    }
}

/// Has a request handled, or refuses it at once where nobody does.
pub(super) fn handle(
    core: &Arc<SessionCore>,
    link: &Arc<Link>,
    rpc_id: &str,
    method: &str,
    event: &SessionEvent,
) {
    let handlers = core.conduct().handlers.unwrap_or_default();
    let asked = Asked::new(&core.id, event.event_index);
    let Some(call) = handlers.call(asked, method, members(&event.payload).as_deref()) else {
        let message = format!("the client has no method {method:?}");
        let error = json!({ "code": -32601, "message": message });
        return answer(core, link, rpc_id, Err(error));
    };
    let limit = core.limits.pending_handlers;
    let Some(running) = core.handling.begin(link, rpc_id, limit) else {
        tracing::warn!(session = %core.id, limit, method, "as many requests are being handled as may; one more is refused");
        let message = format!("{limit} requests are being handled already");
        return answer(core, link, rpc_id, Err(json!({ "code": -32000, "message": message })));
    };
    let (core, link, rpc_id, method) = (core.clone(), link.clone(), rpc_id.to_owned(), method.to_owned());
    core.runtime.clone().spawn(async move {
        let handled = run(&core, &link, call, &running.cancel, &method).await;
        // The agent goes on: its silence counts from now.
        core.touch();
        drop(running);
        if let Some(handled) = handled {
            send(&core, &link, &rpc_id, handled.map_err(|error| json!(error))).await;
        }
    });
}

/// What the agent gets; `None` when there is nobody to get it, or whoever takes the session up is asked again.
async fn run(
    core: &Arc<SessionCore>,
    link: &Arc<Link>,
    call: Call,
    cancel: &CancellationToken,
    method: &str,
) -> Option<Result<Value, RpcError>> {
    let limit = match call.patience {
        Patience::Short => core.limits.handler,
        Patience::Long => core.limits.handler_wait,
    };
    // Apart, so that a panic stays there.
    let mut handler = core.runtime.spawn(call.answer);
    let _abort = Abort(handler.abort_handle());
    tokio::select! {
        biased;
        handled = &mut handler => Some(handled.unwrap_or_else(|_| {
            tracing::error!(session = %core.id, method, "the handler of an agent's request panicked");
            Err(RpcError::internal_error().data(json!("the client's handler panicked")))
        })),
        () = cancel.cancelled() => Some(call.cancelled),
        () = core.stop.cancelled() => None,
        _ = link.dies() => None,
        () = sleep(limit) => {
            tracing::warn!(session = %core.id, method, ?limit, "the handler of an agent's request took too long");
            Some(Err(RpcError::internal_error().data(json!(format!("the client did not answer within {limit:?}")))))
        }
    }
}

/// Answers apart, from where nothing can be awaited.
pub(super) fn answer(core: &Arc<SessionCore>, link: &Arc<Link>, rpc_id: &str, answer: Result<Value, Value>) {
    let (core, link, rpc_id) = (core.clone(), link.clone(), rpc_id.to_owned());
    core.runtime.clone().spawn(async move { send(&core, &link, &rpc_id, answer).await });
}

/// The agent waits for it, so that one which is too large, or can't be sent, becomes an error.
async fn send(core: &SessionCore, link: &Link, rpc_id: &str, answer: Result<Value, Value>) {
    let limit = core.limits.message_bytes;
    let too_large =
        Outbound::reply(rpc_id, answer.clone()).is_ok_and(|reply| reply.payload.get().len() > limit);
    let answer =
        if too_large { Err(failed(&format!("the answer is larger than {limit} bytes"))) } else { answer };
    let sent = core.reply(link, rpc_id, 1, answer).await.or_else(answered_already);
    let Err(error) = sent else { return };
    tracing::warn!(session = %core.id, %error, "the agent's request could not be answered");
    if may_try_again(link, &error) {
        let again = core.reply(link, rpc_id, 2, Err(failed("the answer could not be sent"))).await;
        if let Err(error) = again.or_else(answered_already) {
            tracing::warn!(session = %core.id, %error, "nor could it be told so");
        }
    }
}

fn failed(why: &str) -> Value {
    json!(RpcError::internal_error().data(json!(why)))
}

fn may_try_again(link: &Link, error: &Error) -> bool {
    error.delivery() == Some(Delivery::NotSent) && !error.is_persist() && !link.is_dead()
}

/// The parameters of a request, if it has any.
fn members(payload: &RawValue) -> Option<Box<RawValue>> {
    params(payload)
}
