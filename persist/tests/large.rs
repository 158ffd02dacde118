//! A session of many events goes through all of this in little memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use sandbox_agent_persist::{
    Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, Order, PersistError, RawValue,
    Sender, SessionEvent, SessionPersistDriver, SessionPersistDriverExt, SessionRecord, Usage, async_trait,
    copy_session,
};

/// So many that they would take 30 MiB.
const EVENTS: u64 = 100_000;
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// One session, which takes no memory: each event can be made again from its index.
#[derive(Debug)]
struct Made {
    events: AtomicU64,
}

impl Made {
    fn with(events: u64) -> Self {
        Self { events: AtomicU64::new(events) }
    }
}

fn made(index: u64) -> SessionEvent {
    let payload = format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"index":{index}}}}}"#);
    let payload = RawValue::from_string(payload).unwrap();
    SessionEvent::new(format!("server:{index}"), index, "s", 7, "server", Sender::Agent, payload)
}

#[async_trait]
impl SessionPersistDriver for Made {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    async fn get_session(&self, _: &str) -> Result<Option<SessionRecord>, PersistError> {
        Ok(None)
    }

    async fn list_sessions(&self, _: ListSessionsRequest) -> Result<ListPage<SessionRecord>, PersistError> {
        Ok(ListPage::new(Vec::new(), None))
    }

    async fn update_session(&self, _: SessionRecord) -> Result<(), PersistError> {
        Ok(())
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let (after, before) = request.bounds()?;
        let first = after.map_or(1, |after| after + 1);
        let last = before.map_or(u64::MAX, |before| before - 1).min(self.events.load(SeqCst));
        Ok(match request.order {
            Order::Ascending => ListPage::of_events((first..=last).map(made), &request),
            Order::Descending => ListPage::of_events((first..=last).rev().map(made), &request),
        })
    }

    async fn insert_event(&self, _: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        let next_index = self.events.load(SeqCst) + 1;
        if event.event_index != next_index {
            return Ok(Inserted::Conflict { next_index });
        }
        assert_eq!(event, made(next_index));
        self.events.store(next_index, SeqCst);
        Ok(Inserted::Stored)
    }

    async fn delete_session(&self, _: &str) -> Result<(), PersistError> {
        Ok(())
    }
}

/// The most memory that the process has had.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn many_events_go_through_in_little_memory() {
    let from = Made::with(EVENTS);
    let before = peak();

    let to = Made::with(0);
    assert_eq!(copy_session(&from, &to, "s").await.unwrap().stored, EVENTS);
    assert_eq!(copy_session(&from, &to, "s").await.unwrap().stored, 0);

    let to = Made::with(0);
    let (mut export, mut import) = (from.export("s"), to.import());
    while let Some(line) = export.next_line().await.unwrap() {
        import.line(&line).await.unwrap();
    }
    assert_eq!(import.finish().await.unwrap().stored, EVENTS);

    let bytes = (1..=EVENTS).map(|index| made(index).payload.get().len() as u64).sum();
    assert_eq!(from.usage_of("s").await.unwrap(), Usage::new(EVENTS, bytes));

    let grown = peak() - before;
    assert!(grown < MOST_BYTES, "{grown} bytes");
}
