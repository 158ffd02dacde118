//! What the suite found.

use std::fmt;

/// The sentences of the contract; the first is number 1.
pub const SENTENCES: [&str; 31] = [
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
    "A list with a filter gives just the sessions that `SessionFilter::matches`, in the same order and pages.",
    "An event that stands for a run takes all its indexes: it begins at `first_index`, and the next event after its last. It comes back with its run.",
    "A run is in a list if any of its indexes is within the bounds, and once whatever the pages.",
    "`fold` puts one event in the place of those whose indexes it stands for, all at once: a reader sees either. Where the store does not hold just these indexes, or has the event's id, it changes nothing and gives `false`.",
    "`usage` counts the events that the session's lists give, and the bytes of their payloads; of an unknown session, none. `vacuum` changes nothing that a list gives.",
    "`changed` returns once the session has an event after `after_index`, whoever stored it through whichever handle or process, and at once when it has one already. It gives an index that the session has come to.",
    "`acquire` grants a lease to one holder at a time. Another one is told who has it, until it is released or has expired. The same holder is granted a new one in place of its own.",
    "Each grant has a larger token than all before, also those of released, expired and deleted ones.",
    "While a lease is in force, a write to its session through anything but the driver of `fenced` for that lease is a `Fenced` error, whatever else would come of it, and changes nothing: insert, update, fold and delete. Other sessions and reads are free.",
    "A write through the driver of `fenced` for a lease that was released, or that another one took the place of, is a `Fenced` error and changes nothing. One that has expired is good for as long as nobody takes it.",
    "`take_over` grants the lease at once, whoever has it.",
    "`renew` gives the same lease, to end `ttl` from now, and is a `Fenced` error when it was released or another one took its place. `release` ends a lease, and does nothing to another one.",
    "`holder` gives the lease in force, and `None` where there is none.",
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
    use std::collections::BTreeSet;

    use super::*;

    /// The numbered sentences of a source file's documentation, each on one line.
    fn documented(source: &str) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, String)> = Vec::new();
        let mut goes_on = false;
        for line in source.lines() {
            let text = line.strip_prefix("///").unwrap_or_default();
            let numbered =
                text.trim().split_once(". ").and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
            match (numbered, found.last_mut()) {
                (Some((number, rest)), _) => {
                    found.push((number, rest.to_owned()));
                    goes_on = true;
                }
                // The lines of a list's item are indented.
                (None, Some((_, sentence))) if goes_on && text.starts_with("   ") => {
                    sentence.extend([" ", text.trim()]);
                }
                _ => goes_on = false,
            }
        }
        found
    }

    #[test]
    fn the_sentences_are_those_of_the_contract() {
        let sources = [
            include_str!("../driver.rs"),
            include_str!("../upkeep.rs"),
            include_str!("../follow.rs"),
            include_str!("../lease.rs"),
        ];
        let mut documented: Vec<_> = sources.into_iter().flat_map(documented).collect();
        documented.sort();
        let known: Vec<_> = (1..).zip(SENTENCES.map(str::to_owned)).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn each_sentence_has_a_case() {
        let cases = crate::conformance::CASES;
        let numbers: BTreeSet<_> = cases.iter().map(|case| case.sentence).collect();
        assert_eq!(numbers, (1..=SENTENCES.len()).collect());
    }
}
