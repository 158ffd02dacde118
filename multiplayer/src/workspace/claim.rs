//! Whose a session is: of one workspace, for what happens in it is in that one's line.

use sandbox_agent_sdk::{SandboxAgent, Session};

use super::Inner;
use crate::error::{Error, Result};
use crate::line::line_id;

impl Inner {
    /// Whether another workspace has taken it in.
    pub(super) fn is_of_another(&self, session: &Session) -> bool {
        owner(session).is_some_and(|owner| owner != line_id(&self.id))
    }

    /// Marks a session as this workspace's. One of another would show each the other's events.
    pub(super) async fn claim(&self, session: &Session) -> Result<()> {
        let (id, mine) = (session.id(), line_id(&self.id));
        let other = match owner(session) {
            Some(owner) => Some(owner).filter(|owner| *owner != mine),
            None => match self.sdk.claim_session(id, &mine).await {
                // Whoever holds it writes its record; it is claimed when the workspace is opened again.
                Err(error) if error.is_fenced() => None,
                claimed => claimed?,
            },
        };
        let Some(owner) = other else { return Ok(()) };
        tracing::warn!(workspace = self.id, session = id, owner, "a session is of another workspace");
        // Whoever comes is told this, and has no business with the other one.
        let message = format!(
            "session {id:?} is of another workspace in this store; give each workspace a session of its own name"
        );
        Err(Error::invalid(message))
    }
}

/// Whose it is, where somebody has taken it in.
fn owner(session: &Session) -> Option<String> {
    Some(session.record().extra.get(SandboxAgent::OWNER)?.as_str()?.to_owned())
}
