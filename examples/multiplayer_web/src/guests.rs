//! Who is let in: everybody on this machine, and elsewhere who has the link with the key.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};

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
        // One that says "all of them" is none to go to.
        let host = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
        let address = SocketAddr::new(host, address.port());
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
        if secret.len() < SECRET {
            return Err(Error::refused("come with a token of 16 characters or more that you made up"));
        }
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(is_unseen) {
            return Err(Error::refused("give a name of 1 to 40 letters"));
        }
        let person = Person::new(format!("{:016x}", self.ids.hash_one(secret))).named(name);
        // The parameters of a URL are texts.
        let watches = request.params.get("watch").is_some_and(|watch| *watch == true || *watch == "true");
        Ok(Participant::new(person, if watches { Rights::OBSERVER } else { Rights::OWNER }))
    }
}

/// Whether it is one that nobody sees and that turns what is around it.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether two secrets are the same, in a time that does not tell how far they are.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
