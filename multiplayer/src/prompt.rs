//! Prompts of a workspace, from being accepted to their end.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A prompt for a session, with an id that the client made.
///
/// The id is what makes a prompt safe to send again: however often it comes, and whatever restarts in
/// between, the agent is asked once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NewPrompt {
    /// The client's id: unique within the workspace, such as a UUID; at most 128 bytes.
    pub prompt_id: String,
    /// What to say.
    pub text: String,
    /// The session; the workspace's first one unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The [term](crate::Control::term) of control that the client acts on: when control has changed hands
    /// since, the prompt is refused with [`StaleControl`](crate::ErrorKind::StaleControl).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
}

impl NewPrompt {
    /// A prompt with a new random id.
    pub fn new(text: impl Into<String>) -> Self {
        Self::with_id(uuid::Uuid::new_v4().to_string(), text)
    }

    /// A prompt with this id.
    pub fn with_id(prompt_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { prompt_id: prompt_id.into(), text: text.into(), session_id: None, term: None }
    }

    /// The session that it is for.
    #[must_use]
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.session_id = Some(id.into());
        self
    }

    /// The term of control that it is sent under.
    #[must_use]
    pub fn term(mut self, term: u64) -> Self {
        self.term = Some(term);
        self
    }
}

/// How far a prompt is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PromptState {
    /// The client's id of it.
    pub prompt_id: String,
    /// The session that it is for.
    pub session_id: String,
    /// Who sent it.
    pub by: String,
    /// How far it is.
    pub phase: Phase,
    /// The frame that says what was said.
    pub sequence: u64,
    /// Why the turn ended, of one that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// What went wrong, of one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// How far a prompt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// It waits for somebody who drives to accept it, or for its author to get control.
    Proposed,
    /// It waits for its turn.
    Queued,
    /// The agent works on it.
    Running,
    /// The agent answered.
    Done,
    /// It ended without an answer.
    Failed,
    /// It was withdrawn or turned down before it was sent.
    Withdrawn,
    /// It was known once, and how it ended is not; or something that this version does not know.
    #[serde(other)]
    Unknown,
}

impl PromptState {
    pub(crate) fn new(prompt_id: &str, session_id: &str, by: &str, phase: Phase, sequence: u64) -> Self {
        Self {
            prompt_id: prompt_id.to_owned(),
            session_id: session_id.to_owned(),
            by: by.to_owned(),
            phase,
            sequence,
            stop_reason: None,
            error: None,
        }
    }
}

/// A prompt that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Accepted {
    /// How far it is. The frame that says it has the number 0 where it was over long ago.
    #[serde(flatten)]
    pub prompt: PromptState,
    /// Whether it was known already: this call changed nothing.
    #[serde(default)]
    pub known: bool,
}

impl Accepted {
    pub(crate) fn known(prompt: PromptState) -> Self {
        Self { prompt, known: true }
    }
}

impl Phase {
    /// Whether nothing more happens to the prompt.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Withdrawn)
    }
}

/// What went wrong with a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Failure {
    /// A word to match on, as [`ErrorKind::code`](crate::ErrorKind::code) has it.
    pub code: String,
    /// A sentence to read.
    pub message: String,
    /// Whether the agent got the prompt: `not_sent`, `unknown` or `executed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// More to know, by kind.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}
