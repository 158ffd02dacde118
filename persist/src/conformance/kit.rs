//! What the cases are written with.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::task::yield_now;

use super::{ConformanceError, Harness};
use crate::{
    Capabilities, Cursor, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError,
    PersistErrorKind, RawValue, Sender, SessionEvent, SessionPersistDriver, SessionRecord,
};

pub(super) type Outcome<T = ()> = Result<T, ConformanceError>;

/// More pages than any case has items: a list that goes on is one that never ends.
const MOST_PAGES: usize = 5_000;

/// The store of a case, and the sentence that it is about.
#[derive(Clone)]
pub(super) struct Subject {
    sentence: usize,
    pub(super) promised: Capabilities,
    pub(super) store: Arc<dyn SessionPersistDriver>,
}

impl Subject {
    pub(super) async fn new(sentence: usize, harness: &dyn Harness) -> Outcome<Self> {
        let subject = Self { sentence, promised: harness.capabilities(), store: harness.fresh().await };
        subject.promises(&*subject.store, "fresh()")?;
        subject.promises(&subject.store, "fresh(), in an Arc")?;
        Ok(subject)
    }

    /// The same case on another handle.
    pub(super) fn on(&self, store: Arc<dyn SessionPersistDriver>) -> Outcome<Self> {
        self.promises(&*store, "another handle")?;
        let mut other = self.clone();
        other.store = store;
        Ok(other)
    }

    /// The same, about another sentence.
    pub(super) fn about(&self, sentence: usize) -> Self {
        let mut other = self.clone();
        other.sentence = sentence;
        other
    }

    /// The driver promises what the harness does, and gives just those parts that it promises.
    fn promises(&self, store: &dyn SessionPersistDriver, what: &str) -> Outcome {
        let promised = store.capabilities();
        let beside = format!("capabilities of {what}, beside those of the harness");
        self.equal(&promised, &self.promised, &beside)?;
        for (part, promised, given) in [
            ("leases", promised.leases, store.leases().is_some()),
            ("follow", promised.follows, store.follow().is_some()),
            ("upkeep", promised.upkeep, store.upkeep().is_some()),
        ] {
            self.equal(
                &given,
                &promised,
                &format!("whether {part}() of {what} gives something, as promised"),
            )?;
        }
        Ok(())
    }

    pub(super) fn broken<T>(&self, detail: impl Into<String>) -> Outcome<T> {
        Err(ConformanceError::new(self.sentence, detail))
    }

    pub(super) fn ok<T>(&self, result: Result<T, PersistError>, what: &str) -> Outcome<T> {
        result.or_else(|error| self.broken(format!("{what}: failed with {:?}: {error}", error.kind())))
    }

    pub(super) fn equal<T: PartialEq + Debug>(&self, got: &T, want: &T, what: &str) -> Outcome {
        if got == want {
            return Ok(());
        }
        self.broken(format!("{what}:\n  got  {got:?}\n  want {want:?}"))
    }

    pub(super) fn error<T: Debug>(
        &self,
        result: Result<T, PersistError>,
        want: PersistErrorKind,
        what: &str,
    ) -> Outcome {
        match result {
            Ok(got) => self.broken(format!("{what}: got {got:?}, want an error {want:?}")),
            Err(error) => self.equal(&error.kind(), &want, what),
        }
    }

    pub(super) async fn insert(&self, event: SessionEvent, want: Inserted, what: &str) -> Outcome {
        let session_id = event.session_id.clone();
        let index = event.event_index;
        let got = self.store.insert_event(&session_id, event).await;
        let what = format!("insert_event at index {index}, {what}");
        let got = self.ok(got, &what)?;
        self.equal(&got, &want, &what)
    }

    pub(super) async fn insert_all(&self, events: Vec<SessionEvent>, want: Inserted, what: &str) -> Outcome {
        let session_id = events.first().map_or(String::new(), |event| event.session_id.clone());
        let got = self.store.insert_events(&session_id, events).await;
        let what = format!("insert_events, {what}");
        let got = self.ok(got, &what)?;
        self.equal(&got, &want, &what)
    }

    pub(super) async fn update(&self, record: SessionRecord) -> Outcome {
        let updated = self.store.update_session(record).await;
        self.ok(updated, "update_session")
    }

    pub(super) async fn record(&self, id: &str, want: Option<SessionRecord>) -> Outcome {
        let got = self.ok(self.store.get_session(id).await, "get_session")?;
        self.equal(&got, &want, &format!("get_session({id:?})"))
    }

