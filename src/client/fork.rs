//! A second session that goes on from where another one is.

use super::{SandboxAgent, not_found, taken};
use crate::error::{Error, Result};
use crate::session::{Conduct, Opened, PermissionPolicy, Wish, adopt, now_ms};

impl SandboxAgent {
    /// Has the agent fork a session: a new one, under an id and on an agent process of its own, that knows what was
    /// said so far. Both go on apart.
    ///
    /// It has the same working directory, MCP servers, mode, model and options, and the same permission policy. Its
    /// record begins with what the agent tells of the past, if anything;
    /// [`Session::forked_from`](crate::Session::forked_from) says where the rest is. Fails with
    /// [`NotOffered`](crate::ErrorKind::NotOffered) where the agent doesn't fork, or could not take the fork up on
    /// another process; with [`SessionExists`](crate::ErrorKind::SessionExists) when the new id is taken; with
    /// [`SessionNotFound`](crate::ErrorKind::SessionNotFound) when there is nothing to fork. Bounded as
    /// [`resume_session`](Self::resume_session), [`create_session`](Self::create_session) and two requests.
    pub async fn fork_session(&self, id: &str, new_id: &str) -> Result<Opened> {
        if new_id.is_empty() {
            return Err(Error::invalid("a session's id must not be empty"));
        }
        if new_id == id {
            return Err(taken(new_id));
        }
        let parent = self.get_session(id).await?.ok_or_else(|| not_found(id))?;
        let slot = self.enter(new_id).await?;
        if slot.is_some() || self.stored(new_id).await?.is_some() {
            return Err(taken(new_id));
        }
        let core = parent.core();
        let agent_session = core.fork().await?;
        let mut record = core.fork_record(new_id, now_ms(), parent.last_index());
        adopt(&mut record, &agent_session);
        let (policy, conduct) = (core.policy(), core.conduct());
        let made = self.create(slot, record, Manner { policy, conduct, wish: Wish::revive() }).await;
        if made.is_err() {
            core.discard_fork(&agent_session).await;
        }
        made
    }
}

/// How a new session is to be.
pub(super) struct Manner {
    pub(super) policy: PermissionPolicy,
    pub(super) conduct: Conduct,
    pub(super) wish: Wish,
}
