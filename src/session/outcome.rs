//! How a session was opened.

use super::handle::Session;

/// A session, and how it came to be open.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// What the agent knows of its past.
    pub outcome: ResumeOutcome,
}

/// What the agent knows of a session's past, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeOutcome {
    /// The SDK had it open.
    Open,
    /// A new agent process; the next prompt begins with the newest turns as readable text.
    Transcript,
    /// A new session without a past.
    Fresh,
}