    pub(super) async fn page(&self, request: ListEventsRequest) -> Outcome<ListPage<SessionEvent>> {
        let what = format!("list_events of {request:?}");
        let size = request.page_size();
        let page = self.ok(self.store.list_events(request).await, &what)?;
        self.at_most(page.items.len(), size, &what)?;
        Ok(page)
    }

    pub(super) async fn session_page(
        &self,
        request: ListSessionsRequest,
    ) -> Outcome<ListPage<SessionRecord>> {
        let what = format!("list_sessions of {request:?}");
        let size = request.page_size();
        let page = self.ok(self.store.list_sessions(request).await, &what)?;
        self.at_most(page.items.len(), size, &what)?;
        Ok(page)
    }

    fn at_most(&self, got: usize, limit: usize, what: &str) -> Outcome {
        if got <= limit {
            return Ok(());
        }
        self.broken(format!("{what}: got {got} items, and the limit is {limit}"))
    }

    /// Every event that the request reaches, page by page.
    pub(super) async fn events(&self, request: ListEventsRequest) -> Outcome<Vec<SessionEvent>> {
        let mut all = Vec::new();
        let mut next = request.clone();
        for _ in 0..MOST_PAGES {
            let page = self.page(next).await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(cursor) => next = request.clone().cursor(cursor),
                None => return Ok(all),
            }
        }
        self.broken(format!("list_events: no end after {MOST_PAGES} pages"))
    }

    /// Every session that the request reaches, page by page.
    pub(super) async fn sessions(&self, request: ListSessionsRequest) -> Outcome<Vec<SessionRecord>> {
        let mut all = Vec::new();
        let mut next = request.clone();
        for _ in 0..MOST_PAGES {
            let page = self.session_page(next).await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(cursor) => next = request.clone().cursor(cursor),
                None => return Ok(all),
            }
        }
        self.broken(format!("list_sessions: no end after {MOST_PAGES} pages"))
    }

    /// The session holds just these events.
    pub(super) async fn holds(&self, session_id: &str, want: &[SessionEvent], what: &str) -> Outcome {
        let got = self.events(ListEventsRequest::new(session_id)).await?;
        if got == want {
            return Ok(());
        }
        let differs = got.iter().zip(want).position(|(got, want)| got != want);
        let place = differs.unwrap_or(got.len().min(want.len()));
        self.broken(format!(
            "list_events of {session_id:?}, {what}: {} events, want {}; the first that differs is at place {place}:\n  got  {:?}\n  want {:?}",
            got.len(),
            want.len(),
            got.get(place),
            want.get(place)
        ))
    }
}

/// The store's handles: another one, as another process would have it, where that is promised.
pub(super) async fn handles(subject: &Subject, harness: &dyn Harness) -> Outcome<Vec<Subject>> {
    let mut handles = vec![subject.clone()];
    if subject.promised.multi_process
        && let Some(store) = harness.reopen().await
    {
        handles.push(subject.on(store)?);
    }
    Ok(handles)
}

/// An event of which every member differs from those of its neighbours, and whose id and time
/// say nothing of its place.
pub(super) fn event(session_id: &str, index: u64) -> SessionEvent {
    named(session_id, index, &format!("{session_id}:{:04x}", !index & 0xffff))
}

/// The same with an id of one's own.
pub(super) fn named(session_id: &str, index: u64, id: &str) -> SessionEvent {
    let sender = match index % 2 {
        0 => Sender::Agent,
        _ => Sender::Client,
    };
    let payload = format!(
        r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"event":{id:?},"index":{index}}}}}"#
    );
    SessionEvent::new(
        id,
        index,
        session_id,
        1_700_000_000_000 - i64::try_from(index % 1_000).unwrap_or(0) * 7,
        format!("connection-{}", index % 3),
        sender,
        raw(payload),
    )
}

pub(super) fn events(session_id: &str, indexes: impl Iterator<Item = u64>) -> Vec<SessionEvent> {
    indexes.map(|index| event(session_id, index)).collect()
}

/// An event that stands for a run of indexes.
pub(super) fn run(session_id: &str, first: u64, last: u64) -> SessionEvent {
    event(session_id, last).standing_from(first)
}

/// The text as a payload; what isn't JSON becomes `null`, which no case means to write.
pub(super) fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

pub(super) fn indexes(events: &[SessionEvent]) -> Vec<u64> {
    events.iter().map(|event| event.event_index).collect()
}

/// The sessions in the order of a list.
pub(super) fn in_order(mut records: Vec<SessionRecord>) -> Vec<SessionRecord> {
    records.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    records
}

/// Lets others go on so many times.
pub(super) async fn polled(times: u64) {
    for _ in 0..times {
        yield_now().await;
    }
}

pub(super) fn foreign() -> Cursor {
    Cursor::from_text("no cursor of any store")
}
