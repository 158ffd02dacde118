//! The sessions of a workspace that is opened: new ones, and those that it had.

use std::sync::Arc;

use sandbox_agent_sdk::persist::SessionStatus;
use sandbox_agent_sdk::{Session, SessionRequest};

use super::Inner;
use crate::error::{Error, Result};
use crate::prompt::{Phase, PromptState};
use crate::snapshot::Snapshot;

impl Inner {
    pub(super) async fn take_up_sessions(
        self: &Arc<Self>,
        before: &Snapshot,
        first: Option<SessionRequest>,
    ) -> Result<()> {
        if let Some(request) = first {
            match self.sdk.get_session(request.id()).await? {
                Some(session) => self.take_up(session, before, Some(request)).await?,
                None => self.adopt(self.sdk.resume_or_create_session(request).await?).await?,
            }
        }
        for id in before.sessions.keys() {
            if self.sessions().contains_key(id) {
                continue;
            }
            match self.sdk.get_session(id).await? {
                Some(session) if !self.is_of_another(&session) => {
                    self.take_up(session, before, None).await?;
                }
                _ => self.end_what_is_left_of(id, before).await?,
            }
        }
        Ok(())
    }

    /// A session was deleted: so are its prompts and permissions over.
    async fn end_what_is_left_of(&self, id: &str, before: &Snapshot) -> Result<()> {
        for prompt in before.prompts.iter().filter(|prompt| prompt.session_id == id) {
            let gone = Error::not_found(format!("session {id:?} is gone from the store"));
            self.fail(prompt.clone(), &gone).await?;
        }
        for asked in before.permissions.iter().filter(|asked| asked.session_id == id) {
            self.resolved(&(id.to_owned(), asked.permission_id.clone()), None, None).await?;
        }
        Ok(())
    }

    /// Takes in a session of before. Its agent is looked for beside this, where that is of use.
    async fn take_up(
        self: &Arc<Self>,
        session: Session,
        before: &Snapshot,
        request: Option<SessionRequest>,
    ) -> Result<()> {
        let unfinished: Vec<PromptState> = before
            .prompts
            .iter()
            .filter(|prompt| prompt.session_id == session.id() && prompt.phase != Phase::Proposed)
            .cloned()
            .collect();
        self.hold_prompts(session.id());
        self.adopt(session.clone()).await?;
        let asked = before.permissions.iter().any(|asked| asked.session_id == session.id());
        let destroyed = session.record().status() == SessionStatus::Destroyed;
        let inner = self.clone();
        self.tasks.spawn(async move {
            let opened = match request {
                Some(request) => inner.sdk.resume_or_create_session(request).await.map(drop),
                // What was destroyed is not brought back by what it left.
                None if destroyed => Ok(()),
                None if asked || !unfinished.is_empty() => {
                    inner.sdk.resume_session(session.id()).await.map(drop)
                }
                None => Ok(()),
            };
            let taken_up = opened.is_ok();
            if let Err(error) = opened {
                // The next prompt tries again, and says so to whoever sent it.
                tracing::warn!(session = %session.id(), %error, "a workspace's session could not be taken up");
            }
            inner.go_on(&session, unfinished, taken_up).await;
        });
        Ok(())
    }
}
