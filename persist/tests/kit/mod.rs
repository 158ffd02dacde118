//! Sessions to work on, and a store that fails, or in which something happens, at a call of one's choice.
#![allow(dead_code, clippy::unwrap_used)]

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sandbox_agent_persist::{
    Capabilities, Imported, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError,
    PersistErrorKind, RawValue, Sender, SessionEvent, SessionLease, SessionPersistDriver,
    SessionPersistDriverExt, SessionRecord, SessionUpkeep, Usage, async_trait,
};
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};

pub(crate) type Memory = MemorySessionPersistDriver;

/// Holds so many events a session.
pub(crate) fn holding(events: usize) -> Memory {
    Memory::with_options(MemoryOptions::new().max_events_per_session(events))
}

pub(crate) fn raw(text: impl Into<String>) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

pub(crate) fn event(session_id: &str, index: u64) -> SessionEvent {
    let sender = if index.is_multiple_of(2) { Sender::Agent } else { Sender::Client };
    let payload = raw(format!(
        r#"{{"jsonrpc":"2.0", "method":"session/update","params":{{"n":{index},"text":"\u00e9 \/ 1.0"}}}}"#
    ));
    let time = 1_000 + i64::try_from(index).unwrap();
    SessionEvent::new(format!("{session_id}/{index}"), index, session_id, time, "server", sender, payload)
}

/// A run of events, folded.
pub(crate) fn run(session_id: &str, from: u64, to: u64) -> SessionEvent {
    let mut event = event(session_id, to).standing_from(from);
    event.id = format!("{session_id}/{from}-{to}");
    event.payload =
        raw(format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"run":[{from},{to}]}}}}"#));
    event
}

pub(crate) fn record(id: &str, created_at: i64) -> SessionRecord {
    let mut record = SessionRecord::new(id, "codex", created_at);
    record.last_connection_id = "server".to_owned();
    record.title = Some("A title".to_owned());
    record.extra.insert("later".to_owned(), serde_json::json!({"deep": [1.5, null, "x"]}));
    record
}

pub(crate) async fn insert(
    store: &impl SessionPersistDriver,
    events: impl IntoIterator<Item = SessionEvent>,
) {
    for event in events {
        let id = event.session_id.clone();
        assert_eq!(store.insert_event(&id, event).await.unwrap(), Inserted::Stored);
    }
}

pub(crate) async fn fill(
    store: &impl SessionPersistDriver,
    session_id: &str,
    indexes: impl IntoIterator<Item = u64>,
) {
    insert(store, indexes.into_iter().map(|index| event(session_id, index))).await;
}

pub(crate) async fn fold(store: &impl SessionPersistDriver, folded: SessionEvent) {
    let id = folded.session_id.clone();
    assert!(store.upkeep().unwrap().fold(&id, folded).await.unwrap());
}

/// All events that the session holds.
pub(crate) async fn held(
    store: &(impl SessionPersistDriver + ?Sized),
    session_id: &str,
) -> Vec<SessionEvent> {
    store.list_events(ListEventsRequest::new(session_id).limit(usize::MAX)).await.unwrap().items
}

pub(crate) async fn ids(store: &impl SessionPersistDriver) -> Vec<String> {
    let page = store.list_sessions(ListSessionsRequest::new().limit(usize::MAX)).await.unwrap();
    page.items.into_iter().map(|record| record.id).collect()
}

/// What a call does beside what it is to do.
#[derive(Clone)]
pub(crate) enum Fault {
    Nothing,
    /// This call and all that follow fail: with this one done, in part where it inserts many, or not.
    FailsFrom {
        call: usize,
        done: bool,
    },
    /// This call fails, with it done in part or not.
    FailsOnce {
        call: usize,
        done: bool,
    },
    /// Calls of this session fail so.
    Broken(&'static str, PersistErrorKind),
    /// This comes about before the call.
    Meanwhile(usize, Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>),
}

/// A store in memory with a fault.
#[derive(Clone)]
pub(crate) struct Faulty {
    pub(crate) store: Memory,
    pub(crate) fault: Fault,
    pub(crate) has_upkeep: bool,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) vacuums: Arc<AtomicUsize>,
    /// The most events that a page was asked for.
    pub(crate) largest_page: Arc<AtomicUsize>,
}

impl Faulty {
    pub(crate) fn new(store: &Memory, fault: Fault) -> Self {
        Self {
            store: store.clone(),
            fault,
            has_upkeep: true,
            calls: Arc::default(),
            vacuums: Arc::default(),
            largest_page: Arc::default(),
        }
    }

