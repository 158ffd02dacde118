//! How an agent starts, and what it offers.

use std::time::Duration;

/// How an agent process starts.
///
/// An agent that offers `session/load` or `session/resume` keeps what was said in its sessions,
/// for the agent that opens them later. It comes back with the default mode and model, as real
/// agents do, and tells each change of them as an update.
///
/// ```
/// use sandbox_agent_testkit::AgentOptions;
///
/// let options = AgentOptions::new().load().merge_replay();
/// assert!(options.load && !options.resume);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentOptions {
    /// How long the answer to `initialize` takes.
    pub init_delay: Duration,
    /// How `initialize` goes wrong, if it shall.
    pub fail_init: Option<FailInit>,
    /// Whether it offers `session/load`.
    pub load: bool,
    /// Whether it offers `session/resume`.
    pub resume: bool,
    /// Whether `session/load` replays text that the agent said in a row as one chunk, as real
    /// agents do, rather than each chunk as it was.
    pub merge_replay: bool,
    /// Whether it forks, lists, closes and deletes its sessions.
    pub manage: bool,
    /// Whether it has an option of the category `thought_level`, `effort`, and a switch, `fast`.
    pub thought: bool,
    /// Whether it opens sessions only once it was logged in, by the method `key`.
    pub login: bool,
}

impl AgentOptions {
    /// An agent that answers at once, and whose sessions end with it.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the answer to `initialize` takes.
    #[must_use]
    pub fn init_delay(mut self, delay: Duration) -> Self {
        self.init_delay = delay;
        self
    }

    /// Lets `initialize` go wrong.
    #[must_use]
    pub fn fail_init(mut self, how: FailInit) -> Self {
        self.fail_init = Some(how);
        self
    }

    /// Offers `session/load`.
    #[must_use]
    pub fn load(mut self) -> Self {
        self.load = true;
        self
    }

    /// Offers `session/resume`.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Offers `session/fork`, `session/list`, `session/close` and `session/delete`.
    #[must_use]
    pub fn manage(mut self) -> Self {
        self.manage = true;
        self
    }

    /// Has the options `effort` (`low`, `high`) and `fast`.
    #[must_use]
    pub fn thought(mut self) -> Self {
        self.thought = true;
        self
    }

    /// Wants to be logged in, and offers the methods `browser`, which never works, and `key`.
    #[must_use]
    pub fn login(mut self) -> Self {
        self.login = true;
        self
    }

    /// Replays text that the agent said in a row as one chunk.
    #[must_use]
    pub fn merge_replay(mut self) -> Self {
        self.merge_replay = true;
        self
    }
}

/// How `initialize` goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailInit {
    /// The process exits with code 1 instead of answering.
    Exit,
    /// The answer is the JSON-RPC error -32603.
    Error,
}
