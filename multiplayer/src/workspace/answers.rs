//! Permissions: asked, answered, gone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sandbox_agent_sdk::acp_schema::PermissionOptionKind;
use sandbox_agent_sdk::{PermissionReply, PermissionRequest, Session};

use super::Inner;
use crate::error::{Error, Result};
use crate::frame::{FrameBody, PermissionRequested, PermissionResolved};

/// The permissions that somebody of this workspace is answering right now.
#[derive(Debug, Default)]
pub(crate) struct Answering(Mutex<HashSet<(String, String)>>);

impl Answering {
    fn add(&self, key: &(String, String)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone())
    }

    fn remove(&self, key: &(String, String)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn has(&self, key: &(String, String)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

impl Inner {
    /// Answers, and puts into the line who did. Runs to its end also when the caller goes.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        by: String,
        session_id: String,
        permission_id: String,
        reply: PermissionReply,
    ) -> Result<()> {
        let session = self.session(Some(&session_id))?;
        let inner = self.clone();
        let answering = self.tasks.spawn(async move {
            let key = (session_id, permission_id);
            if !inner.answering.add(&key) {
                return Err(gone(&key.1));
            }
            let request = session.pending_permissions().into_iter().find(|pending| pending.id == key.1);
            let answered = session.respond(&key.1, reply.clone()).await.map_err(Error::from);
            let shown = match &answered {
                Ok(()) => {
                    let option = request.and_then(|request| chosen(&request, &reply));
                    inner.resolved(&key, option, Some(by)).await
                }
                Err(_) => Ok(()),
            };
            inner.answering.remove(&key);
            inner.reconcile(&session).await?;
            answered.and(shown)
        });
        answering.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    /// Shows a request that an agent makes.
    pub(super) async fn asked(&self, session: &Session, request: PermissionRequest) -> Result<()> {
        let asked = PermissionRequested {
            session_id: request.session_id,
            permission_id: request.id,
            event_index: request.event_index,
            tool_call: request.tool_call,
            options: request.options,
        };
        let known = self.line.tail.look(|now| {
            now.permissions.iter().any(|known| {
                known.session_id == asked.session_id && known.permission_id == asked.permission_id
            })
        });
        if !known {
            self.line.append(FrameBody::PermissionRequested(Box::new(asked))).await?;
        }
        self.reconcile(session).await
    }

    /// Takes from the list what nobody can answer any more.
    ///
    /// Not while the session is being taken up: what its agent waits for is listed again only then.
    pub(super) async fn reconcile(&self, session: &Session) -> Result<()> {
        if self.is_being_taken_up(session.id()) {
            return Ok(());
        }
        let listed = self.line.tail.look(|now| {
            let of_session = now.permissions.iter().filter(|known| known.session_id == session.id());
            of_session.map(|known| known.permission_id.clone()).collect::<Vec<_>>()
        });
        if listed.is_empty() {
            return Ok(());
        }
        let pending = session.pending_permissions();
        for id in listed {
            let key = (session.id().to_owned(), id);
            if pending.iter().all(|pending| pending.id != key.1) && !self.answering.has(&key) {
                self.resolved(&key, None, None).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn resolved(
        &self,
        (session_id, permission_id): &(String, String),
        option_id: Option<String>,
        by: Option<String>,
    ) -> Result<()> {
        let _gate = self.gate.lock().await;
        let listed = self.line.tail.look(|now| {
            now.permissions
                .iter()
                .any(|known| known.session_id == *session_id && known.permission_id == *permission_id)
        });
        if !listed {
            return Ok(());
        }
        let resolved = PermissionResolved {
            session_id: session_id.clone(),
            permission_id: permission_id.clone(),
            option_id,
            by,
        };
        self.line.append(FrameBody::PermissionResolved(resolved)).await.map(drop)
    }
}

fn gone(id: &str) -> Error {
    Error::not_found(format!("permission {id:?} waits for nobody; somebody answered it, or its turn ended"))
}

/// The option that a reply stands for.
fn chosen(request: &PermissionRequest, reply: &PermissionReply) -> Option<String> {
    use PermissionOptionKind::{AllowAlways, AllowOnce, RejectAlways, RejectOnce};
    let kinds: &[PermissionOptionKind] = match reply {
        PermissionReply::Once => &[AllowOnce],
        PermissionReply::Always => &[AllowAlways],
        PermissionReply::Reject => &[RejectOnce, RejectAlways],
        PermissionReply::Option(id) => return Some(id.clone()),
        _ => return None,
    };
    let first = |kind| request.options.iter().find(|option| option.kind == kind);
    kinds.iter().find_map(|kind| first(*kind)).map(|option| option.option_id.0.to_string())
}
