//! How the SDK acts towards an agent in its caller's name.

use std::fmt;

use super::auth::Authentication;
use crate::acp_types::ClientCapabilities;
use crate::handlers::ClientHandlers;

/// What is set here goes over what is set for the whole SDK.
#[derive(Clone, Default)]
pub(crate) struct Conduct {
    pub(crate) authentication: Option<Authentication>,
    pub(crate) capabilities: Option<ClientCapabilities>,
    pub(crate) handlers: Option<ClientHandlers>,
}

/// Without what `_meta` may hold.
impl fmt::Debug for Conduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conduct")
            .field("authentication", &self.authentication)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}

impl Conduct {
    /// What is set here, and for the rest what `other` says.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            authentication: self.authentication.or_else(|| other.authentication.clone()),
            capabilities: self.capabilities.or_else(|| other.capabilities.clone()),
            handlers: self.handlers.or_else(|| other.handlers.clone()),
        }
    }

    /// What the agent is told that it may ask for: whatever was said, only what is handled.
    pub(crate) fn declared(&self) -> ClientCapabilities {
        let handlers = self.handlers.clone().unwrap_or_default();
        handlers.declare(self.capabilities.clone().unwrap_or_default())
    }
}
