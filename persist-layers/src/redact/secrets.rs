//! Redaction by value and by name.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use sandbox_agent_persist::{RawValue, SessionEvent, SessionRecord};
use serde_json::{Map, Value};

use super::Redact;
use super::json::{Mode, Rules, rewrite};

/// What stands for whatever was redacted.
pub const REDACTED: &str = "[redacted]";

/// Members whose values are secret; as [`plain`] makes them.
const MEMBERS: [&str; 24] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "authorization",
    "authtoken",
    "bearertoken",
    "clientsecret",
    "cookie",
    "credential",
    "credentials",
    "idtoken",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "proxyauthorization",
    "refreshtoken",
    "secret",
    "secretkey",
    "sessiontoken",
    "setcookie",
    "token",
    "xapikey",
];
/// Members that hold names and values, of which any may be secret.
const BAGS: [&str; 2] = ["env", "headers"];

/// Redacts secrets that are known by their value or by the name of their member.
///
/// - A [value](Self::value) is found anywhere in a string, however that is escaped, and replaced by
///   [`REDACTED`]; the rest of the string stays.
/// - A [member](Self::member) has every string and number in it replaced. Names are compared without regard to
///   capitals, `-` and `_`. [`new`](Self::new) knows the usual ones: `apiKey`, `authorization`, `token`,
///   `password`, `secret`, `cookie`, …
/// - Of a member `env` or `headers` every value is replaced, be it an object of them or a list of `name` and
///   `value`, as MCP servers have them in `session_init` and in requests.
///
/// A payload's `jsonrpc`, `id` and `method` are never changed. One without a hit stays byte for byte as it was, and
/// where there is one, so does everything around it.
///
/// Not found is a secret that is encoded otherwise, such as in Base64, or that is cut in two: an agent that tells
/// it in chunks of a message may put a part of it into each.
#[derive(Clone)]
pub struct Secrets {
    values: Vec<String>,
    members: BTreeSet<String>,
    bags: BTreeSet<String>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self::new()
    }
}

impl Secrets {
    /// Knows the usual names of secret members, and no value.
    pub fn new() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { values: Vec::new(), members: names(&MEMBERS), bags: names(&BAGS) }
    }

    /// Knows nothing but what it is told.
    pub fn only() -> Self {
        Self { values: Vec::new(), members: BTreeSet::new(), bags: BTreeSet::new() }
    }

    /// Redacts this text wherever it stands. A short one may stand anywhere; an empty one is passed over.
    #[must_use]
    pub fn value(mut self, secret: impl Into<String>) -> Self {
        let secret = secret.into();
        // And in JSON that is a string in JSON, such as a tool's output.
        let printed = Value::String(secret.clone()).to_string();
        let printed = printed.get(1..printed.len() - 1).unwrap_or_default();
        for value in [secret.as_str(), printed] {
            if !value.is_empty() && !self.values.iter().any(|known| known == value) {
                self.values.push(value.to_owned());
            }
        }
        self
    }

    /// Redacts the values of members of this name.
    #[must_use]
    pub fn member(mut self, name: &str) -> Self {
        self.members.insert(plain(name));
        self
    }

    fn value_of(&self, value: &mut Value) {
        let json = value.to_string();
        if let Some(redacted) = rewrite(&json, Mode::Searched, self) {
            // What is nested too deeply to be read again goes whole.
            *value = serde_json::from_str(&redacted).unwrap_or_else(|_| REDACTED.into());
        }
    }
}

/// The name as names are compared.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

impl Rules for Secrets {
    fn member(&self, name: &str) -> Mode {
        let name = plain(name);
        match () {
            () if self.members.contains(&name) => Mode::Hidden,
            () if self.bags.contains(&name) => Mode::Bag,
            () => Mode::Searched,
        }
    }

    fn search(&self, text: &str) -> Option<String> {
        if !self.values.iter().any(|secret| text.contains(secret)) {
            return None;
        }
        // What was redacted before stays, so that nothing is found in it.
        let parts: Vec<_> = text.split(REDACTED).map(|part| self.without(part)).collect();
        let redacted = parts.join(REDACTED);
        (redacted != text).then_some(redacted)
    }

    fn mask(&self) -> &str {
        REDACTED
    }
}

impl Secrets {
    /// The text with each secret replaced: of those that begin at one place, the longest.
    fn without(&self, text: &str) -> String {
        let mut redacted = String::new();
        let mut at = 0;
        let find = |secret: &str, from: usize| text.get(from..)?.find(secret).map(|place| from + place);
        // Where each secret stands next, so that a text with many of them is not searched anew for each.
        let mut next: Vec<_> = self.values.iter().map(|secret| (secret, find(secret, 0))).collect();
        loop {
            let found = next.iter_mut().filter_map(|(secret, place)| {
                if place.is_some_and(|place| place < at) {
                    *place = find(secret, at);
                }
                place.map(|place| (place, secret.len()))
            });
            let first = found.min_by_key(|(place, length)| (*place, Reverse(*length)));
            let Some((place, length)) = first else {
                redacted.push_str(text.get(at..).unwrap_or_default());
                return redacted;
            };
            redacted.push_str(text.get(at..place).unwrap_or_default());
            redacted.push_str(REDACTED);
            at = place + length;
        }
    }
}

impl Redact for Secrets {
    fn payload(&self, event: &SessionEvent) -> Option<Box<RawValue>> {
        let redacted = rewrite(event.payload.get(), Mode::Envelope, self)?;
        // A string in the place of another, or of a number, leaves it JSON.
        Some(RawValue::from_string(redacted).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    fn record(&self, record: &mut SessionRecord) {
        let values = [&mut record.session_init, &mut record.config_options, &mut record.modes];
        for value in values.into_iter().flatten() {
            self.value_of(value);
        }
        if let Some(title) = &mut record.title
            && let Some(redacted) = self.search(title)
        {
            *title = redacted;
        }
        record.tags = std::mem::take(&mut record.tags)
            .into_iter()
            .map(|tag| self.search(&tag).unwrap_or(tag))
            .collect();
        let mut extra = Value::Object(std::mem::take(&mut record.extra));
        self.value_of(&mut extra);
        record.extra = match extra {
            Value::Object(extra) => extra,
            _ => Map::new(),
        };
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("values", &self.values.len())
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
