//! Settings of an SDK, and the wait for its server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::SessionPersistDriver;
use sandbox_agent_persist_memory::MemorySessionPersistDriver;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::acp_types::ClientCapabilities;
use crate::client::SandboxAgent;
use crate::error::{Error, ErrorKind, Result};
use crate::handlers::ClientHandlers;
use crate::http::{self, Http, TokenProvider};
use crate::limits::{self, HEALTH, Limits};
use crate::metrics::Counters;
use crate::sandbox::{SandboxEndpoint, SandboxProvider, Start};
use crate::session::{Authentication, Conduct, Parts, Store};
use crate::sse::Reconnect;

/// A store on another machine takes some time for each renewal.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// What a [`SandboxAgent`] is made with.
///
/// ```no_run
/// # async fn example() -> Result<(), sandbox_agent_sdk::Error> {
/// use sandbox_agent_sdk::SandboxAgent;
///
/// let sdk = SandboxAgent::builder("https://sandbox.example.com")
///     .token("secret")
///     .header("x-team", "blue")
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing happens before `connect`"]
pub struct SandboxAgentBuilder {
    /// Empty where a provider will tell.
    url: String,
    provider: Option<Arc<dyn SandboxProvider>>,
    sandbox_id: Option<String>,
    token: Option<String>,
    tokens: Option<Arc<dyn TokenProvider>>,
    headers: Vec<(String, String)>,
    client: Option<reqwest::Client>,
    keep: Option<Duration>,
    persist: Option<Arc<dyn SessionPersistDriver>>,
    holder: Option<Arc<str>>,
    compact: bool,
    conduct: Conduct,
    limits: Limits,
}

