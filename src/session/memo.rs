//! What the SDK keeps of a session in its record, beside what TypeScript programs know.

use sandbox_agent_persist::SessionRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::own::ForkedFrom;

/// The member of the record that holds it.
const MEMBER: &str = "_sandboxAgent";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Memo {
    /// Since when the session is being opened on the process that the record names, in milliseconds
    /// since the Unix epoch: one that died in between left a process without a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opening: Option<i64>,
    /// The next prompt has to carry the history, because the agent does not know it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) transcript: bool,
    /// A turn that has become long, so that its beginning is found without reading it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<LongTurn>,
    /// A person gave the session its title.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) titled: bool,
    /// The models of an agent that has them apart from its options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) models: Option<Value>,
    /// What the agent said of itself when its process was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offers: Option<Value>,
    /// The agent's session is another's, to be taken up and not made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) adopted: bool,
    /// From where the session was forked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) forked: Option<ForkedFrom>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LongTurn {
    pub(crate) server_id: String,
    /// The JSON text of the prompt's id.
    pub(crate) rpc_id: String,
    /// The index of the prompt.
    pub(crate) index: u64,
    /// The indexes of the permission requests that had no answer.
    #[serde(default)]
    pub(crate) permissions: Vec<u64>,
}

impl Memo {
    /// What the record says; another version's may say what this one can't read.
    pub(crate) fn read(record: &SessionRecord) -> Self {
        record.extra.get(MEMBER).and_then(|memo| Self::deserialize(memo).ok()).unwrap_or_default()
    }

    pub(crate) fn write(&self, record: &mut SessionRecord) {
        // It has nothing that JSON can't hold.
        let memo = serde_json::to_value(self).unwrap_or_default();
        if *self == Self::default() {
            record.extra.remove(MEMBER);
        } else {
            record.extra.insert(MEMBER.to_owned(), memo);
        }
    }

    pub(crate) fn change(record: &mut SessionRecord, change: impl FnOnce(&mut Self)) {
        let mut memo = Self::read(record);
        change(&mut memo);
        memo.write(record);
    }
}
