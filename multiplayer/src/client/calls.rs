//! Calls: the same ones that a member makes in process.

use std::sync::Arc;

use async_trait::async_trait;
use sandbox_agent_sdk::persist::RawValue;
use sandbox_agent_sdk::{Delivery, PermissionReply};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::fetch;
use super::outbox::{Request, Sending};
use super::status::{Status, Why};
use super::transport::Caller;
use super::{Inner, WorkspaceClient};
use crate::call::{Call, Page};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::{Accepted, NewPrompt};

/// Each is checked by the host against rights and control, as the call of the same name of a
/// [`Member`](crate::Member) is, and fails as that does. All are bounded by
/// [`ClientLimits::call`](super::ClientLimits::call), and none has to be awaited to its end.
impl WorkspaceClient {
    /// Makes any call, and gives the JSON of its answer as [`Call`] says.
    pub async fn call(&self, call: Call) -> Result<Box<RawValue>> {
        let Ok(_permit) = self.inner.permits.try_acquire() else {
            let message =
                format!("{} calls are under way, as many as may; wait for one", self.inner.limits.calls);
            return Err(Error::new(ErrorKind::Full, message).with_delivery(Delivery::NotSent));
        };
        self.inner.ask(call, Asking::Caller).await
    }

    /// Says something to an agent. Everybody sees it when this returns; [`wait_for_prompt`](Self::wait_for_prompt)
    /// waits for the end. Its id makes it safe: it is sent again after a lost connection, and may be by you.
    pub async fn prompt(&self, prompt: NewPrompt) -> Result<Accepted> {
        self.answer(Call::Prompt(prompt)).await
    }

    /// Cancels the turn that runs in a session; the first one unless told.
    pub async fn cancel(&self, session_id: Option<&str>) -> Result<()> {
        self.answer(Call::Cancel { session_id: session_id.map(str::to_owned) }).await
    }

    /// Takes a prompt back that was not sent to the agent yet, or cancels its turn.
    pub async fn withdraw(&self, prompt_id: &str) -> Result<()> {
        self.answer(Call::WithdrawPrompt { prompt_id: prompt_id.to_owned() }).await
    }

    /// Lets a proposal of somebody else go to the agent.
    pub async fn accept_proposal(&self, prompt_id: &str) -> Result<()> {
        self.answer(Call::AcceptPrompt { prompt_id: prompt_id.to_owned() }).await
    }

    /// Answers a permission; the first answer counts.
    pub async fn respond_permission(
        &self,
        session_id: &str,
        permission_id: &str,
        reply: PermissionReply,
    ) -> Result<()> {
        let reply = match reply {
            PermissionReply::Once => "once".to_owned(),
            PermissionReply::Always => "always".to_owned(),
            PermissionReply::Reject => "reject".to_owned(),
            PermissionReply::Option(id) => id,
            other => {
                return Err(Error::invalid(format!("this version has no word for the answer {other:?}")));
            }
        };
        let (session_id, permission_id) = (session_id.to_owned(), permission_id.to_owned());
        self.answer(Call::RespondPermission { session_id, permission_id, reply }).await
    }

    /// Asks for control: it is theirs at once where it is free, and else when their turn comes.
    pub async fn request_control(&self) -> Result<Control> {
        self.answer(Call::RequestControl {}).await
    }

    /// Hands control to somebody who is here or has asked.
    pub async fn give_control(&self, to: &str) -> Result<Control> {
        self.answer(Call::GiveControl { to: to.to_owned() }).await
    }

    /// Takes control, where that is allowed.
    pub async fn take_control(&self) -> Result<Control> {
        self.answer(Call::TakeControl {}).await
    }

    /// Lets control go, or gives up asking for it. With a term, only if that is still in force.
    pub async fn release_control(&self, term: Option<u64>) -> Result<Control> {
        self.answer(Call::ReleaseControl { term }).await
    }

    /// Opens another session of the workspace.
    pub async fn open_session(&self, session_id: &str, agent: &str, cwd: Option<&str>) -> Result<()> {
        let (session_id, agent) = (session_id.to_owned(), agent.to_owned());
        self.answer(Call::CreateSession { session_id, agent, cwd: cwd.map(str::to_owned) }).await
    }

    /// A page of stored frames after this one: at most `limit` (1,000), and as many as the host puts into
    /// one message. Frames that are too large for that are fetched, a call for each part.
    pub async fn page(&self, after: u64, limit: usize) -> Result<Page> {
        let Ok(_permit) = self.inner.permits.try_acquire() else {
            return Err(Error::new(ErrorKind::Full, "as many calls are under way as may; wait for one"));
        };
        self.inner.page(after, limit, Asking::Caller).await
    }

    async fn answer<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let action = call.action();
        fetch::read(action, &self.call(call).await?)
    }
}

/// For whom the host is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// Somebody who made a call, which is held to what is settled for calls.
    Caller,
    /// Somebody who reads frames, and waits as long as it takes.
    Reader,
}

impl Inner {
    /// Waits for a connection, or for the end.
    pub(super) async fn connected(&self) {
        let mut status = self.status.subscribe();
        let usable = |status: &Status| matches!(status, Status::Connected | Status::Disposed { .. });
        // The sender lives in what this borrows.
        let _status = status.wait_for(usable).await;
    }

    /// A page of the host, with large frames fetched.
    pub(super) async fn page(self: &Arc<Self>, after: u64, limit: usize, asking: Asking) -> Result<Page> {
        let calls = OverAny { inner: self.clone(), asking };
        let (bytes, most) = (self.limits.ahead_bytes, self.limits.frame_bytes);
        fetch::whole_page(&calls, after, limit, bytes, most).await
    }

    /// Has the driver make a call.
    pub(super) async fn ask(&self, call: Call, asking: Asking) -> Result<Box<RawValue>> {
        let (reply, answer) = oneshot::channel();
        let action = call.action();
        let deadline = Instant::now() + self.limits.call;
        let sending = Sending::default();
        let own = asking == Asking::Reader;
        let request = Request { call, reply, sending: sending.clone(), deadline, own, left: false };
        if self.requests.send(request).is_err() {
            return Err(self.over().with_delivery(Delivery::NotSent));
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            // The driver has ended in between.
            Ok(Err(_)) => Err(self.over().with_delivery(sending.delivery())),
            Err(_) => {
                let message = format!("{action} was not answered within {:?}", self.limits.call);
                Err(Error::new(ErrorKind::TimedOut, message).with_delivery(sending.delivery()))
            }
        }
    }

    /// The error of who comes too late.
    pub(super) fn over(&self) -> Error {
        match self.window.mark().end {
            Some(why) => why.error(),
            None => Why::Asked.error(),
        }
    }
}

/// Calls over whatever connection there is.
pub(super) struct OverAny {
    pub(super) inner: Arc<Inner>,
    pub(super) asking: Asking,
}

#[async_trait]
impl Caller for OverAny {
    async fn call(&self, call: Call) -> Result<Box<RawValue>> {
        self.inner.ask(call, self.asking).await
    }
}
