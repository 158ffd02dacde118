//! The driver of the example `custom_driver` keeps the contract, and what its file promises.
#![allow(clippy::unwrap_used)]

#[path = "../examples/custom_driver/driver.rs"]
mod driver;

use std::error::Error as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use driver::JsonLinesDriver;
use sandbox_agent_sdk::Sender;
use sandbox_agent_sdk::persist::conformance::Harness;
use sandbox_agent_sdk::persist::{
    Capabilities, Inserted, ListEventsRequest, PersistErrorKind, RawValue, SessionEvent,
    SessionPersistDriver, async_trait,
};
use tempfile::TempDir;

/// One process at a time may have the file. So another opening gets a copy of it as it is on the
/// disk at that moment, which is what a crash would leave.
struct JsonLines {
    folder: TempDir,
    copies: AtomicUsize,
}

impl JsonLines {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), copies: AtomicUsize::new(0) }
    }

    fn path(&self, copy: usize) -> PathBuf {
        self.folder.path().join(format!("{copy}.jsonl"))
    }
}

#[async_trait]
impl Harness for JsonLines {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        Arc::new(JsonLinesDriver::open(self.path(0)).await.unwrap())
    }

    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        let last = self.copies.fetch_add(1, Ordering::Relaxed);
        fs::copy(self.path(last), self.path(last + 1)).unwrap();
        Some(Arc::new(JsonLinesDriver::open(self.path(last + 1)).await.unwrap()))
    }
}

sandbox_agent_sdk::persist::conformance_tests!(JsonLines::new());

fn event(index: u64) -> SessionEvent {
    let payload = RawValue::from_string("[\n1]".into()).unwrap();
    SessionEvent::new(format!("e{index}"), index, "s", 0, "c", Sender::Agent, payload)
}

async fn insert(store: &JsonLinesDriver, index: u64) -> Inserted {
    store.insert_event("s", event(index)).await.unwrap()
}

async fn held(store: &JsonLinesDriver) -> Vec<SessionEvent> {
    store.list_events(ListEventsRequest::new("s")).await.unwrap().items
}

#[tokio::test]
async fn a_line_torn_anywhere_is_dropped_and_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let store = JsonLinesDriver::open(&path).await.unwrap();
    assert_eq!(insert(&store, 1).await, Inserted::Stored);
    let whole = fs::read(&path).unwrap().len();
    let mut longer = event(2);
    longer.payload = RawValue::from_string(format!("[\n{:9}]", 2)).unwrap();
    assert_eq!(store.insert_event("s", longer).await.unwrap(), Inserted::Stored);
    drop(store);
    let both = fs::read(&path).unwrap();

    for cut in whole..both.len() {
        fs::write(&path, &both[..cut]).unwrap();
        let store = JsonLinesDriver::open(&path).await.unwrap();
        assert_eq!(held(&store).await, [event(1)], "cut at byte {cut}");
        assert_eq!(insert(&store, 2).await, Inserted::Stored, "cut at byte {cut}");
        drop(store);
        let store = JsonLinesDriver::open(&path).await.unwrap();
        assert_eq!(held(&store).await, [event(1), event(2)], "cut at byte {cut}");
        assert_eq!(insert(&store, 3).await, Inserted::Stored, "cut at byte {cut}");
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_an_error_that_names_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let store = JsonLinesDriver::open(&path).await.unwrap();
    assert_eq!(insert(&store, 1).await, Inserted::Stored);
    let whole = fs::read(&path).unwrap().len();
    assert_eq!(insert(&store, 2).await, Inserted::Stored);
    assert_eq!(insert(&store, 3).await, Inserted::Stored);
    drop(store);

    let mut text = fs::read(&path).unwrap();
    text[whole] = 0;
    fs::write(&path, &text).unwrap();
    let error = JsonLinesDriver::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Corrupt);
    assert!(error.to_string().contains(&format!("after byte {whole};")), "{error}");
    assert_eq!(fs::read(&path).unwrap(), text, "the damaged file is left as it is");
}

#[tokio::test]
async fn a_second_opening_is_refused_while_the_first_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let first = JsonLinesDriver::open(&path).await.unwrap();
    let error = JsonLinesDriver::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Unavailable);
    assert!(error.source().is_some(), "{error}");
    drop(first);
    JsonLinesDriver::open(&path).await.unwrap();
}
