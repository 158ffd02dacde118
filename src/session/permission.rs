//! Requests of an agent for a permission: listed until somebody answers, or their turn ends.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::callback::Callback;
use crate::acp::Link;
use crate::acp_types::{PermissionOption, PermissionOptionKind, ToolCallUpdate};
use crate::error::{Error, ErrorKind, Result};

/// What becomes of a session's permission requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionPolicy {
    /// Each waits for somebody's answer. The default: silence never allows anything.
    #[default]
    Ask,
    /// Each is allowed, once where the agent offers that.
    Allow,
    /// Each is rejected, once where the agent offers that.
    Reject,
}

/// The answer to a permission request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionReply {
    /// Allow it this time.
    Once,
    /// Allow it from now on.
    Always,
    /// Don't allow it.
    Reject,
    /// Choose the option with this id, as the request lists it.
    Option(String),
}

/// A permission that an agent asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PermissionRequest {
    /// What to answer it by; unique within the session.
    pub id: String,
    /// The session.
    pub session_id: String,
    /// The index of the event that asked.
    pub event_index: u64,
    /// What the agent wants to do.
    pub tool_call: ToolCallUpdate,
    /// The answers that the agent takes.
    pub options: Vec<PermissionOption>,
}

impl PermissionRequest {
    /// The id of the option that a reply stands for.
    fn option(&self, reply: &PermissionReply) -> Result<String> {
        use PermissionOptionKind::{AllowAlways, AllowOnce, RejectAlways, RejectOnce};
        let found = match reply {
            PermissionReply::Once => self.first(&[AllowOnce]),
            PermissionReply::Always => self.first(&[AllowAlways]),
            PermissionReply::Reject => self.first(&[RejectOnce, RejectAlways]),
            PermissionReply::Option(id) => {
                self.options.iter().find(|option| &*option.option_id.0 == id.as_str()).map(|_| id.clone())
            }
        };
        found.ok_or_else(|| {
            let offered: Vec<_> = self.options.iter().map(|option| &*option.option_id.0).collect();
            Error::invalid(format!("the agent offers no {reply:?}; it offers {offered:?}"))
        })
    }

    fn first(&self, kinds: &[PermissionOptionKind]) -> Option<String> {
        kinds.iter().find_map(|kind| {
            self.options
                .iter()
                .find(|option| option.kind == *kind)
                .map(|option| option.option_id.0.to_string())
        })
    }

    /// The option that a policy chooses; `None` when a person has to.
    pub(crate) fn by_policy(&self, policy: PermissionPolicy) -> Option<String> {
        use PermissionOptionKind::{AllowAlways, AllowOnce, RejectAlways, RejectOnce};
        match policy {
            PermissionPolicy::Ask => None,
            PermissionPolicy::Allow => self.first(&[AllowOnce, AllowAlways]),
            PermissionPolicy::Reject => self.first(&[RejectOnce, RejectAlways]),
        }
    }
}

/// More than can be on their way at once.
const ANSWERED: usize = 256;

/// The requests of a session that have no answer.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    open: Mutex<BTreeMap<u64, Open>>,
    /// The newest requests that another SDK answered, by process and id: they may come here only now.
    answered: Mutex<VecDeque<(String, String)>>,
    /// Changes whenever the list does.
    changed: watch::Sender<u64>,
    listeners: AtomicUsize,
}

#[derive(Debug)]
struct Open {
    request: PermissionRequest,
    link: Arc<Link>,
    rpc_id: String,
    since: Instant,
    /// Somebody's answer is on its way.
    answering: bool,
    /// The number of the next answer; those before it were stored and not sent.
    attempt: u32,
}

/// The right to answer a request.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) event_index: u64,
    pub(crate) link: Arc<Link>,
    pub(crate) rpc_id: String,
    pub(crate) attempt: u32,
    pub(crate) option: String,
}

impl Permissions {
    /// Lists a request; keyed by its event, so that the list has the agent's order.
    pub(crate) fn add(&self, link: &Arc<Link>, rpc_id: &str, attempt: u32, request: PermissionRequest) {
        let open = Open {
            link: link.clone(),
            rpc_id: rpc_id.to_owned(),
            since: Instant::now(),
            answering: false,
            attempt,
            request,
        };
        self.lock().insert(open.request.event_index, open);
        self.touch();
    }

