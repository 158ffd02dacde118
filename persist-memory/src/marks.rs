//! What is remembered of sessions that were evicted whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The next index of each evicted session; the oldest marks are forgotten beyond a limit.
#[derive(Default)]
pub(crate) struct Marks {
    next_index: HashMap<Arc<str>, (u64, u64)>,
    by_age: BTreeMap<u64, Arc<str>>,
    made: u64,
}

impl Marks {
    pub(crate) fn add(&mut self, id: Arc<str>, next_index: u64, limit: usize) {
        self.made += 1;
        self.by_age.insert(self.made, id.clone());
        self.next_index.insert(id, (next_index, self.made));
        if self.by_age.len() > limit
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.next_index.remove(&oldest);
        }
    }

    pub(crate) fn next_index(&self, id: &str) -> Option<u64> {
        self.next_index.get(id).map(|(next_index, _)| *next_index)
    }

    pub(crate) fn take(&mut self, id: &str) -> Option<u64> {
        let (next_index, age) = self.next_index.remove(id)?;
        self.by_age.remove(&age);
        Some(next_index)
    }
}
