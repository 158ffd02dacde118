//! What the oracle found.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Lost,
    Doubled,
    Disordered,
    SilentGap,
    Hung,
    PromptTwice,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    /// How many of it.
    pub(crate) count: u64,
    pub(crate) text: String,
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Prompts that agents received.
    pub(crate) turns: u64,
    /// Events of agents that are stored.
    pub(crate) events: u64,
    pub(crate) gaps: u64,
    /// What processes wrote behind the last event that was seen of them, by why they ended.
    pub(crate) tails: BTreeMap<String, u64>,
    /// Prompts that made the agent exit.
    pub(crate) agent_exits: u64,
    pub(crate) findings: Vec<Finding>,
}

impl Verdict {
    pub(super) fn find(&mut self, kind: Kind, count: u64, text: String) {
        self.findings.push(Finding { kind, count, text });
    }

    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.findings.iter().filter(|finding| finding.kind == kind).map(|finding| finding.count).sum()
    }
}
