//! What drivers keep of a state in the process, by their keys.

use std::collections::BTreeMap;

use sandbox_agent_persist::PersistError;

use crate::Content;

#[derive(Debug, Default)]
pub(crate) struct Contents(BTreeMap<String, Content>);

impl Contents {
    /// What a driver has under the key; it goes on in the one that reads this.
    pub(crate) fn hand_over(&self, key: &str) -> Option<String> {
        self.0.get(key).map(Content::retire)
    }

    /// Whether the content came to the key by this.
    ///
    /// # Errors
    /// `Fenced` where another driver has the key.
    pub(crate) fn attach(&mut self, key: &str, content: &Content) -> Result<bool, PersistError> {
        match self.0.get(key) {
            Some(held) if held.is_of(content) => return Ok(false),
            Some(held) if !held.is_retired() => return Err(content.overtaken()),
            _ => {}
        }
        self.0.insert(key.to_owned(), content.clone());
        Ok(true)
    }

    #[cfg(feature = "cbor")]
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.0.iter().map(|(key, content)| (key.as_str(), content))
    }
}
