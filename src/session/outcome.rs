//! How a session was opened.

use super::handle::Session;
use super::settings::NotRestored;

/// A session, and how it came to be open.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// What the agent knows of its past.
    pub outcome: ResumeOutcome,
    /// The mode, model and options that could not be put back. Empty in most cases.
    pub not_restored: Vec<NotRestored>,
}

/// What the agent knows of a session's past, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeOutcome {
    /// The SDK had it open.
    Open,
    /// The agent process that ran it last lives: what was missed is fetched, and a turn that was
    /// running goes on; [`Session::running_turn`] has it.
    Reattached,
    /// A new agent process, which took the session up from the agent's own records.
    Resumed,
    /// The same, and the agent told the past again; what the store had is not stored twice.
    Loaded,
    /// A new agent process; the next prompt begins with the newest turns as readable text.
    Transcript,
    /// A new session without a past.
    Fresh,
}
