//! What other writers put into the record: another SDK that reads the same process gets the same events.

use std::collections::HashMap;
use std::sync::Arc;

use sandbox_agent_persist::SessionEvent;

use super::ids;

/// So much is kept of what others stored and this writer has yet to come by.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// What was read back from the store.
#[derive(Debug, Default)]
pub(super) struct Others {
    by_id: HashMap<String, Arc<SessionEvent>>,
    bytes: usize,
    /// Up to which SSE id others have recorded each process.
    recorded: HashMap<String, u64>,
}

impl Others {
    /// `wanted` is what this writer is about to store itself.
    pub(super) fn add(&mut self, event: &Arc<SessionEvent>, wanted: bool) {
        let span = ids::span(event);
        if let Some(span) = &span {
            let recorded = self.recorded.entry(event.connection_id.clone()).or_default();
            *recorded = (*recorded).max(*span.end());
        }
        if span.is_none() && !wanted {
            return;
        }
        if !wanted && self.bytes + event.size() > KEPT_BYTES {
            return;
        }
        self.bytes += event.size();
        self.by_id.insert(event.id.clone(), event.clone());
    }

    /// The stored event with the same id.
    pub(super) fn take(&mut self, event: &SessionEvent) -> Option<Arc<SessionEvent>> {
        let found = self.by_id.remove(&event.id)?;
        self.bytes -= found.size();
        Some(found)
    }

    /// Whether the record has gone past the place of this event: stored now, it would be out of order.
    pub(super) fn covers(&self, event: &SessionEvent) -> bool {
        let Some(span) = ids::span(event) else { return false };
        self.recorded.get(&event.connection_id).is_some_and(|recorded| span.end() <= recorded)
    }
}
