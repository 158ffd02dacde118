//! What an agent said of itself: kept in the record, because a process that is taken up is not asked again.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::outcome::ResumeOutcome;
use crate::acp_types::{AgentCapabilities, AuthMethod};
use crate::error::{Error, ErrorKind, Result};

pub(super) const RESUME: &str = "session/resume";
pub(super) const LOAD: &str = "session/load";

/// Members of the answer to `initialize`, as JSON: agents in the field differ there.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers(Value);

const KEPT: [&str; 3] = ["agentCapabilities", "authMethods", "agentInfo"];

impl Offers {
    pub(super) fn of_answer(mut answer: Value) -> Self {
        let members = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), answer.get_mut(name)?.take())));
        Self(Value::Object(members.collect::<Map<_, _>>()))
    }

    pub(super) fn recorded(offers: Option<Value>) -> Self {
        Self(offers.unwrap_or_default())
    }

    pub(super) fn to_record(&self) -> Option<Value> {
        Some(self.0.clone()).filter(|offers| offers.as_object().is_some_and(|members| !members.is_empty()))
    }

    pub(super) fn capabilities(&self) -> AgentCapabilities {
        AgentCapabilities::deserialize(&self.0["agentCapabilities"]).unwrap_or_default()
    }

    /// Those that can be read: one of a kind that is not known here hides no other.
    pub(super) fn auth_methods(&self) -> Vec<AuthMethod> {
        let methods = self.0["authMethods"].as_array().map(Vec::as_slice).unwrap_or_default();
        methods.iter().filter_map(|method| AuthMethod::deserialize(method).ok()).collect()
    }

    /// How the agent can take up a session that it had, best first.
    pub(super) fn rungs(&self) -> impl Iterator<Item = (&'static str, ResumeOutcome)> + use<> {
        let rungs = [(RESUME, ResumeOutcome::Resumed), (LOAD, ResumeOutcome::Loaded)];
        let offered: Vec<_> = rungs.into_iter().filter(|(rung, _)| self.has(rung)).collect();
        offered.into_iter()
    }

    /// Whether the agent says that it has this method of a session.
    pub(super) fn has(&self, method: &str) -> bool {
        let capabilities = &self.0["agentCapabilities"];
        if method == LOAD {
            return capabilities["loadSession"] == true;
        }
        let name = method.strip_prefix("session/").unwrap_or(method);
        let capability = &capabilities["sessionCapabilities"][name];
        capability.is_object() || *capability == true
    }

    pub(super) fn require(&self, method: &str) -> Result<()> {
        if self.has(method) { Ok(()) } else { Err(not_offered(method)) }
    }
}

pub(super) fn not_offered(method: &str) -> Error {
    let message = format!("the agent does not offer {method:?}; do without it, or take another agent");
    Error::new(ErrorKind::NotOffered { method: method.to_owned() }, message)
}
