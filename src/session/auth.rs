//! How a session's agent is logged in, before the session is opened.

use std::fmt;
use std::sync::Arc;

use crate::acp_types::AuthMethod;

/// How an agent is logged in: by one of the methods that it offers.
///
/// It is done on each new process, after `initialize` and before the session is opened, so that an
/// agent which keeps its login elsewhere needs none. Set it for [all sessions](crate::SandboxAgentBuilder::authentication)
/// or for [one](crate::SessionRequest::authentication); without it nothing is done, and an agent that wants a login
/// refuses to open its session with [`Agent`](crate::ErrorKind::Agent) -32000.
///
/// ```
/// use sandbox_agent_sdk::Authentication;
///
/// let by_key = Authentication::method("openai-api-key");
/// let by_whichever_key = Authentication::choose(|methods| {
///     let ids = methods.iter().map(|method| method.id().to_string());
///     ids.into_iter().find(|id| id.ends_with("api-key"))
/// });
/// # let _ = (by_key, by_whichever_key);
/// ```
#[derive(Clone)]
pub struct Authentication(How);

type Chooser = dyn Fn(&[AuthMethod]) -> Option<String> + Send + Sync;

#[derive(Clone)]
enum How {
    Method(String),
    Choose(Arc<Chooser>),
}

impl Authentication {
    /// By the method with this id. Opening a session fails with [`InvalidInput`](crate::ErrorKind::InvalidInput) where the
    /// agent doesn't offer it; the error [lists](crate::Error::offered) those that it offers.
    pub fn method(id: impl Into<String>) -> Self {
        Self(How::Method(id.into()))
    }

    /// By the method whose id the function returns; it is given those that the agent offers. With `None`
    /// nothing is done. It is called on a runtime's worker, and must not block.
    pub fn choose(choose: impl Fn(&[AuthMethod]) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(How::Choose(Arc::new(choose)))
    }

    pub(super) fn chosen(&self, methods: &[AuthMethod]) -> Option<String> {
        match &self.0 {
            How::Method(id) => Some(id.clone()),
            How::Choose(choose) => choose(methods),
        }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            How::Method(id) => f.debug_tuple("Authentication").field(id).finish(),
            How::Choose(_) => f.write_str("Authentication(…)"),
        }
    }
}
