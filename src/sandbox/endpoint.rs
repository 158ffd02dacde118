//! How a sandbox's server is reached.

use std::fmt;

/// The address of a sandbox's server, and what opens it.
///
/// `Debug` shows neither the token nor the values of headers, and of the address only that there is one: some
/// providers put a key into it.
#[derive(Clone)]
pub struct SandboxEndpoint {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) client: Option<reqwest::Client>,
}

impl SandboxEndpoint {
    /// A server at this address, such as `http://127.0.0.1:2468`, that asks for no token.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), token: None, headers: Vec::new(), client: None }
    }

    /// The bearer token that the server asks for.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A header for every request, such as a proxy's in front of the server asks for; its value is kept secret.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The HTTP client by which alone the server is reached: with a tunnel, or certificates of the provider's.
    #[must_use]
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }
}

impl fmt::Debug for SandboxEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("SandboxEndpoint")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}
