//! Tokens that change: who gives them, and when that one is asked.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared, ready};
use reqwest::header::HeaderValue;
use tokio::time::{Instant, timeout};

use super::within::unbounded;
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::limits;

/// Gives the tokens of a server whose tokens change, such as those of an identity provider.
///
/// It is asked before each request, also before an event stream or a WebSocket is opened again, unless the last
/// token is still [valid](Token::valid_for); and once more when the server refuses one (401), after which
/// the request is sent a second time. The server did nothing for a request that it refused so, so that not even a
/// prompt can run twice. Where it is not the server that refused, but a proxy, that is not known: then only what may
/// be repeated (GET, PUT, DELETE) is sent again. Anything else, such as a prompt, fails with
/// [`Unauthorized`](ErrorKind::Unauthorized) and [`Delivery::Unknown`](crate::Delivery::Unknown), and the provider is
/// asked for another token before the next request. Who needs a token while the provider is being asked waits for that answer: however many
/// requests there are, it is asked once at a time.
///
/// One call is bounded by [`Limits::token`](crate::Limits::token) (30 s), which is added to the bound of what needs
/// the token. What it fails with is the source of a
/// [`TokenUnavailable`](ErrorKind::TokenUnavailable), and is shown with it: it must not hold a token. A call may be
/// dropped, once all who waited for it were.
///
/// A function without arguments that gives a text is a provider, too:
///
/// ```no_run
/// # async fn read_token() -> std::io::Result<String> { Ok(String::new()) }
/// # async fn example() -> Result<(), sandbox_agent_sdk::Error> {
/// use sandbox_agent_sdk::SandboxAgent;
///
/// let sdk = SandboxAgent::builder("https://sandbox.example.com")
///     .token_provider(|| async { read_token().await })
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
///
/// One that keeps its tokens for as long as they hold:
///
/// ```
/// use std::error::Error;
/// use std::time::Duration;
/// use sandbox_agent_sdk::{Token, TokenProvider, async_trait};
///
/// struct Login;
///
/// #[async_trait]
/// impl TokenProvider for Login {
///     async fn token(&self, refused: Option<&Token>) -> Result<Token, Box<dyn Error + Send + Sync>> {
///         // A token that was refused is not to be given again.
///         let fresh = refused.is_some();
///         let (text, seconds) = log_in(fresh).await?;
///         Ok(Token::new(text).valid_for(Duration::from_secs(seconds)))
///     }
/// }
/// # async fn log_in(_: bool) -> std::io::Result<(String, u64)> { Ok(("t".into(), 60)) }
/// ```
#[async_trait]
pub trait TokenProvider: Send + Sync + 'static {
    /// The token to send. `refused` is the one that the server has just refused, where it is asked for that
    /// reason: then another one is wanted, and the same one again fails the request.
    async fn token(&self, refused: Option<&Token>) -> Result<Token, Box<dyn StdError + Send + Sync>>;
}

#[async_trait]
impl<F, A, T, E> TokenProvider for F
where
    F: Fn() -> A + Send + Sync + 'static,
    A: Future<Output = Result<T, E>> + Send,
    T: Into<Token>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    async fn token(&self, _refused: Option<&Token>) -> Result<Token, Box<dyn StdError + Send + Sync>> {
        match self().await {
            Ok(token) => Ok(token.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A bearer token, and how long it holds. Its text is in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    valid_for: Option<Duration>,
}

impl Token {
    /// A token that is asked for again before the next request.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), valid_for: None }
    }

    /// How long it holds from now on: until then the provider is not asked again, unless the server refuses it.
    ///
    /// Set it somewhat shorter than the server does: a request is on its way for a while.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }

    /// The token itself, to compare or to renew it. It is secret.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// As the value of the header, which its own `Debug` output hides.
    pub(super) fn header(&self) -> Result<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.text))
            .map_err(|_| Error::invalid("the token has characters that no header can carry"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("valid_for", &self.valid_for).finish_non_exhaustive()
    }
}

