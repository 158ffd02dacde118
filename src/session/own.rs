//! The agent's own sessions: forking, listing, closing and deleting them, where the agent offers that.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sandbox_agent_persist::SessionRecord;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::core::{Live, SessionCore};
use super::handle::Session;
use super::memo::Memo;
use super::offers::{LOAD, RESUME, not_offered};
use super::request::{Setup, Wish};
use super::settings::Settings;
use crate::acp::read_answer;
use crate::acp_types::{ListSessionsRequest, ListSessionsResponse};
use crate::error::{Error, ErrorKind, Result};

const FORK: &str = "session/fork";
const CLOSE: &str = "session/close";
const DELETE: &str = "session/delete";
const LIST: &str = "session/list";

/// From where a session was forked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ForkedFrom {
    /// The session, by its caller's id.
    pub session_id: String,
    /// The index of its newest event at that time.
    pub event_index: u64,
}

impl Session {
    /// From where the session was [forked](crate::SandboxAgent::fork_session), if it was. Returns at once.
    pub fn forked_from(&self) -> Option<ForkedFrom> {
        Memo::read(&self.record()).forked
    }

    /// A page of the sessions that the agent itself knows of, with its own ids, for
    /// [`SessionRequest::agent_session`](crate::SessionRequest::agent_session).
    ///
    /// What the store has is listed by [`list_sessions`](crate::SandboxAgent::list_sessions). Fails with
    /// [`NotOffered`](ErrorKind::NotOffered) where the agent has no such list. Bounded as
    /// [`raw_send`](Self::raw_send).
    pub async fn list_agent_sessions(&self, request: ListSessionsRequest) -> Result<ListSessionsResponse> {
        let live = self.core.live_offering(LIST).await?;
        let answer = self.core.call(&live.link, LIST, request).await?;
        read_answer(&answer.payload)
    }

    /// Has the agent close one of its own sessions, and free what that one takes; it can be resumed.
    ///
    /// When it is this session, its process is ended as well, and the next prompt takes the session up on a
    /// new one. Fails with [`NotOffered`](ErrorKind::NotOffered) where the agent doesn't do that: closing the
    /// [session of the SDK](crate::SandboxAgent::close_session) needs no agent's help. Bounded as
    /// [`raw_send`](Self::raw_send), and by 3 s for the process.
    pub async fn close_agent_session(&self, agent_session_id: &str) -> Result<()> {
        self.core.end_theirs(CLOSE, agent_session_id).await
    }

    /// Has the agent delete one of its own sessions.
    ///
    /// When it is this session, its process is ended as well; the record stays, and the next prompt begins a new
    /// session of the agent's with a transcript. Fails with [`NotOffered`](ErrorKind::NotOffered) where the
    /// agent doesn't do that. Bounded as [`close_agent_session`](Self::close_agent_session), and by
    /// [`Limits::store`](crate::Limits::store).
    pub async fn delete_agent_session(&self, agent_session_id: &str) -> Result<()> {
        self.core.end_theirs(DELETE, agent_session_id).await
    }
}

impl SessionCore {
    /// The process in use, of an agent that offers this method.
    async fn live_offering(self: &Arc<Self>, method: &str) -> Result<Live> {
        let live = self.ensure_live(Wish::default()).await?.live;
        self.offers().require(method)?;
        Ok(live)
    }

    async fn end_theirs(self: &Arc<Self>, method: &str, agent_session_id: &str) -> Result<()> {
        let live = self.live_offering(method).await?;
        let answer = self.call(&live.link, method, json!({ "sessionId": agent_session_id })).await?;
        read_answer::<Value>(&answer.payload)?;
        if agent_session_id != live.agent_session_id {
            return Ok(());
        }
        // Nobody opens the session on another process before the record says how.
        let mut open = self.live.lock().await;
        if method == DELETE {
            // What the agent has forgotten, it is told.
            self.change_record(|record| {
                record.agent_session_id.clear();
                Memo::change(record, |memo| memo.transcript = true);
            })
            .await?;
        }
        if matches!(self.may_end_process().await, Ok(true)) {
            let error = Error::new(
                ErrorKind::ProcessGone,
                "the agent's session was closed, and its process ended; the next prompt starts another",
            );
            self.end_process(&live.link, &error, "closed").await;
        }
        *open = None;
        Ok(())
    }

    /// Has the agent fork the session; gives the agent's id of the fork.
    pub(crate) async fn fork(self: &Arc<Self>) -> Result<String> {
        let live = self.live_offering(FORK).await?;
        let offers = self.offers();
        if !offers.has(LOAD) && !offers.has(RESUME) {
            // The fork gets a process of its own, which could not take it up.
            return Err(not_offered(RESUME));
        }
        let setup = Setup::read(self.record().session_init.as_ref());
        let mut params = super::handshake::open_params(&setup);
        params.insert("sessionId".into(), json!(live.agent_session_id));
        // Before it can tell anything of the fork.
        self.forked.store(true, Ordering::Relaxed);
        let answer = self.call(&live.link, FORK, params).await?;
        let answer: Value = read_answer(&answer.payload)?;
        let forked = answer["sessionId"].as_str();
        let forked = forked.ok_or_else(|| Error::protocol("the agent forked a session and gave it no id"))?;
        if offers.has(CLOSE) {
            // Two processes that have it open would not know of each other's turns.
            let closed = self.call(&live.link, CLOSE, json!({ "sessionId": forked })).await;
            if let Err(error) = closed.and_then(|answer| read_answer::<Value>(&answer.payload)) {
                tracing::debug!(session = %self.id, %error, "the fork stays open on this process too");
            }
        }
        Ok(forked.to_owned())
    }

    /// A fork that nothing came of.
    pub(crate) async fn discard_fork(self: &Arc<Self>, agent_session_id: &str) {
        if self.offers().has(DELETE)
            && let Err(error) = self.end_theirs(DELETE, agent_session_id).await
        {
            tracing::debug!(session = %self.id, %error, "a fork that is of no use stays with the agent");
        }
    }

    /// The record of a fork: set up and set as this session is.
    pub(crate) fn fork_record(&self, id: &str, now_ms: i64, event_index: u64) -> SessionRecord {
        let parent = self.record();
        let mut record = SessionRecord::new(id, &parent.agent, now_ms);
        record.session_init.clone_from(&parent.session_init);
        record.sandbox_id.clone_from(&parent.sandbox_id);
        Settings::recorded(&parent).record(&mut record);
        let forked = ForkedFrom { session_id: parent.id, event_index };
        Memo::change(&mut record, |memo| memo.forked = Some(forked));
        record
    }
}

/// Makes a record one of a session that the agent has already.
pub(crate) fn adopt(record: &mut SessionRecord, agent_session_id: &str) {
    record.agent_session_id = agent_session_id.to_owned();
    Memo::change(record, |memo| memo.adopted = true);
}
