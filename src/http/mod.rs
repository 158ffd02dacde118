//! Plain HTTP to the server: addresses, authentication, and errors that keep secrets in.

mod problem;
mod send;
mod token;
mod within;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use url::Url;

pub use problem::Problem;
use token::Tokens;
pub use token::{Token, TokenProvider};
pub(crate) use within::within;

use crate::error::{Delivery, Error, ErrorKind, Result};

/// A response body that is no event is read up to this size; nothing of the server's is larger.
const MAX_BODY: usize = 1024 * 1024;

/// For a request whose time the SDK bounds itself, or that has no end of its own: whatever total limit the
/// caller's HTTP client sets, this goes over it.
pub(crate) const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A header's value of fewer bytes is no secret, and taking it out would make an error unreadable.
const SECRET: usize = 4;

/// The server, as seen by one SDK.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    /// For what can be sent again, where that is to go over connections that are open already.
    keeping: Option<reqwest::Client>,
    base: Url,
    headers: HeaderMap,
    tokens: Option<Arc<Tokens>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// What the SDK's own client is made with.
pub(crate) fn client() -> reqwest::ClientBuilder {
    let client = reqwest::Client::builder();
    #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
    let client = client.tls_backend_native();
    // Also where both are compiled in: which one is used must not depend on what other crates turn on.
    #[cfg(feature = "rustls")]
    let client = client.tls_backend_rustls();
    client
        // A server or proxy that closes an idle connection just when a prompt goes out on it
        // leaves it unknown whether the agent got it.
        .pool_max_idle_per_host(0)
        // A redirect would carry headers of the caller's to another host.
        .redirect(reqwest::redirect::Policy::none())
}

/// The same, with connections that are kept until they were idle for so long.
pub(crate) fn keeping(idle: Duration) -> reqwest::ClientBuilder {
    client().pool_max_idle_per_host(usize::MAX).pool_idle_timeout(idle)
}

/// Refuses an address that this build's own client can't speak to.
pub(crate) fn check_tls(url: &str) -> Result<()> {
    check_for_tls(url, cfg!(any(feature = "rustls", feature = "native-tls")))
}

fn check_for_tls(url: &str, is_there: bool) -> Result<()> {
    if !is_there && url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")) {
        let message = "no TLS is compiled in for https://; turn on the feature `rustls` or `native-tls` of \
                       sandbox-agent-sdk, or give the builder a client";
        return Err(Error::new(ErrorKind::NoTls, message));
    }
    Ok(())
}

/// That client, or the error that none can be made.
pub(crate) fn build(client: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    client.build().map_err(|error| Error::invalid("no HTTP client could be made").with_source(error))
}

impl Http {
    pub(crate) fn new(
        client: reqwest::Client,
        base: &str,
        token: Option<&str>,
        headers: &[(String, String)],
    ) -> Result<Self> {
        let base = parse_base(base)?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let parsed = HeaderName::try_from(name.as_str())
                .map_err(|_| Error::invalid(format!("{name:?} is no header name")))?;
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| {
                Error::invalid(format!("the value of header {name:?} has forbidden characters"))
            })?;
            value.set_sensitive(true);
            map.insert(parsed, value);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Error::invalid("the token has characters that no header can carry"))?;
            value.set_sensitive(true);
            map.insert(AUTHORIZATION, value);
        }
        Ok(Self { client, keeping: None, base, headers: map, tokens: None })
    }

    /// Sends what can be sent again by this client, which keeps its connections.
    pub(crate) fn with_kept_connections(mut self, keeping: reqwest::Client) -> Self {
        self.keeping = Some(keeping);
        self
    }

    /// Takes the tokens of a provider, each call of which may take so long, in place of a fixed one.
    pub(crate) fn with_provider(mut self, provider: Arc<dyn TokenProvider>, limit: Duration) -> Self {
        self.headers.remove(AUTHORIZATION);
        self.tokens = Some(Tokens::new(provider, limit));
        self
    }

    /// A request to a path below the base, each segment encoded on its own.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.request_with(method, segments, &[])
    }

    /// The same, with a query.
    pub(crate) fn request_with(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        self.request_by(&self.client, method, segments, query)
    }

    /// The same for a request that does no harm when it is sent again, which is what becomes of one whose connection
    /// the other side was closing.
    pub(crate) fn repeatable_with(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        self.request_by(self.keeping.as_ref().unwrap_or(&self.client), method, segments, query)
    }

    fn request_by(
        &self,
        client: &reqwest::Client,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        client.request(method, url).headers(self.headers.clone())
    }

    /// The page of the server's that people look at, without anything secret.
    pub(crate) fn inspector(&self) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["ui", ""]);
        }
        url
    }

    /// The same with what the page needs to talk to the server.
    pub(crate) async fn signed_inspector(&self) -> Result<Url> {
        let fixed =
            self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = match &self.tokens {
            Some(tokens) => Some(tokens.current().await?),
            None => fixed.map(Token::from),
        };
        let others: serde_json::Map<_, _> = self
            .headers
            .iter()
            .filter(|(name, _)| **name != AUTHORIZATION || fixed.is_none())
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
            .collect();
        let mut url = self.inspector();
        if let Some(token) = &token {
            url.query_pairs_mut().append_pair("token", token.reveal());
        }
        if !others.is_empty() {
            let headers = serde_json::Value::Object(others).to_string();
            url.query_pairs_mut().append_pair("headers", &headers);
        }
        Ok(url)
    }

    /// One health check, within `limit`.
    pub(crate) async fn health(&self, limit: Duration) -> Result<()> {
        let request = self.request(Method::GET, &["v1", "health"]).timeout(limit);
        self.accept(self.send(request).await?).await?;
        Ok(())
    }
}

