//! The bounds of an actor in time and size.

use std::time::Duration;

/// The bounds of a workspace's actor, beside those of the [workspace](sandbox_agent_multiplayer::Limits); each
/// has a default that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorLimits {
    /// How long nobody is connected, and nothing runs, before the actor sleeps: 30 s. It wakes in about half
    /// a second.
    pub sleep: Duration,
    /// How long opening the workspace may take: 40 s, of which the SDK's own bound for a sandbox that does
    /// not answer is 30 s. Calls wait for it.
    pub open: Duration,
    /// How long a call may take, opening included: 50 s. Then it is answered with
    /// [`TimedOut`](sandbox_agent_multiplayer::ErrorKind::TimedOut).
    pub call: Duration,
    /// How long a workspace may take to part from its sandbox when the actor sleeps: 10 s of the 15 s that the
    /// engine gives.
    pub part: Duration,
    /// How long frames are gathered for one message: 50 ms, which nobody notices. It grows with the number of
    /// those who look on.
    pub window: Duration,
    /// The messages of one actor to all who look on, in a second: 200. The engine carries 250 to 450 and drops
    /// what is above without a word.
    pub messages: u32,
    /// The bytes of one message to those who look on: 512 KiB, half of what closes a socket. A frame that
    /// is larger is fetched in parts.
    pub message_bytes: usize,
    /// The bytes of a page of frames, and of a part of one: 1 MiB, which takes some 20 ms.
    pub page_bytes: usize,
}

impl Default for ActorLimits {
    fn default() -> Self {
        Self {
            sleep: Duration::from_secs(30),
            open: Duration::from_secs(40),
            call: Duration::from_secs(50),
            part: Duration::from_secs(10),
            window: Duration::from_millis(50),
            messages: 200,
            message_bytes: 512 * 1024,
            page_bytes: 1024 * 1024,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),+) => {
        impl ActorLimits {
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
    sleep: Duration, open: Duration, call: Duration, part: Duration, window: Duration, messages: u32,
    message_bytes: usize, page_bytes: usize
}
