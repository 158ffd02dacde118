//! The bounds of a workspace in time and size.

use std::time::Duration;

/// The bounds of a workspace; each has a default that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long somebody who drives may be away before control is free: 10 s, which a page that is loaded
    /// anew and a network that changes take.
    pub grace: Duration,
    /// How long the hook may take to say who somebody is: 10 s.
    pub authorize: Duration,
    /// How long the store may take for a frame, tries included: 30 s, as the SDK gives it.
    pub store: Duration,
    /// The bytes of the newest frames that are in memory for subscribers: 16 MiB. Who is slower reads the store.
    pub tail_bytes: usize,
    /// The bytes of a prompt, as JSON has them: 1 MiB. The server takes 2 MiB for a message, with what is around it.
    pub prompt_bytes: usize,
    /// The prompts that may wait, in all sessions: 64.
    pub prompts: usize,
    /// How often the state is kept beside the line, in stored entries: 256. So many are read when it is opened.
    pub checkpoint: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            authorize: Duration::from_secs(10),
            store: Duration::from_secs(30),
            tail_bytes: 16 * 1024 * 1024,
            prompt_bytes: 1024 * 1024,
            prompts: 64,
            checkpoint: 256,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),+) => {
        impl Limits {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )+
        }
    };
}

setters! {
    grace: Duration, authorize: Duration, store: Duration, tail_bytes: usize, prompt_bytes: usize,
    prompts: usize, checkpoint: u64
}