fn parse_base(base: &str) -> Result<Url> {
    let url = Url::parse(base).map_err(|error| {
        Error::invalid("the server's address is no URL; it looks like http://127.0.0.1:2468")
            .with_source(error)
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Error::invalid("the server's address must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid(
            "the server's address must not hold a password; pass a token to the builder",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::invalid("the server's address must have no query and no fragment"));
    }
    Ok(url)
}

/// What reqwest could not do. Its URL is left out: a query may carry what nobody should read.
pub(crate) fn transport(error: reqwest::Error) -> Error {
    let delivery =
        if error.is_connect() || error.is_builder() { Delivery::NotSent } else { Delivery::Unknown };
    Error::new(ErrorKind::Unreachable, "the server did not answer")
        .with_source(error.without_url())
        .with_delivery(delivery)
}

impl Http {
    /// Passes a success on and turns anything else into its error, without what we sent: a proxy may
    /// show the headers of a request that it refuses.
    pub(crate) async fn accept(&self, response: Response) -> Result<Response> {
        let token = response.extensions().get::<Token>().cloned();
        accept(response, |problem| problem.redact(&|text| self.redact(text, token.as_ref()))).await
    }

    fn redact(&self, text: &str, token: Option<&Token>) -> String {
        let secrets = self.headers.values().filter_map(|value| value.to_str().ok());
        let words = secrets.flat_map(|secret| [secret, secret.strip_prefix("Bearer ").unwrap_or(secret)]);
        let words = words.chain(token.map(Token::reveal));
        words.filter(|word| word.len() >= SECRET).fold(text.to_owned(), |text, word| text.replace(word, "…"))
    }
}

async fn accept(response: Response, redact: impl Fn(&mut Problem)) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
    let body = read_capped(response, MAX_BODY).await.unwrap_or_default();
    let mut problem = Problem::read(status.as_u16(), &body);
    redact(&mut problem);
    let error = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            // Of anybody else's refusal it isn't known what the server did before.
            let (who, delivery) = match problem.is_the_servers() {
                true => ("the server", Delivery::NotSent),
                false => ("what answers for the server", Delivery::Unknown),
            };
            Error::new(ErrorKind::Unauthorized, format!("{who} refused the token: {problem}"))
                .with_delivery(delivery)
        }
        // A document says which limit it was; this one is before all of them, and has none.
        StatusCode::PAYLOAD_TOO_LARGE if problem.kind.is_empty() => Error::new(
            ErrorKind::TooLarge { limit: 2 * 1024 * 1024 },
            "the server takes no request over 2 MB",
        )
        .with_delivery(Delivery::NotSent),
        _ => {
            let refused = status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
            let delivery = if refused { Delivery::NotSent } else { Delivery::Unknown };
            let message = format!("the server refused the request: {problem}");
            Error::new(ErrorKind::Refused(problem), message).with_delivery(delivery)
        }
    };
    Err(error.with_retry_after(after))
}

/// A number of seconds, or a point in time.
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = crate::time::parse_http(text)? - crate::session::now_ms();
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// Reads a body that must not be larger than `limit`.
pub(crate) async fn read_capped(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    // What the server says of the size is a hint: it saves copies of what is large.
    let expected = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Vec::with_capacity(expected.unwrap_or_default().min(limit));
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > limit {
            return Err(Error::new(
                ErrorKind::TooLarge { limit },
                format!("the server's answer is larger than {limit} bytes"),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn https_without_tls_is_refused_before_anything_is_sent() {
        let error = check_for_tls("HTTPS://sandbox.example.com", false).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NoTls);
        assert!(error.to_string().contains("`rustls` or `native-tls`"), "{error}");
        check_for_tls("https://sandbox.example.com", true).unwrap();
        check_for_tls("http://127.0.0.1:2468", false).unwrap();
    }

    #[test]
    fn when_to_come_again_is_a_number_of_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "that was long ago");
        let text = "Fri, 31 Dec 2999 23:59:59 GMT";
        let ms = crate::time::parse_http(text).unwrap() - crate::session::now_ms();
        let wait = retry_after(text).unwrap();
        assert!(wait.abs_diff(Duration::from_millis(ms as u64)) < Duration::from_secs(5), "{wait:?}");
        assert_eq!(retry_after("soon"), None);
    }
}
