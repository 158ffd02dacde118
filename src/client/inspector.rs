//! The server's own page, for people.

use std::fmt;

use super::SandboxAgent;
use crate::error::Result;

impl SandboxAgent {
    /// The address of the server's web page, on which people look at its sessions, such as
    /// `http://127.0.0.1:2468/ui/`.
    ///
    /// It holds no secret, and may be shown and logged. Where the server has a token, the page asks for it; an
    /// address that brings it along is [`signed_inspector_url`](Self::signed_inspector_url). Returns at once, and
    /// asks nobody.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), sandbox_agent_sdk::Error> {
    /// # let sdk = sandbox_agent_sdk::SandboxAgent::connect("http://127.0.0.1:2468").await?;
    /// println!("look at {}", sdk.inspector_url());
    /// # Ok(()) }
    /// ```
    pub fn inspector_url(&self) -> String {
        self.shared.parts.http.inspector().into()
    }

    /// The same with the token and the headers of this SDK in its query, so that the page asks for nothing.
    ///
    /// Whoever has this address can do all that the SDK can. It stays in the browser's history and in the logs of
    /// proxies: give it to one person whom you know, and rather a token that soon ends. Bounded by
    /// [`Limits::token`](crate::Limits::token) where a [provider](crate::TokenProvider) gives the token, and fails as
    /// that does; else it returns at once.
    pub async fn signed_inspector_url(&self) -> Result<SecretUrl> {
        Ok(SecretUrl(self.shared.parts.http.signed_inspector().await?.into()))
    }
}

/// An address that is as secret as what it holds. It is in no `Debug` output, and has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The address itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl(…)")
    }
}