    pub(crate) fn list(&self) -> Vec<PermissionRequest> {
        self.lock().values().filter(|open| !open.answering).map(|open| open.request.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Since when the oldest one waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.lock().values().map(|open| open.since).min()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn has_listener(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// The first to claim a request answers it.
    pub(crate) fn claim(&self, id: &str, reply: &PermissionReply) -> Result<Claim> {
        let claim = {
            let mut open = self.lock();
            let open = open.values_mut().find(|open| open.request.id == id && !open.answering);
            let open = open.ok_or_else(|| {
                Error::new(
                    ErrorKind::PermissionGone,
                    format!("permission request {id:?} was answered, or ended with its turn"),
                )
            })?;
            let option = open.request.option(reply)?;
            open.answering = true;
            Claim {
                event_index: open.request.event_index,
                link: open.link.clone(),
                rpc_id: open.rpc_id.clone(),
                attempt: open.attempt,
                option,
            }
        };
        self.touch();
        Ok(claim)
    }

    /// The answer did not get out: somebody may try again.
    pub(crate) fn unclaim(&self, event_index: u64) {
        if let Some(open) = self.lock().get_mut(&event_index) {
            open.answering = false;
            open.attempt += 1;
        }
        self.touch();
    }

    pub(crate) fn is_answered(&self, server_id: &str, rpc_id: &str) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.iter().any(|(server, id)| server == server_id && id == rpc_id)
    }

    /// Somebody else answered this request of a process; whether it was listed.
    pub(crate) fn answered(&self, server_id: &str, rpc_id: &str) -> bool {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.push_back((server_id.to_owned(), rpc_id.to_owned()));
        if answered.len() > ANSWERED {
            answered.pop_front();
        }
        drop(answered);
        let mut open = self.lock();
        let before = open.len();
        open.retain(|_, open| open.rpc_id != rpc_id || open.link.server_id != server_id);
        let listed = open.len() < before;
        drop(open);
        if listed {
            self.touch();
        }
        listed
    }

    pub(crate) fn remove(&self, event_index: u64) {
        self.lock().remove(&event_index);
        self.touch();
    }

    /// Empties the list; returns those that nobody answered, to be answered "cancelled".
    pub(crate) fn clear(&self) -> Vec<(Arc<Link>, String, u32)> {
        let all = std::mem::take(&mut *self.lock());
        if all.is_empty() {
            return Vec::new();
        }
        self.touch();
        all.into_values()
            .filter(|open| !open.answering)
            .map(|open| (open.link, open.rpc_id, open.attempt))
            .collect()
    }

    fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Nothing panics while it holds the lock, and the map is whole at every step.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as somebody who listens, as long as it lives.
struct Listener(Arc<Permissions>);

impl Listener {
    fn new(permissions: Arc<Permissions>) -> Self {
        permissions.listeners.fetch_add(1, Ordering::Relaxed);
        Self(permissions)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The permission requests of a session: those that are pending, then those that come.
///
/// A request that was answered before it is read here is left out. Ends with the SDK.
pub struct PermissionRequests(BoxStream<'static, PermissionRequest>);

impl PermissionRequests {
    pub(crate) fn new(
        permissions: Arc<Permissions>,
        closed: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let listener = Listener::new(permissions);
        let changes = listener.0.watch();
        let requests = stream::unfold((listener, changes, 0), |(listener, mut changes, seen)| async move {
            loop {
                changes.borrow_and_update();
                let next = listener.0.list().into_iter().find(|request| request.event_index > seen);
                if let Some(request) = next {
                    let seen = request.event_index;
                    return Some((request, (listener, changes, seen)));
                }
                changes.changed().await.ok()?;
            }
        });
        Self(requests.take_until(Box::pin(closed)).boxed())
    }
}

impl Stream for PermissionRequests {
    type Item = PermissionRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for PermissionRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PermissionRequests")
    }
}

/// A callback that gets a session's permission requests; drop it to unsubscribe.
#[derive(Debug)]
pub struct PermissionSubscription {
    pub(crate) _callback: Callback,
}
