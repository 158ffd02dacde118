//! What is remembered of sessions that were evicted whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::measure;

/// The next index of each evicted session; the oldest marks are forgotten beyond a limit.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    next_index: HashMap<Arc<str>, (u64, u64)>,
    by_age: BTreeMap<u64, Arc<str>>,
    made: u64,
    bytes: usize,
}

/// What a mark takes in the state, at the most: its session's name, an index, a colon and a comma.
pub(crate) fn size(id: &str) -> usize {
    measure::text(id) + 22
}

impl Marks {
    /// What they take in the state.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn add(&mut self, id: Arc<str>, next_index: u64) {
        self.take(&id);
        self.made += 1;
        self.bytes += size(&id);
        self.by_age.insert(self.made, id.clone());
        self.next_index.insert(id, (next_index, self.made));
    }

    /// Forgets the oldest ones until no more than this are left.
    pub(crate) fn keep(&mut self, count: usize, bytes: usize) {
        while (self.by_age.len() > count || self.bytes > bytes) && self.forget_oldest() {}
    }

    pub(crate) fn forget_oldest(&mut self) -> bool {
        let Some((_, oldest)) = self.by_age.pop_first() else { return false };
        self.bytes -= size(&oldest);
        self.next_index.remove(&oldest);
        true
    }

    pub(crate) fn next_index(&self, id: &str) -> Option<u64> {
        self.next_index.get(id).map(|(next_index, _)| *next_index)
    }

    pub(crate) fn take(&mut self, id: &str) -> Option<u64> {
        let (next_index, age) = self.next_index.remove(id)?;
        self.bytes -= size(id);
        self.by_age.remove(&age);
        Some(next_index)
    }

    /// Oldest first: each session with its next index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_age.values().filter_map(|id| Some((&**id, self.next_index.get(id)?.0)))
    }
}
