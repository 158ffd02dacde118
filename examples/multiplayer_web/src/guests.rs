//! Who is let in: everybody on this machine, and elsewhere who has the link with the key.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use sandbox_agent_multiplayer::{Authorize, ConnectionRequest, Error, Participant, Person, Result, Rights};

/// The least length of the secret that a page makes up.
const SECRET: usize = 16;
const NAME: usize = 40;

/// Lets guests in under the name that they give.
pub(crate) struct Guests {
    /// What the invitation has; `None` where only this machine can connect.
    key: Option<String>,
    /// Makes a person's id of their page's secret, which others must not learn: they see the id.
    ids: RandomState,
}

impl Guests {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let key = (!address.ip().is_loopback()).then(|| uuid::Uuid::new_v4().simple().to_string());
        Self { key, ids: RandomState::new() }
    }

    /// The link to give to others. The key is behind a `#`, which browsers send to nobody.
    pub(crate) fn invitation(&self, address: SocketAddr) -> String {
        match &self.key {
            None => format!("http://{address}/"),
            Some(key) => format!("http://{address}/#key={key}"),
        }
    }
}

#[async_trait::async_trait]
impl Authorize for Guests {
    async fn connect(&self, request: &ConnectionRequest) -> Result<Participant> {
        if let Some(key) = &self.key
            && !same(request.param("key").unwrap_or_default(), key)
        {
            return Err(Error::refused("this page needs the link with the key, which the terminal printed"));
        }
        let secret = request.token.as_deref().unwrap_or_default();
        let name = request.param("name").unwrap_or_default().trim();
        if secret.len() < SECRET || name.is_empty() || name.chars().count() > NAME {
            return Err(Error::refused("give a name of 1 to 40 letters"));
        }
        let person = Person::new(format!("{:016x}", self.ids.hash_one(secret))).named(name);
        let watches = request.params.get("watch").and_then(serde_json::Value::as_bool).unwrap_or_default();
        Ok(Participant::new(person, if watches { Rights::OBSERVER } else { Rights::OWNER }))
    }
}

/// Whether two secrets are the same, in a time that does not tell how far they are.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
