//! What a host allows, in time, size and number.

use std::collections::BTreeSet;
use std::time::Duration;

/// What a host allows; each default says why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostOptions {
    /// How long a WebSocket may take to say hello: 10 s. Nobody has shown a token before that.
    pub hello: Duration,
    /// How often a WebSocket is pinged, and an SSE stream gets a comment: every 15 s, so that no proxy between
    /// takes it for idle.
    pub ping: Duration,
    /// The silence after which a WebSocket counts as dead, and an SSE stream of which nothing is taken: 50 s,
    /// three pings and a little. Whoever was only away comes back where they were.
    pub silence: Duration,
    /// How long a last word may take to be written before the connection is closed all the same: 2 s.
    pub farewell: Duration,
    /// The bytes of a message from a client: 2 MiB, which a prompt of 1 MiB needs at worst in usual texts.
    pub message_bytes: usize,
    /// The bytes of a frame that is sent as it is: 4 MiB. What is larger is [named](crate) and fetched in parts.
    pub frame_bytes: usize,
    /// About how many bytes an answer may have: 1 MiB. It bounds pages and parts.
    pub answer_bytes: usize,
    /// How many calls of one WebSocket may be unanswered: 16. One more is `full`.
    pub calls: usize,
    /// How many connections and calls are served at once, of all workspaces: 10,000. One more is `full`.
    pub connections: usize,
    pub(crate) origins: BTreeSet<String>,
    pub(crate) any_origin: bool,
    pub(crate) token_parameter: Option<String>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(50),
            farewell: Duration::from_secs(2),
            message_bytes: 2 * 1024 * 1024,
            frame_bytes: 4 * 1024 * 1024,
            answer_bytes: 1024 * 1024,
            calls: 16,
            connections: 10_000,
            origins: BTreeSet::new(),
            any_origin: false,
            token_parameter: None,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),+) => {
        impl HostOptions {
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
    hello: Duration, ping: Duration, silence: Duration, farewell: Duration, message_bytes: usize,
    frame_bytes: usize, answer_bytes: usize, calls: usize, connections: usize
}

impl HostOptions {
    /// Lets pages of this origin in too, such as `https://app.example.com`; those of the server's own always are.
    ///
    /// To read answers, such a page needs CORS headers as well, which are a layer of your own.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.insert(origin.into().to_ascii_lowercase());
        self
    }

    /// Lets pages of any origin in. Only where every workspace's hook asks for a token.
    #[must_use]
    pub fn allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Takes the token from this parameter of the URL too, for clients that can do no other.
    ///
    /// It will be in logs and histories: give out tokens that end soon.
    #[must_use]
    pub fn token_parameter(mut self, name: impl Into<String>) -> Self {
        self.token_parameter = Some(name.into());
        self
    }
}
