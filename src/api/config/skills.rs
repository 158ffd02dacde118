//! Skills.

use serde::{Deserialize, Serialize};

use crate::api::values::options;

/// Where skills come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SkillsConfig {
    /// All places, in order.
    pub sources: Vec<SkillSource>,
}

impl SkillsConfig {
    /// From these places.
    pub fn new(sources: impl IntoIterator<Item = SkillSource>) -> Self {
        Self { sources: sources.into_iter().collect() }
    }
}

/// One place that skills come from.
///
/// ```
/// use sandbox_agent_sdk::api::config::{SkillSource, SkillsConfig};
///
/// let skills = SkillsConfig::new([SkillSource::new("github", "owner/repository").skills(["review"])]);
/// # let _ = skills;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SkillSource {
    /// What kind of place: `github`, `git` or `local`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The place.
    pub source: String,
    /// Which skills of it; all unless set.
    pub skills: Option<Vec<String>>,
    /// Which branch, tag or commit of it.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The folder in it that has the skills.
    pub subpath: Option<String>,
}

impl SkillSource {
    /// A place of this kind (`github`, `git` or `local`), all skills of it.
    pub fn new(kind: impl Into<String>, source: impl Into<String>) -> Self {
        Self { kind: kind.into(), source: source.into(), skills: None, reference: None, subpath: None }
    }

    /// Only these skills of it, with those that are set.
    #[must_use]
    pub fn skills<S: Into<String>>(mut self, skills: impl IntoIterator<Item = S>) -> Self {
        self.skills.get_or_insert_default().extend(skills.into_iter().map(Into::into));
        self
    }

    options! {
        /// Which branch, tag or commit of it.
        reference: String,
        /// The folder in it that has the skills.
        subpath: String,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SkillsConfigQuery {
    pub(crate) directory: String,
    pub(crate) skill_name: String,
}

impl SkillsConfigQuery {
    pub(super) fn new(directory: &str, name: &str) -> Self {
        Self { directory: directory.to_owned(), skill_name: name.to_owned() }
    }
}
