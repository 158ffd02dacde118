//! The bounds of a client in time and size.

use std::time::Duration;

/// The bounds of a [`WorkspaceClient`](super::WorkspaceClient); each has a default that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientLimits {
    /// One try to connect: 10 s.
    pub connect: Duration,
    /// The longest wait between two tries: 10 s. The first one is 100 ms, or this if it is less; each is twice
    /// the one before, and up to as much again is added by chance, so that the clients of a host that was
    /// away come one by one. A connection that was good for 5 s starts it over.
    pub reconnect: Duration,
    /// A call, from when it was made, the time without a connection included: 30 s.
    pub call: Duration,
    /// The silence after which the host is asked whether there is more: 5 s. The last message before a
    /// silence may be one that was lost, and nothing else shows that. So what was lost is here at most this,
    /// and an answer, later. Each client asks so often while nothing happens.
    pub check: Duration,
    /// How long the host may take to answer what the client itself asks, to fill a hole or to check: 10 s.
    /// Then the connection counts as dead.
    pub answer: Duration,
    /// The calls that may wait for a connection: 64.
    pub waiting: usize,
    /// The calls that may be under way, those that wait included: 256.
    pub calls: usize,
    /// The bytes of the newest frames that are in memory for subscribers: 8 MiB, about. Who is slower reads
    /// from the host.
    pub window_bytes: usize,
    /// The bytes of what arrived ahead of a hole: 2 MiB, about. What is more is fetched with the hole.
    pub ahead_bytes: usize,
    /// The bytes of one frame: 64 MiB. A larger one is told as a frame of the kind `large` that has its number
    /// and its size, and nothing else.
    pub frame_bytes: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            reconnect: Duration::from_secs(10),
            call: Duration::from_secs(30),
            check: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            waiting: 64,
            calls: 256,
            window_bytes: 8 * 1024 * 1024,
            ahead_bytes: 2 * 1024 * 1024,
            frame_bytes: 64 * 1024 * 1024,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),+) => {
        impl ClientLimits {
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
    connect: Duration, reconnect: Duration, call: Duration, check: Duration, answer: Duration,
    waiting: usize, calls: usize, window_bytes: usize, ahead_bytes: usize, frame_bytes: usize
}
