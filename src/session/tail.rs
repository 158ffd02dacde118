//! The newest events in memory, and a reader that goes from the store over to them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::{ListEventsRequest, PersistErrorKind, SessionEvent};
use tokio::sync::watch;

use super::fold::clip;
use super::store::Store;
use crate::error::{Error, Result};

/// How many events a reader takes at once: few enough to hold, enough that a lock or a query a
/// batch is nothing.
const BATCH: usize = 256;
/// And so few that they fit into memory, where events are large.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The newest events of a session that are stored, within a number of bytes.
#[derive(Debug)]
pub(crate) struct Tail {
    newest: Mutex<Newest>,
    mark: watch::Sender<Mark>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Newest {
    events: VecDeque<Arc<SessionEvent>>,
    bytes: usize,
}

/// How far the record goes, and whether it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) last: u64,
    pub(crate) end: Option<End>,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Nothing more is recorded by this SDK.
    Closed,
    /// The store failed.
    Failed(Error),
}

impl Tail {
    pub(crate) fn new(last: u64, max_bytes: usize) -> Self {
        let mark = watch::Sender::new(Mark { last, end: None });
        Self { newest: Mutex::default(), mark, max_bytes }
    }

    pub(crate) fn last(&self) -> u64 {
        self.mark.borrow().last
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Mark> {
        self.mark.subscribe()
    }

    /// Shows events that are stored. They follow the last one without a hole, but for what was evicted.
    pub(crate) fn publish(&self, events: Vec<Arc<SessionEvent>>) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let (first, last) = (first.first_index(), last.event_index);
        {
            let mut newest = self.lock();
            if newest.events.back().is_some_and(|event| event.event_index + 1 != first) {
                *newest = Newest::default();
            }
            for event in events {
                newest.bytes += event.size();
                newest.events.push_back(event);
            }
            while newest.bytes > self.max_bytes {
                let Some(oldest) = newest.events.pop_front() else { break };
                newest.bytes -= oldest.size();
            }
        }
        self.mark.send_modify(|mark| mark.last = last);
    }

    pub(crate) fn end(&self, end: End) {
        self.mark.send_if_modified(|mark| {
            let first = mark.end.is_none();
            if first {
                mark.end = Some(end);
            }
            first
        });
    }

    /// Some events after `index` if they are in memory; `None` when the store has to be asked.
    fn after(&self, index: u64) -> Option<VecDeque<Arc<SessionEvent>>> {
        let newest = self.lock();
        if newest.events.front()?.first_index() > index + 1 {
            return None;
        }
        let skip = newest.events.partition_point(|event| event.event_index <= index);
        let mut after: VecDeque<_> = newest.events.iter().skip(skip).take(BATCH).cloned().collect();
        if let Some(first) = after.front_mut().filter(|first| first.first_index() <= index) {
            *first = Arc::new(clip(SessionEvent::clone(first), Some(index), None));
        }
        Some(after)
    }

    /// Nothing panics while it holds the lock, and the queue is whole at every step.
    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a session's events in order from any index on: without a hole, without a double.
#[derive(Debug)]
pub(crate) struct TailReader {
    tail: Arc<Tail>,
    mark: watch::Receiver<Mark>,
    store: Store,
    session_id: String,
    /// The last index that was given out, or that is not wanted.
    after: u64,
    read: VecDeque<Arc<SessionEvent>>,
    /// How many events the next page of the store has.
    page: usize,
    /// Whether the failure that ends the reading was given.
    failed: bool,
}

impl TailReader {
    pub(crate) fn new(tail: Arc<Tail>, store: Store, session_id: String, after: u64) -> Self {
        let mark = tail.watch();
        Self { tail, mark, store, session_id, after, read: VecDeque::new(), page: BATCH, failed: false }
    }

    /// The last index that was given out, or that is not wanted.
    pub(crate) fn position(&self) -> u64 {
        self.after
    }

    /// The next event; `None` when the record ended and all of it was read. Where events were
    /// evicted, that is an error, and reading goes on behind them; any other error is the last item.
    pub(crate) async fn next(&mut self) -> Option<Result<Arc<SessionEvent>>> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.after = event.event_index;
                return Some(Ok(event));
            }
            let mark = self.mark.borrow_and_update().clone();
            if self.failed {
                return None;
            }
            if mark.last > self.after {
                if let Err(error) = self.fill().await {
                    return Some(Err(error));
                }
                continue;
            }
            match mark.end {
                None => {}
                Some(End::Closed) => return None,
                Some(End::Failed(error)) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
            // The tail is in `self`, so that the sender lives.
            self.mark.changed().await.ok()?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if let Some(events) = self.tail.after(self.after).filter(|events| !events.is_empty()) {
            self.read = events;
            return Ok(());
        }
        let request = ListEventsRequest::new(&self.session_id).after_index(self.after).limit(self.page);
        match self.store.list_events(&request).await {
            Ok(page) => {
                self.read = page.items.into_iter().map(Arc::new).collect();
                self.page = page_for(&self.read);
                if self.read.is_empty() {
                    self.failed = true;
                    return Err(Error::protocol(format!(
                        "the store has no event after {} although it stored one",
                        self.after
                    )));
                }
                Ok(())
            }
            Err(error) => {
                match error.kind() {
                    PersistErrorKind::Evicted { to, .. } => self.after = self.after.max(to),
                    // Nothing says that the next try would fare better.
                    _ => self.failed = true,
                }
                Err(error.into())
            }
        }
    }
}

/// So many events that a page of them has about as many bytes as a tail.
fn page_for(read: &VecDeque<Arc<SessionEvent>>) -> usize {
    let bytes: usize = read.iter().map(|event| event.size()).sum();
    let each = bytes / read.len().max(1) + 1;
    (PAGE_BYTES / each).clamp(1, BATCH)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sandbox_agent_persist::{RawValue, Sender};
    use serde_json::json;

    use super::*;
    use crate::session::fold::Folder;

    fn chunk(index: u64) -> SessionEvent {
        let content = json!({ "type": "text", "text": format!("u{index} ") });
        let update = json!({ "sessionUpdate": "agent_message_chunk", "content": content });
        let envelope = json!({ "method": "session/update", "params": { "update": update } });
        let payload = RawValue::from_string(envelope.to_string()).unwrap();
        SessionEvent::new(format!("server:{index}"), index, "one", 0, "server", Sender::Agent, payload)
    }

    #[test]
    fn a_run_in_memory_is_cut_where_the_reader_stands() {
        let mut folder = Folder::default();
        for index in 2..=5 {
            assert!(folder.add(chunk(index)).is_none());
        }
        let tail = Tail::new(0, 1 << 20);
        tail.publish(vec![Arc::new(chunk(1)), Arc::new(folder.finish().unwrap().event), Arc::new(chunk(6))]);
        for (index, first) in [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6)] {
            let read = tail.after(index).unwrap();
            assert_eq!(read.front().unwrap().first_index(), first);
            assert_eq!(read.back().unwrap().event_index, 6);
        }
        assert!(tail.after(4).unwrap().front().unwrap().payload.get().contains(r#""text":"u5 ""#));
    }
}
