//! Compaction: runs of chunks in the record become one event each.

use std::sync::Arc;

use sandbox_agent_persist::{ListEventsRequest, PersistError, PersistErrorKind, SessionEvent};

use super::core::SessionCore;
use super::fold::{Folded, Folder};
use super::store::Store;
use crate::error::Result;

/// So few events are read at once that they fit into memory, where they are large.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
const FIRST_PAGE: usize = 64;
const PAGE: usize = 1024;

/// What compacting a session has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Events that stand for a run now.
    pub runs: u64,
    /// Events that were folded into those.
    pub events_folded: u64,
    /// Bytes of payload that the store has less.
    pub bytes_saved: u64,
}

impl SessionCore {
    /// The index before the turn that runs; else that of the newest event.
    pub(crate) fn last_of_ended_turns(&self) -> u64 {
        let last = self.tail.last();
        match self.queue.current() {
            Some(ticket) => ticket.progress.borrow().first.map_or(last, |first| first - 1),
            None => last,
        }
    }

    /// Folds what a turn has brought, beside what comes next.
    pub(super) fn compact_turn(self: &Arc<Self>, first: u64, last: u64) {
        if !self.compacts {
            return;
        }
        let core = self.clone();
        self.runtime.spawn(async move {
            let compacting = compact(&core.store, &core.id, first.saturating_sub(1), last);
            match core.stop.run_until_cancelled(compacting).await {
                Some(Err(error)) => {
                    tracing::warn!(session = %core.id, %error, "a turn could not be compacted");
                }
                Some(Ok(Compaction { runs, .. })) => {
                    tracing::debug!(session = %core.id, runs, "a turn was compacted");
                }
                None => {}
            }
        });
    }
}

/// Folds the runs among the events after `after`, up to `last`.
pub(crate) async fn compact(store: &Store, session_id: &str, after: u64, last: u64) -> Result<Compaction> {
    let mut done = Compaction::default();
    let mut folder = Folder::default();
    let (mut after, mut page_size) = (after, FIRST_PAGE);
    loop {
        let request = ListEventsRequest::new(session_id)
            .after_index(after)
            .before_index(last.saturating_add(1))
            .limit(page_size);
        let page = match store.list_events(&request).await {
            Err(error) if error.is_evicted() => {
                let PersistErrorKind::Evicted { to, .. } = error.kind() else { return Err(error.into()) };
                after = after.max(to);
                continue;
            }
            page => page?,
        };
        let bytes: usize = page.items.iter().map(SessionEvent::size).sum();
        page_size = (PAGE_BYTES / (bytes / page.items.len().max(1) + 1)).clamp(1, PAGE).min(2 * page_size);
        for event in page.items {
            after = event.event_index;
            if let Some(folded) = folder.add(event) {
                fold(store, session_id, folded, &mut done).await?;
            }
        }
        if page.next_cursor.is_none() {
            if let Some(folded) = folder.finish() {
                fold(store, session_id, folded, &mut done).await?;
            }
            return Ok(done);
        }
    }
}

/// Stores a folded event in the place of its run.
async fn fold(
    store: &Store,
    session_id: &str,
    Folded { event: folded, bytes: before }: Folded,
    done: &mut Compaction,
) -> Result<()> {
    let driver = store.driver();
    let run = folded.indexes();
    let after = folded.payload.get().len();
    if before <= after {
        return Ok(());
    }
    let stored = store
        .call(async || match driver.upkeep() {
            Some(upkeep) => upkeep.fold(session_id, folded.clone()).await,
            None => Err(PersistError::new(
                PersistErrorKind::Other,
                "this session store folds no events; take one that does, or don't compact",
            )),
        })
        .await?;
    // Another one may have folded it, or the store have evicted it.
    if stored {
        done.runs += 1;
        done.events_folded += run.end() - run.start() + 1;
        done.bytes_saved += (before - after) as u64;
    }
    Ok(())
}
