//! Every bound that the SDK keeps, with its default and why it has that value.

mod area;

use std::time::Duration;

use tokio::time::Instant;

pub use area::Area;
use area::Areas;
pub(crate) use area::HEALTH;

const MIB: usize = 1024 * 1024;
/// Further than anything lasts: where a limit is too large to be a point in time.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The point in time that lies `limit` after `start`.
pub(crate) fn after(start: Instant, limit: Duration) -> Instant {
    start.checked_add(limit).unwrap_or_else(|| start + FAR)
}

/// The bounds of one SDK, set with [`SandboxAgentBuilder::limits`](crate::SandboxAgentBuilder::limits).
///
/// ```
/// use std::time::Duration;
/// use sandbox_agent_sdk::Limits;
///
/// let limits = Limits::default()
///     .turn(Some(Duration::from_secs(3600)))
///     .silence(Some(Duration::from_secs(300)));
/// # let _ = limits;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    pub(crate) connect: Duration,
    pub(crate) token: Duration,
    pub(crate) request: Duration,
    pub(crate) turn: Option<Duration>,
    pub(crate) silence: Option<Duration>,
    pub(crate) permission: Option<Duration>,
    pub(crate) unconfirmed: Duration,
    pub(crate) cancel: Duration,
    pub(crate) reconnect: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) call: Duration,
    pub(crate) areas: Areas,
    pub(crate) transfer: Duration,
    pub(crate) tries: usize,
    pub(crate) retry: Duration,
    pub(crate) answer_bytes: usize,
    pub(crate) store: Duration,
    pub(crate) lease: Duration,
    pub(crate) sandbox: Duration,
    pub(crate) queue_bytes: usize,
    pub(crate) event_bytes: usize,
    pub(crate) message_bytes: usize,
    pub(crate) tail_bytes: usize,
    pub(crate) queued_prompts: usize,
    pub(crate) pending_requests: usize,
    pub(crate) pending_permissions: usize,
    pub(crate) handler: Duration,
    pub(crate) handler_wait: Duration,
    pub(crate) pending_handlers: usize,
    pub(crate) transcript_chars: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            token: Duration::from_secs(30),
            request: Duration::from_secs(120),
            turn: None,
            silence: Some(Duration::from_secs(30 * 60)),
            permission: None,
            unconfirmed: Duration::from_secs(25),
            cancel: Duration::from_secs(10),
            reconnect: Duration::from_secs(60),
            heartbeat: Duration::from_secs(45),
            call: Duration::from_secs(30),
            areas: Areas::default(),
            transfer: Duration::from_secs(600),
            tries: 6,
            retry: Duration::from_secs(60),
            answer_bytes: 64 * MIB,
            store: Duration::from_secs(30),
            lease: Duration::from_secs(30),
            sandbox: Duration::from_secs(5 * 60),
            queue_bytes: 64 * MIB,
            event_bytes: 64 * MIB,
            message_bytes: 2 * MIB,
            tail_bytes: 4 * MIB,
            queued_prompts: 64,
            pending_requests: 256,
            pending_permissions: 256,
            handler: Duration::from_secs(120),
            handler_wait: Duration::from_secs(30 * 60),
            pending_handlers: 64,
            transcript_chars: 32_000,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl Limits {
    setters! {
        /// How long `connect` waits for a healthy server. 30 s: a sandbox that boots takes seconds.
        connect: Duration,
        /// How long one call of a [token provider](crate::TokenProvider) may take. 30 s: longer than a busy
        /// identity provider, no longer than one try of a call. It is added to the bound of whatever needs the token,
        /// for each time that one is needed: a short bound is the server's, and says nothing of the provider.
        token: Duration,
        /// How long a request other than a prompt waits for its answer. 120 s, the server's own
        /// limit on a call: the first session of an agent may install it.
        request: Duration,
        /// How long a turn may last in all. None: agents work for hours.
        turn: Option<Duration>,
        /// How long a turn may go without any event; the clock stands still while a permission is
        /// pending. 30 minutes: longer than any tool call that is not stuck.
        silence: Option<Duration>,
        /// How long a permission request may stay unanswered before its turn is cancelled. None: people take their time.
        permission: Option<Duration>,
        /// How long a turn that was found running when its session was reattached may go on without
        /// a sign that the agent has its prompt; then it is told to stop. 25 s: agents show something within
        /// seconds, who died between storing and sending left a prompt that nobody has, and whoever waits for
        /// it waits less than a minute, a service's restart included. More where models think longer in silence.
        unconfirmed: Duration,
        /// How long a cancelled turn gets to end by itself before its process is ended. 10 s.
        cancel: Duration,
        /// How long a server may be away before what waits for it fails. 60 s: a restart takes less.
        reconnect: Duration,
        /// How long a connection may be silent before it counts as dead. 45 s: three of the server's heartbeats.
        heartbeat: Duration,
        /// How long one try of a call may take that is not about a session, such as one of
        /// [`processes`](crate::SandboxAgent::processes). 30 s: the server answers these at once, or has a
        /// limit of its own for them, which is added. [`area`](Self::area) sets it for some of them alone.
        call: Duration,
        /// How long a call may take that carries a file or an image, or that installs something. 10 minutes:
        /// some 64 MiB over a slow line, or an agent with its runtime.
        transfer: Duration,
        /// How often an idempotent call is tried. 6: with the pauses between them some 3 s, in which a proxy
        /// has found its server again. 1: never again. Where the server says when to come again (`Retry-After`, in
        /// seconds or as a date), it is not asked earlier.
        tries: usize,
        /// How long after its first try an idempotent call may be tried again. 60 s, as long as a server may be
        /// away; one that is away for [`reconnect`](Self::reconnect) is not tried any more either.
        retry: Duration,
        /// The largest answer that is read into memory: a file, an image, the log of a process. 64 MiB: six times
        /// the log that the server keeps.
        answer_bytes: usize,
        /// How long a store that is unavailable is tried again before the session fails, and how
        /// long one call of it may take. 30 s: longer than a busy database, shorter than a person waits.
        store: Duration,
        /// How long a session stays held by an SDK that died, where it [holds](crate::SandboxAgentBuilder::holder)
        /// its sessions. 30 s: it is renewed three times as often, and a node that is gone is noticed soon.
        lease: Duration,
        /// How long one call of a [provider](crate::SandboxProvider) may take. 5 minutes: a container's image or a
        /// machine may have to be brought first.
        sandbox: Duration,
        /// Bytes of events that may wait between socket and store, for each session. 64 MiB:
        /// some seconds of the fastest agent. When it is full the socket isn't read.
        queue_bytes: usize,
        /// The largest single event. 64 MiB: a file or an image in a tool call fits.
        event_bytes: usize,
        /// The largest message to the agent: a prompt with its images. 2 MiB, which is all that the
        /// server takes: a larger one is refused before it is sent.
        message_bytes: usize,
        /// Bytes of the newest events that subscribers of a session read from memory. 4 MiB; a
        /// slower subscriber reads from the store.
        tail_bytes: usize,
        /// How many prompts of a session may wait for the running one. 64: more is a loop gone wrong.
        queued_prompts: usize,
        /// How many requests of a session may wait for the agent's answer. 256: more is a loop gone wrong.
        pending_requests: usize,
        /// How many permission requests of a session may wait for a person; one more is refused.
        /// 256: nobody answers more.
        pending_permissions: usize,
        /// How long a [handler](crate::ClientHandlers) may take to answer the agent. 120 s, as long as a request of ours may.
        handler: Duration,
        /// The same where it waits for a person's answer or for a command's end. 30 minutes: longer than any
        /// that is not stuck.
        handler_wait: Duration,
        /// How many of a session's handlers may run at once; one request more is refused. 64: an agent
        /// works on few things at a time.
        pending_handlers: usize,
        /// Characters of history that a recreated session gets. 32,000: about 8,000 tokens.
        transcript_chars: usize,
    }
}