    pub(crate) fn meanwhile<W, F>(store: &Memory, call: usize, what: W) -> Self
    where
        W: Fn(Memory) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = store.clone();
        Self::new(store, Fault::Meanwhile(call, Arc::new(move || Box::pin(what(shared.clone())))))
    }

    pub(crate) fn without_upkeep(mut self) -> Self {
        self.has_upkeep = false;
        self
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    async fn call<T>(
        &self,
        session_id: &str,
        call: impl Future<Output = Result<T, PersistError>>,
    ) -> Result<T, PersistError> {
        let number = self.calls.fetch_add(1, SeqCst) + 1;
        let failed = |kind| Err(PersistError::new(kind, "the store fails, as it should"));
        match &self.fault {
            Fault::FailsFrom { call: first, done } | Fault::FailsOnce { call: first, done }
                if number >= *first =>
            {
                if number == *first && *done {
                    let _ = call.await?;
                } else if number > *first && matches!(self.fault, Fault::FailsOnce { .. }) {
                    return call.await;
                }
                failed(PersistErrorKind::Unavailable)
            }
            Fault::Broken(broken, kind) if *broken == session_id => failed(*kind),
            Fault::Meanwhile(at, what) if *at == number => {
                what().await;
                call.await
            }
            _ => call.await,
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl SessionPersistDriver for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.call(id, self.store.get_session(id)).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.call("", self.store.list_sessions(request)).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        let id = record.id.clone();
        self.call(&id, self.store.update_session(record)).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.largest_page.fetch_max(request.page_size(), SeqCst);
        let id = request.session_id.clone();
        self.call(&id, self.store.list_events(request)).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.call(session_id, self.store.insert_event(session_id, event)).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        // A call that fails has stored a part.
        let mut events = events;
        let number = self.calls.load(SeqCst) + 1;
        if let Fault::FailsFrom { call, done: true } | Fault::FailsOnce { call, done: true } = self.fault
            && call == number
        {
            events.truncate(events.len().div_ceil(2));
        }
        self.call(session_id, self.store.insert_events(session_id, events)).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.call(id, self.store.delete_session(id)).await
    }

    fn leases(&self) -> Option<&dyn SessionLease> {
        self.store.leases()
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        self.has_upkeep.then_some(self)
    }
}

#[async_trait]
impl SessionUpkeep for Faulty {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        self.call(session_id, self.store.usage(session_id)).await
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        self.call(session_id, self.store.fold(session_id, folded)).await
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        self.vacuums.fetch_add(1, SeqCst);
        self.call("", self.store.vacuum()).await
    }
}

/// Payloads that a careless hand would change.
pub(crate) const PAYLOADS: [&str; 10] = [
    "null",
    "true",
    "{ \"jsonrpc\" : \"2.0\",\t\"id\":1.0, \"result\":{} }",
    "{\n  \"jsonrpc\": \"2.0\",\r\n  \"method\": \"a\"\n}",
    r#"{"a":1,"a":2,"b":{"z":1,"a":2}}"#,
    r#"[1e400,-0.0,123456789012345678901234567890,0.1000]"#,
    r#""\ud800 \u0041 \/ é \u2028""#,
    "\"\u{2028}\u{85}\"",
    "[\n]",
    r#"{"eventIndex":1,"end":{},"format":"x","payloadText":"y"}"#,
];

pub(crate) async fn lines(store: &impl SessionPersistDriver, session_id: &str) -> Vec<String> {
    let mut export = store.export(session_id);
    let mut lines = Vec::new();
    while let Some(line) = export.next_line().await.unwrap() {
        lines.push(line);
    }
    assert_eq!(export.next_line().await.unwrap(), None);
    lines
}

pub(crate) async fn import<L: AsRef<str>>(
    store: &impl SessionPersistDriver,
    lines: &[L],
) -> Result<Imported, PersistError> {
    let mut import = store.import();
    for line in lines {
        import.line(line.as_ref()).await?;
    }
    import.finish().await
}

/// Odd payloads, then runs among plain events; more than two batches.
pub(crate) async fn varied() -> Memory {
    let store = Memory::new();
    store.update_session(record("s", 5)).await.unwrap();
    for (index, payload) in (1..).zip(PAYLOADS) {
        let mut event = event("s", index);
        event.payload = raw(payload);
        insert(&store, [event]).await;
    }
    fill(&store, "s", 11..=600).await;
    fold(&store, run("s", 20, 40)).await;
    fold(&store, run("s", 500, 600)).await;
    store
}

/// A store that lets others run before and after each call.
#[derive(Clone, Debug)]
pub(crate) struct Slow(pub(crate) Memory);

impl Slow {
    async fn slowly<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::task::yield_now().await;
        let done = call.await;
        tokio::task::yield_now().await;
        done
    }
}

#[async_trait]
impl SessionPersistDriver for Slow {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.slowly(self.0.get_session(id)).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.slowly(self.0.list_sessions(request)).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.slowly(self.0.update_session(record)).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.slowly(self.0.list_events(request)).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.slowly(self.0.insert_event(session_id, event)).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.slowly(self.0.delete_session(id)).await
    }
}