impl fmt::Debug for SandboxAgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxAgentBuilder")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("token_provider", &self.tokens.as_ref().map(|_| "…"))
            .field("provider", &self.provider)
            .field("persist", &self.persist)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl SandboxAgentBuilder {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            provider: None,
            sandbox_id: None,
            token: None,
            tokens: None,
            headers: Vec::new(),
            client: None,
            keep: None,
            persist: None,
            holder: None,
            compact: false,
            conduct: Conduct::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn in_sandbox(provider: Arc<dyn SandboxProvider>) -> Self {
        Self { provider: Some(provider), ..Self::new("") }
    }

    /// The bearer token of the server. It is in no error, log or `Debug` output.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self.tokens = None;
        self
    }

    /// Who gives the bearer token, where it changes: asked before each request, and again once after the server
    /// refused one. It takes the place of [`token`](Self::token), as the later of the two calls counts.
    pub fn token_provider(mut self, provider: impl TokenProvider) -> Self {
        self.tokens = Some(Arc::new(provider));
        self.token = None;
        self
    }

    /// A header for every request; its value is kept secret like the token.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// An HTTP client of the caller's own: proxy, certificates, pool. Its total timeout does not
    /// apply to event streams. One that keeps idle connections may send a prompt on a connection
    /// that the other side is closing; the SDK's own keeps none.
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Keeps connections open for calls that may be sent again, each until it was idle for so long; none unless told.
    ///
    /// A call of [`fs`](SandboxAgent::fs), for instance, then costs a third of what it does with a connection of its
    /// own. Prompts, and whatever must not happen twice, get one each all the same: on a connection that the other
    /// side is closing, nobody knows whether they arrived. Choose less than the server or a proxy keeps idle
    /// connections. Of no effect with a [client](Self::client) of the caller's own, which has its own pool.
    pub fn keep_connections(mut self, idle: Duration) -> Self {
        self.keep = Some(idle);
        self
    }

    /// Where sessions and their events are kept; in memory unless told.
    pub fn persist(mut self, driver: impl SessionPersistDriver) -> Self {
        self.persist = Some(Arc::new(driver));
        self
    }

    /// Holds each session that it opens, under this name, so that no other SDK on the store drives it
    /// meanwhile: only who holds a session prompts and answers permissions; the others see its events, as
    /// far as the store [tells](sandbox_agent_persist::SessionFollow) of them.
    ///
    /// Another SDK that opens the session gets [`Held`](ErrorKind::Held) with this name, and can
    /// [take it over](SandboxAgent::take_over_session). The name has to be one that no other running SDK
    /// has, such as host and process: who comes again under a name gets its sessions back at once, and so a second
    /// one takes them from the first, whose calls then fail with an error that says so. The session is let go of when it is closed, detached or destroyed, and [`Limits::lease`] (30 s) after
    /// the SDK died. Needs a store with [leases](sandbox_agent_persist::SessionLease); an SDK on the
    /// store that holds no sessions is refused those that others hold.
    pub fn holder(mut self, name: impl Into<String>) -> Self {
        self.holder = Some(name.into().into());
        self
    }

    /// Folds what an agent said once a turn has ended: the chunks of one message, of which there may be
    /// thousands, become one event, which keeps the range of indexes that it
    /// [stands for](sandbox_agent_persist::SessionEvent::indexes). Readers get each chunk's text once, also those that are
    /// in the middle of a run. What is lost is each chunk's own time.
    ///
    /// Off unless told: the record is then every message as it travelled. Needs a store with
    /// [upkeep](sandbox_agent_persist::SessionUpkeep). [`SandboxAgent::compact_session`] does the same for a past.
    pub fn compact(mut self, compact: bool) -> Self {
        self.compact = compact;
        self
    }

    /// How agents are logged in before a session is opened on them. Nothing is done unless told.
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.conduct.authentication = Some(authentication);
        self
    }

    /// What agents may ask of the client, beside permissions: files, terminals, questions, extensions. Nothing
    /// unless told: each such request is then refused at once.
    pub fn handlers(mut self, handlers: ClientHandlers) -> Self {
        self.conduct.handlers = Some(handlers);
        self
    }

    /// What else `initialize` says that the client can do, `_meta` among it. Files, terminals and
    /// elicitation in it are set by the [handlers](Self::handlers), whatever it says: only what is handled is
    /// declared.
    pub fn client_capabilities(mut self, capabilities: ClientCapabilities) -> Self {
        self.conduct.capabilities = Some(capabilities);
        self
    }

    /// The bounds in time and size.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connects to the sandbox with this [id](SandboxAgent::sandbox_id), in place of making one. Only for a builder that
    /// [`builder_in`](SandboxAgent::builder_in) gave.
    pub fn sandbox_id(mut self, id: impl Into<String>) -> Self {
        self.sandbox_id = Some(id.into());
        self
    }

    /// Waits until the server is healthy, and connects.
    ///
    /// Bounded by [`Limits::connect`] (30 s), and where a provider has to have the sandbox run first, by
    /// [`Limits::sandbox`] for each of its calls; a [token provider](Self::token_provider) may take
    /// [`Limits::token`] more. A server that refuses the token fails at once with
    /// [`Unauthorized`](ErrorKind::Unauthorized), one that never answers with
    /// [`Unreachable`](ErrorKind::Unreachable), and an `https://` that nothing here can speak with
    /// [`NoTls`](ErrorKind::NoTls). Must be called in a tokio runtime.
    pub async fn connect(mut self) -> Result<SandboxAgent> {
        let driver = self.persist.take().unwrap_or_else(|| Arc::new(MemorySessionPersistDriver::new()));
        self.check(&*driver)?;
        let start = match self.provider.take() {
            None => None,
            Some(provider) => {
                let (start, endpoint) =
                    Start::new(provider, self.sandbox_id.as_deref(), self.limits.sandbox).await?;
                self.reach(endpoint);
                Some(start)
            }
        };
        let http = match self.http().await {
            Ok(http) => http,
            Err(error) => {
                if let Some(start) = start {
                    start.undo().await;
                }
                return Err(error);
            }
        };
        let counters = Arc::<Counters>::default();
        let sandbox = start.map(Start::keep);
        let parts = Parts {
            http,
            store: Store::new(driver, self.limits.store, counters.clone()),
            limits: self.limits,
            holder: self.holder,
            sandbox_id: sandbox.as_ref().map(|sandbox| sandbox.id.clone()),
            compacts: self.compact,
            conduct: self.conduct,
            counters,
            runtime: Handle::current(),
            stop: CancellationToken::new(),
        };
        Ok(SandboxAgent::new(parts, sandbox))
    }

    /// What can be known to be wrong before anything is started.
    fn check(&self, driver: &dyn SessionPersistDriver) -> Result<()> {
        match self.holder.as_deref() {
            Some("") => return Err(Error::invalid("the name of the holder must not be empty")),
            Some(_) if driver.leases().is_none() => {
                let store = name_of(driver);
                let message = format!("{store} grants no leases; take a store that does, or set no holder");
                return Err(Error::invalid(message));
            }
            _ => {}
        }
        if self.holder.is_some() && self.limits.lease < SHORTEST_LEASE {
            let message = format!(
                "a lease of {:?} ends before it is renewed; give `Limits::lease` at least {SHORTEST_LEASE:?}",
                self.limits.lease
            );
            return Err(Error::invalid(message));
        }
        if self.limits.heartbeat.is_zero() {
            return Err(Error::invalid("`Limits::heartbeat` is 0: every connection would count as dead"));
        }
        if self.compact && driver.upkeep().is_none() {
            let store = name_of(driver);
            let message = format!("{store} folds no events; take a store that does, or don't compact");
            return Err(Error::invalid(message));
        }
        if self.sandbox_id.is_some() && self.provider.is_none() {
            return Err(Error::invalid("a sandbox's id says nothing without a provider: use `builder_in`"));
        }
        Ok(())
    }

    /// Takes what the provider says, but for what was set by hand.
    fn reach(&mut self, endpoint: SandboxEndpoint) {
        self.url = endpoint.url;
        if self.tokens.is_none() {
            self.token = self.token.take().or(endpoint.token);
        }
        self.client = self.client.take().or(endpoint.client);
        // The later of two headers of one name counts.
        self.headers.splice(0..0, endpoint.headers);
    }

    async fn http(&mut self) -> Result<Http> {
        let (client, keeping) = match self.client.take() {
            Some(client) => (client, None),
            None => {
                http::check_tls(&self.url)?;
                let keeping = self.keep.map(|idle| http::build(http::keeping(idle))).transpose()?;
                (http::build(http::client())?, keeping)
            }
        };
        let mut http = Http::new(client, &self.url, self.token.as_deref(), &self.headers)?;
        if let Some(keeping) = keeping {
            http = http.with_kept_connections(keeping);
        }
        if let Some(tokens) = self.tokens.take() {
            http = http.with_provider(tokens, self.limits.token);
        }
        wait_for_health(&http, self.limits.connect).await?;
        Ok(http)
    }
}

/// The word that the store's `Debug` output begins with: the rest tells of what it holds.
fn name_of(driver: &dyn SessionPersistDriver) -> String {
    let shown = format!("{driver:?}");
    shown.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
}

pub(crate) async fn wait_for_health(http: &Http, limit: Duration) -> Result<()> {
    let deadline = limits::after(Instant::now(), limit);
    let mut reconnect = Reconnect::new(limit);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A server that boots may accept a connection and say nothing.
        let error = match http.health(left.min(HEALTH)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_unauthorized() => return Err(error),
            Err(error) => error,
        };
        match reconnect.failed(Instant::now()) {
            Some(delay) if Instant::now() + delay < deadline => sleep(delay).await,
            _ if *error.kind() == ErrorKind::TokenUnavailable => return Err(error),
            _ => {
                let message =
                    format!("no healthy server answered within {limit:?}; start one, or check the address");
                return Err(Error::new(ErrorKind::Unreachable, message).with_source(error));
            }
        }
    }
}
