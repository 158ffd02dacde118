//! What of a record is encrypted.

use std::collections::BTreeSet;

use sandbox_agent_persist::SessionRecord;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The members of a record that are stored as one encrypted value.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Hidden {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    session_init: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    config_options: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    modes: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    extra: Map<String, Value>,
}

/// `null` is a value, too.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl Hidden {
    /// Takes them out of the record.
    pub(super) fn take(record: &mut SessionRecord) -> Self {
        Self {
            session_init: record.session_init.take(),
            config_options: record.config_options.take(),
            modes: record.modes.take(),
            title: record.title.take(),
            tags: std::mem::take(&mut record.tags),
            extra: std::mem::take(&mut record.extra),
        }
    }

    /// Puts them back.
    pub(super) fn put(self, record: &mut SessionRecord) {
        let Self { session_init, config_options, modes, title, tags, extra } = self;
        record.session_init = session_init;
        record.config_options = config_options;
        record.modes = modes;
        record.title = title;
        record.tags = tags;
        record.extra = extra;
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
