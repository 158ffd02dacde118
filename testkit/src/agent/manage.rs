//! What an agent does with its sessions beside opening them: fork, list, close and delete.

use agent_client_protocol::Error;
use agent_client_protocol_schema::v1::{
    SessionCapabilities, SessionCloseCapabilities, SessionDeleteCapabilities, SessionForkCapabilities,
    SessionListCapabilities,
};
use serde_json::{Value, json};

use super::{Shared, failed};

pub(super) fn capabilities(manage: bool) -> SessionCapabilities {
    let capabilities = SessionCapabilities::new();
    if !manage {
        return capabilities;
    }
    capabilities
        .fork(SessionForkCapabilities::new())
        .list(SessionListCapabilities::new())
        .close(SessionCloseCapabilities::new())
        .delete(SessionDeleteCapabilities::new())
}

impl Shared {
    pub(super) fn manage(&self, method: &str, session: &str) -> Result<Value, Error> {
        match method {
            "session/fork" => {
                let (fork, settings) = self.sessions.fork(session)?;
                let past = match &self.archive {
                    Some(archive) => archive.read(session).map_err(failed)?.unwrap_or_default(),
                    None => Vec::new(),
                };
                self.remember(&fork, &past)?;
                let (modes, options) = (settings.modes(), settings.config_options());
                Ok(json!({ "sessionId": fork, "modes": modes, "configOptions": options }))
            }
            "session/list" => {
                let ids = self.archive.as_ref().map(|archive| archive.list()).transpose().map_err(failed)?;
                let sessions = ids.unwrap_or_default().into_iter();
                let sessions: Vec<_> = sessions.map(|id| json!({ "sessionId": id, "cwd": "/" })).collect();
                Ok(json!({ "sessions": sessions }))
            }
            "session/close" => self.sessions.close(session).map(|()| json!({})),
            "session/delete" => {
                if let Some(archive) = &self.archive {
                    archive.delete(session).map_err(failed)?;
                }
                Ok(json!({}))
            }
            method => Err(Error::method_not_found().data(json!(method))),
        }
    }
}