type Answer = BoxFuture<'static, Result<Token>>;

/// The tokens of one SDK.
pub(super) struct Tokens {
    provider: Arc<dyn TokenProvider>,
    /// One call of the provider takes no longer.
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest answer, and until when it holds.
    known: Option<(Token, Instant)>,
    /// The last one that was refused, until a call of the provider was told so.
    refused: Option<Token>,
    asking: Option<Asking>,
}

/// The call of the provider that runs. It ends with the last one who waits for it.
struct Asking {
    refused: Option<Token>,
    answer: WeakShared<Answer>,
}

impl State {
    fn refuse(&mut self, token: &Token) {
        let replaced = self
            .known
            .as_ref()
            .is_some_and(|(known, until)| known.text != token.text && Instant::now() < *until);
        if !replaced {
            self.known = None;
            self.refused = Some(token.clone());
        }
    }

    /// The answer of a call that was told of this refusal.
    fn given(&mut self, token: &Token, told: Option<&Token>) {
        let newly_refused = self.refused.as_ref().filter(|refused| Some(*refused) != told);
        if newly_refused.is_some_and(|refused| refused.text == token.text) {
            return;
        }
        self.refused = None;
        let until = limits::after(Instant::now(), token.valid_for.unwrap_or_default());
        self.known = Some((token.clone(), until));
    }
}

impl Tokens {
    pub(super) fn new(provider: Arc<dyn TokenProvider>, limit: Duration) -> Arc<Self> {
        Arc::new(Self { provider, limit, state: Mutex::default() })
    }

    /// The token to send now.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Token> {
        unbounded(self.ask(None).0).await
    }

    /// The token to send in place of one that was refused.
    pub(super) async fn in_place_of(self: &Arc<Self>, refused: &Token) -> Result<Token> {
        loop {
            let (answer, knows) = self.ask(Some(refused));
            let token = unbounded(answer).await?;
            // Else it is the answer of a call that began before the refusal was known.
            if knows || token.text != refused.text {
                return Ok(token);
            }
        }
    }

    /// A token was refused, and nobody needs another one at once: who does next tells the provider.
    pub(super) fn refused(&self, token: &Token) {
        self.state().refuse(token);
    }

    /// What will be the answer, and whether who gives it knows of the refusal.
    fn ask(self: &Arc<Self>, refused: Option<&Token>) -> (Shared<Answer>, bool) {
        let mut state = self.state();
        if let Some(refused) = refused {
            state.refuse(refused);
        }
        if let Some((token, until)) = &state.known
            && Instant::now() < *until
        {
            return (ready(Ok(token.clone())).boxed().shared(), true);
        }
        if let Some(asking) = &state.asking
            && let Some(answer) = asking.answer.upgrade()
        {
            let knows = asking.refused.as_ref() == refused;
            return (answer, knows);
        }
        let told = state.refused.clone();
        let answer = self.call(told.clone());
        state.asking = answer.downgrade().map(|answer| Asking { refused: told, answer });
        (answer, true)
    }

    fn call(self: &Arc<Self>, told: Option<Token>) -> Shared<Answer> {
        let tokens = self.clone();
        let call = async move {
            let asked = timeout(tokens.limit, tokens.provider.token(told.as_ref())).await;
            let mut state = tokens.state();
            state.asking = None;
            let token = match asked {
                Ok(Ok(token)) => token,
                Ok(Err(error)) => {
                    return Err(unavailable("the token provider failed").with_cause(error.into()));
                }
                Err(_) => {
                    let message = format!("the token provider gave no token within {:?}", tokens.limit);
                    return Err(unavailable(message));
                }
            };
            state.given(&token, told.as_ref());
            Ok(token)
        };
        call.boxed().shared()
    }

    /// Nothing panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::TokenUnavailable, message).with_delivery(Delivery::NotSent)
}

#[cfg(test)]
mod tests;
