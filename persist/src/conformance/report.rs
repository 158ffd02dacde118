//! What the suite found.

use std::fmt;

/// The sentences of the contract; the first is number 1.
pub const SENTENCES: [&str; 18] = [
    "`update_session` stores the record whole, in place of the one with the same id.",
    "`get_session` returns what was last stored, unknown members included, and `None` for an unknown id.",
    "`list_sessions` gives every session once, ordered by `(created_at, id)`, either way.",
    "An event is stored only if it begins at the session's next index; the first is 1. Any other is a `Conflict` that names the next.",
    "An event whose id is known to the store is a `Duplicate`, whatever its index, and changes nothing. This is checked before the index.",
    "`list_events` gives an event byte for byte as it came, ordered by index, either way.",
    "Each session counts for itself, and events may come before the record. An event that names another session than the call is an error.",
    "An insert that returned is seen by every later read, through any clone of the driver.",
    "`insert_events` stores the whole batch or a prefix of it. It stops at the first event that is a `Duplicate` or a `Conflict` and returns that; those before it were stored, and nothing else.",
    "Of many inserts at once with the same index, exactly one is `Stored`.",
    "A call that is dropped before it returned has stored its events whole, as a prefix, or not at all.",
    "Following `next_cursor` gives every item once, also while others insert; `None` ends it.",
    "`after_index` and `before_index` are exclusive, and a page has at most `limit` items.",
    "A cursor that the store did not give out is an `InvalidCursor` error.",
    "`delete_session` removes the record and all its events, touches no other session, and is no error for an unknown id. A session that comes again under the id begins at 1.",
    "A store that evicts drops only the oldest events of a session, or a session whole, and never gives an index out again.",
    "A list that is asked to begin at an evicted event, by `after_index`, `before_index` or cursor, is an `Evicted { from, to }` error. With no position given, the list begins or ends at the oldest event held.",
    "With `durable`, what an insert or update returned for is there when the store is opened again without having been closed.",
];

/// A sentence of the contract that a driver breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConformanceError {
    sentence: usize,
    detail: String,
}

impl ConformanceError {
    pub(super) fn new(sentence: usize, detail: impl Into<String>) -> Self {
        Self { sentence, detail: detail.into() }
    }

    /// The number of the sentence, from 1; its text is in [`SENTENCES`].
    pub fn sentence(&self) -> usize {
        self.sentence
    }

    /// What was done, what came of it, and what should have.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for ConformanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sentence, detail } = self;
        let text = SENTENCES[sentence - 1];
        write!(f, "sentence {sentence} of the contract is broken: {text}\n{detail}")
    }
}

impl std::error::Error for ConformanceError {}

/// What became of all cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The cases that failed; empty for a driver that keeps the contract.
    pub failures: Vec<ConformanceError>,
}

impl Report {
    /// The numbers of the sentences that are broken.
    pub fn broken_sentences(&self) -> Vec<usize> {
        self.failures.iter().map(ConformanceError::sentence).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("every sentence of the contract is kept");
        }
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentences_are_those_of_the_contract() {
        let documented = include_str!("../driver.rs")
            .lines()
            .map(|line| line.trim_start_matches("///").trim())
            .collect::<Vec<_>>()
            .join(" ");
        for (place, sentence) in SENTENCES.iter().enumerate() {
            let numbered = format!("{}. {sentence} ", place + 1);
            assert!(documented.contains(&numbered), "not in driver.rs: {numbered}");
        }
    }
}
