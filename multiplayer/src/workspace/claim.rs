//! Whose a session is: of one workspace, for what happens in it is in that one's line.

use sandbox_agent_sdk::Session;

use super::Inner;
use crate::error::{Error, Result};

/// What the tag begins with that names a session's workspace.
const OWNER: &str = "workspace:";

/// The workspace that a session is of, where one has taken it in.
fn owner(session: &Session) -> Option<String> {
    session.record().tags.iter().find_map(|tag| tag.strip_prefix(OWNER)).map(str::to_owned)
}

impl Inner {
    /// Whether another workspace has taken it in.
    pub(super) fn is_of_another(&self, session: &Session) -> bool {
        owner(session).is_some_and(|owner| owner != self.id)
    }

    /// Marks a session as this workspace's. One of another would show each the other's events.
    pub(super) async fn claim(&self, session: &Session) -> Result<()> {
        let id = session.id();
        match owner(session) {
            Some(owner) if owner == self.id => Ok(()),
            Some(owner) => {
                tracing::warn!(workspace = self.id, session = id, owner, "a session is of another workspace");
                // Whoever comes is told this, and has no business with the other one.
                let message = format!(
                    "session {id:?} is of another workspace in this store; give each workspace a session of its \
                     own name"
                );
                Err(Error::invalid(message))
            }
            None => {
                let mut tags = session.record().tags;
                tags.insert(format!("{OWNER}{}", self.id));
                Ok(self.sdk.set_tags(id, tags).await?)
            }
        }
    }
}
