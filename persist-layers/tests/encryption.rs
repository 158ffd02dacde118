//! What is encrypted, what is noticed, and how keys change.
#![allow(clippy::unwrap_used)]

mod kit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kit::{Memory, SECRET, event, everything, fill, held, insert, raw, record};
use sandbox_agent_persist::{
    Acquired, Capabilities, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, PersistError,
    PersistErrorKind, Sender, SessionEvent, SessionFilter, SessionLease, SessionPersistDriver,
    SessionPersistDriverExt, SessionRecord, SessionUpkeep, async_trait,
};
use sandbox_agent_persist_layers::{EncryptedDriver, Encryption, Keys};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use serde_json::json;

fn keys() -> Keys {
    Keys::new("march", &[3; 32])
}

fn june() -> Keys {
    Keys::new("june", &[6; 32]).older("march", &[3; 32]).unwrap()
}

fn encrypted(store: &Memory) -> EncryptedDriver<Memory> {
    EncryptedDriver::new(store.clone(), keys())
}

/// What the store holds as it is, of which each member may be changed.
async fn stored(store: &Memory, session_id: &str) -> (SessionRecord, Vec<SessionEvent>) {
    (store.get_session(session_id).await.unwrap().unwrap(), held(store, session_id).await)
}

/// Reading this stored event, in a store of its own.
async fn read(event: SessionEvent) -> Result<SessionEvent, PersistError> {
    let store = Memory::new();
    for index in 1..event.first_index() {
        let mut before = kit::event(&event.session_id, index);
        before.id = format!("before {index}");
        insert(&store, before).await;
    }
    let after = event.first_index() - 1;
    let request = ListEventsRequest::new(&event.session_id).after_index(after);
    insert(&store, event).await;
    encrypted(&store).list_events(request).await.map(|mut page| page.items.remove(0))
}

async fn read_record(record: SessionRecord) -> Result<SessionRecord, PersistError> {
    let store = Memory::new();
    let id = record.id.clone();
    store.update_session(record).await.unwrap();
    let list = encrypted(&store).list_sessions(ListSessionsRequest::new()).await;
    let got = encrypted(&store).get_session(&id).await;
    assert_eq!(list.is_ok(), got.is_ok());
    got.map(Option::unwrap)
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T, PersistError>, what: &str) -> String {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{what}: {error}");
    error.to_string()
}

#[tokio::test]
async fn the_store_never_has_what_is_hidden_and_gives_it_back_as_it_was() {
    let store = Memory::new();
    let sessions = encrypted(&store);
    fill(&sessions, "s", 5).await;
    let mut batch: Vec<_> = (6..10).map(|index| event("s", index)).collect();
    batch[0].payload = raw("{\n \"a\" :1.0, \"a\":1e400, \"\\ud800\": \"\\u0078yzzy\"}");
    batch[1].payload = raw("null");
    assert_eq!(sessions.insert_events("s", batch.clone()).await.unwrap(), Inserted::Stored);
    let folded = event("s", 4).standing_from(2);
    let mut folded = folded;
    folded.id = "folded".to_owned();
    assert!(sessions.upkeep().unwrap().fold("s", folded.clone()).await.unwrap());

    let seen = everything(&store).await;
    assert!(!seen.contains(SECRET), "{seen}");
    assert!(!seen.contains("1e400") && !seen.contains("other") && !seen.contains("null"), "{seen}");
    let mut want = vec![event("s", 1), folded, event("s", 5)];
    want.extend(batch);
    assert_eq!(held(&sessions, "s").await, want);
    assert_eq!(sessions.get_session("s").await.unwrap(), Some(record("s")));
    let (raw_record, raw_events) = stored(&store, "s").await;
    assert!(raw_events.iter().all(|event| {
        event.payload.get().starts_with(r#"{"_sandboxAgentEncrypted":{"v":1,"key":"march","data":""#)
    }));
    assert_eq!(raw_record.extra.keys().collect::<Vec<_>>(), ["_sandboxAgentEncrypted"]);
    assert_eq!((raw_record.created_at, raw_record.agent.as_str()), (5, "codex"));

    // The same again is another value: the nonce is.
    let again = Memory::new();
    fill(&encrypted(&again), "s", 1).await;
    let (other_record, other_events) = stored(&again, "s").await;
    assert_ne!(other_record.extra, raw_record.extra);
    assert_ne!(other_events[0].payload.get(), raw_events[0].payload.get());
}

#[tokio::test]
async fn the_file_of_a_store_on_disk_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    let sessions = EncryptedDriver::new(store.clone(), keys());
    fill(&sessions, "s", 20).await;
    // There and back, encrypted for each place.
    let other = Memory::new();
    assert_eq!(sessions.copy_to(&encrypted(&other)).all().await.unwrap().stored, 20);
    sessions.delete_session("s").await.unwrap();
    assert_eq!(encrypted(&other).copy_to(&sessions).all().await.unwrap().stored, 20);
    assert_eq!(held(&sessions, "s").await, held(&encrypted(&other), "s").await);
    assert_eq!(sessions.get_session("s").await.unwrap(), Some(record("s")));
    store.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("_sandboxAgentEncrypted"));
    assert!(!has(SECRET) && !has("-tag"));
}

#[tokio::test]
async fn a_change_of_any_byte_is_noticed() {
    let store = Memory::new();
    fill(&encrypted(&store), "s", 3).await;
    let (record, events) = stored(&store, "s").await;
    let payload = events[0].payload.get();
    assert!(read(events[0].clone()).await.is_ok());
    for place in 0..payload.len() {
        for bit in [1, 2, 32] {
            let mut bytes = payload.as_bytes().to_vec();
            bytes[place] ^= bit;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let Ok(changed) = sandbox_agent_persist::RawValue::from_string(changed) else { continue };
            let mut event = events[0].clone();
            event.payload = changed;
            let error = is_corrupt(read(event).await, &format!("bit {bit} of byte {place}"));
            assert!(error.contains(r#"event "s/1" at index 1 of session "s""#), "{error}");
        }
    }
    // And other texts that mean the same JSON.
    for changed in [
        payload.replace(",\"data\"", ", \"data\""),
        payload.replace("march", "\\u006darch"),
        payload.replace("{\"v\":1", "{\"v\":1.0"),
    ] {
        let mut event = events[0].clone();
        event.payload = raw(changed);
        is_corrupt(read(event).await, "printed otherwise");
    }
    let mut later = events[0].clone();
    later.payload = raw(payload.replace("\"v\":1", "\"v\":2"));
    assert!(is_corrupt(read(later).await, "a later form").contains("update it"));

    let sealed = record.extra["_sandboxAgentEncrypted"]["data"].as_str().unwrap();
    assert!(read_record(record.clone()).await.is_ok());
    for place in 0..sealed.len() {
        let mut bytes = sealed.as_bytes().to_vec();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let mut changed = record.clone();
        changed.extra["_sandboxAgentEncrypted"]["data"] = json!(String::from_utf8(bytes).unwrap());
        let error = is_corrupt(read_record(changed).await, &format!("byte {place} of a record"));
        assert!(error.contains(r#"the record of session "s""#), "{error}");
    }
}

/// Changes an event, given all of its session and of another one.
type MovesEvent = fn(&mut SessionEvent, &[SessionEvent], &[SessionEvent]);

#[tokio::test]
async fn a_value_in_another_place_is_noticed() {
    let store = Memory::new();
    fill(&encrypted(&store), "s", 4).await;
    fill(&encrypted(&store), "t", 4).await;
    let (record, events) = stored(&store, "s").await;
    let (other_record, others) = stored(&store, "t").await;

    let changes: [MovesEvent; 8] = [
        |event, events, _| event.payload = events[3].payload.clone(),
        |event, _, others| event.payload = others[1].payload.clone(),
        |event, _, _| event.id = "another".to_owned(),
        |event, _, _| event.sender = Sender::Client,
        |event, _, _| event.event_index = 3,
        |event, _, _| event.folded_from = Some(1),
        |event, _, _| event.created_at = 8,
        |event, _, _| event.connection_id = "another".to_owned(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut event = events[1].clone();
        change(&mut event, &events, &others);
        is_corrupt(read(event).await, &format!("change {number}"));
    }
    let mut moved = events[1].clone();
    moved.session_id = "t".to_owned();
    is_corrupt(read(moved).await, "in another session");

    let changes: [fn(&mut SessionRecord); 13] = [
        |record| record.id = "another".to_owned(),
        |record| record.agent = "another".to_owned(),
        |record| record.agent_session_id = "another".to_owned(),
        |record| record.last_connection_id = "another".to_owned(),
        |record| record.created_at = 6,
        |record| record.destroyed_at = Some(6),
        |record| record.sandbox_id = None,
        |record| record.last_activity_at = None,
        |record| record.archived_at = Some(6),
        |record| record.title = Some("plain".to_owned()),
        |record| record.session_init = Some(json!(null)),
        |record| record.tags = ["plain".to_owned()].into(),
        |record| drop(record.extra.insert("plain".to_owned(), json!(1))),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = record.clone();
        change(&mut changed);
        is_corrupt(read_record(changed).await, &format!("change {number} of a record"));
    }
    let mut swapped = record;
    swapped.extra = other_record.extra;
    is_corrupt(read_record(swapped).await, "another session's record");
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_named() {
    let store = Memory::new();
    fill(&encrypted(&store), "s", 1).await;
    for (keys, what) in [
        (Keys::new("march", &[4; 32]), "can't be decrypted with the key \"march\""),
        (Keys::new("june", &[3; 32]), "with the key \"march\", which is not given"),
    ] {
        let sessions = EncryptedDriver::new(store.clone(), keys);
        let error = is_corrupt(sessions.get_session("s").await, what);
        assert!(error.contains("the record of session \"s\"") && error.contains(what), "{error}");
        let error = is_corrupt(sessions.list_events(ListEventsRequest::new("s")).await, what);
        assert!(error.contains("event \"s/1\"") && error.contains(what), "{error}");
    }
}

#[tokio::test]
async fn a_new_key_writes_and_the_older_one_still_reads() {
    let store = Memory::new();
    fill(&encrypted(&store), "s", 2).await;
    let sessions = EncryptedDriver::new(store.clone(), june());
    insert(&sessions, event("s", 3)).await;
    assert_eq!(held(&sessions, "s").await, [event("s", 1), event("s", 2), event("s", 3)]);
    let keys = |keys: &[(&str, u64)]| -> BTreeMap<Option<String>, u64> {
        keys.iter().map(|(id, count)| (Some((*id).to_owned()), *count)).collect()
    };
    assert_eq!(sessions.keys_of("s").await.unwrap(), keys(&[("june", 1), ("march", 3)]));

    assert_eq!(sessions.rotate_records().await.unwrap().records, 1);
    assert_eq!(sessions.rotate_records().await.unwrap().current, 1);
    assert_eq!(sessions.get_session("s").await.unwrap(), Some(record("s")));
    assert_eq!(sessions.keys_of("s").await.unwrap(), keys(&[("june", 2), ("march", 2)]));
    assert!(sessions.keys_of("unknown").await.unwrap().is_empty());

    // A copy is encrypted anew, and needs the older key no more.
    let other = Memory::new();
    let copy = EncryptedDriver::new(other.clone(), Keys::new("june", &[6; 32]));
    assert_eq!(sessions.copy_to(&copy).all().await.unwrap().stored, 3);
    assert_eq!(copy.keys_of("s").await.unwrap(), keys(&[("june", 4)]));
    assert_eq!(held(&copy, "s").await, held(&sessions, "s").await);
    assert_eq!(sessions.copy_to(&copy).all().await.unwrap().stored, 0, "it is known again");

    let twice = Keys::new("a", &[1; 32]).older("a", &[2; 32]).unwrap_err();
    assert!(twice.to_string().contains("\"a\""), "{twice}");
}

#[tokio::test]
async fn rotation_leaves_a_leased_record_and_counts_in_pages() {
    let store = Memory::new();
    fill(&encrypted(&store), "s", 200).await;
    fill(&encrypted(&store), "t", 1).await;
    let sessions = EncryptedDriver::new(store.clone(), june());
    let Acquired::Granted(lease) = store.acquire("s", "somebody", Duration::from_secs(60)).await.unwrap()
    else {
        panic!("it is free")
    };
    let rotated = sessions.rotate_records().await.unwrap();
    assert_eq!((rotated.records, rotated.leased), (1, vec!["s".to_owned()]));
    assert!(sessions.rotate_record("s").await.unwrap_err().is_fenced());
    store.release(&lease).await.unwrap();
    assert!(sessions.rotate_record("s").await.unwrap());
    assert!(!sessions.rotate_record("s").await.unwrap());
    assert!(!sessions.rotate_record("unknown").await.unwrap());
    assert_eq!(sessions.keys_of("s").await.unwrap().values().sum::<u64>(), 201);
}

#[tokio::test]
async fn plain_values_are_refused_unless_asked_for() {
    let store = Memory::new();
    fill(&store, "s", 2).await;
    let strict = encrypted(&store);
    let error = is_corrupt(strict.get_session("s").await, "a plain record");
    assert!(error.contains("Encryption::accept_plain"), "{error}");
    is_corrupt(strict.list_sessions(ListSessionsRequest::new()).await, "a plain record in a list");
    let error = is_corrupt(strict.list_events(ListEventsRequest::new("s")).await, "a plain event");
    assert!(error.contains("event \"s/1\""), "{error}");

    let lenient = EncryptedDriver::with(store.clone(), Encryption::new(keys()).accept_plain());
    assert_eq!(lenient.get_session("s").await.unwrap(), Some(record("s")));
    insert(&lenient, event("s", 3)).await;
    assert_eq!(held(&lenient, "s").await, [event("s", 1), event("s", 2), event("s", 3)]);
    assert_eq!(lenient.keys_of("s").await.unwrap()[&None], 3);
    assert!(lenient.rotate_record("s").await.unwrap());
    assert_eq!(lenient.keys_of("s").await.unwrap()[&None], 2);
    assert_eq!(strict.get_session("s").await.unwrap(), Some(record("s")));

    // What is brought over has no plain value left.
    let other = Memory::new();
    assert_eq!(lenient.copy_to(&encrypted(&other)).all().await.unwrap().sessions, 1);
    assert_eq!(held(&encrypted(&other), "s").await.len(), 3);
    assert!(!everything(&other).await.contains(SECRET));
}

#[tokio::test]
async fn debug_has_no_key_and_no_content() {
    let store = Memory::new();
    let sessions = EncryptedDriver::new(store, Keys::new("id", &[0xAB; 32]));
    fill(&sessions, "s", 1).await;
    let shown = format!("{sessions:?} {:?}", Keys::new("id", &[0xAB; 32]));
    assert!(shown.contains("\"id\""), "{shown}");
    assert!(
        !shown.contains("171") && !shown.to_lowercase().contains("abab") && !shown.contains(SECRET),
        "{shown}"
    );
}

#[tokio::test]
async fn a_lease_fences_writes_that_are_encrypted() {
    let store = Memory::new();
    let sessions = encrypted(&store);
    let leases = sessions.leases().unwrap();
    let Acquired::Granted(lease) = leases.acquire("s", "us", Duration::from_secs(60)).await.unwrap() else {
        panic!("it is free")
    };
    assert!(sessions.update_session(record("s")).await.unwrap_err().is_fenced());
    let fenced = leases.fenced(&lease);
    fenced.update_session(record("s")).await.unwrap();
    assert_eq!(fenced.insert_event("s", event("s", 1)).await.unwrap(), Inserted::Stored);
    assert_eq!(fenced.get_session("s").await.unwrap(), Some(record("s")));
    assert!(!everything(&store).await.contains(SECRET));
    let fenced_again = fenced.leases().unwrap().fenced(&lease);
    assert_eq!(fenced_again.insert_event("s", event("s", 2)).await.unwrap(), Inserted::Stored);
    assert_eq!(sessions.follow().unwrap().changed("s", 0).await.unwrap(), 2);
}

#[tokio::test]
async fn usage_is_that_of_the_payloads_as_they_are_read() {
    let store = Memory::new();
    let sessions = encrypted(&store);
    fill(&sessions, "s", 300).await;
    let bytes: usize = held(&sessions, "s").await.iter().map(|event| event.payload.get().len()).sum();
    let usage = sessions.upkeep().unwrap().usage("s").await.unwrap();
    assert_eq!((usage.events, usage.bytes), (300, bytes as u64));
    assert!(store.usage("s").await.unwrap().bytes > usage.bytes);
}

/// A store without parts, of which each list is counted, and whose cursors are its own.
#[derive(Debug, Default)]
struct Plain {
    store: Memory,
    lists: AtomicUsize,
    largest: AtomicUsize,
    /// Before this list of sessions the first one is deleted.
    deletes_before: AtomicUsize,
}

#[async_trait]
impl SessionPersistDriver for Plain {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.store.get_session(id).await
    }

    async fn list_sessions(
        &self,
        mut request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        if self.lists.fetch_add(1, SeqCst) + 1 == self.deletes_before.load(SeqCst) {
            self.store.delete_session("s0000").await?;
        }
        self.largest.fetch_max(request.page_size(), SeqCst);
        if let Some(cursor) = &request.cursor {
            let own = cursor.as_str().strip_prefix("own ").expect("a cursor that this store gave out");
            request.cursor = Some(sandbox_agent_persist::Cursor::from_text(own));
        }
        let mut page = self.store.list_sessions(request).await?;
        page.next_cursor =
            page.next_cursor.map(|cursor| sandbox_agent_persist::Cursor::from_text(format!("own {cursor}")));
        Ok(page)
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.store.update_session(record).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        self.store.list_events(request).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.store.insert_event(session_id, event).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await
    }
}

#[tokio::test]
async fn what_the_store_lacks_the_layer_lacks() {
    let sessions = EncryptedDriver::new(Plain::default(), keys());
    assert_eq!(sessions.capabilities(), Capabilities::new());
    assert!(sessions.leases().is_none() && sessions.follow().is_none() && sessions.upkeep().is_none());
    // Asked all the same, it grants nothing, and writes nothing under a lease that can't be.
    let second = Duration::from_secs(1);
    assert!(sessions.acquire("s", "us", second).await.is_err());
    assert!(SessionUpkeep::vacuum(&sessions).await.is_err());
    let lease = sandbox_agent_persist::Lease::new("s", "us", 1, i64::MAX);
    let fenced = SessionLease::fenced(&sessions, &lease);
    assert!(fenced.update_session(record("s")).await.unwrap_err().is_fenced());
    assert!(fenced.insert_event("s", event("s", 1)).await.unwrap_err().is_fenced());
    assert!(fenced.insert_events("s", vec![event("s", 1)]).await.unwrap_err().is_fenced());
    assert!(fenced.delete_session("s").await.unwrap_err().is_fenced());
    assert!(fenced.get_session("s").await.unwrap().is_none());
}

#[tokio::test]
async fn pages_of_a_filter_that_the_store_cannot_read_are_whole_and_bounded() {
    let store = Arc::new(Plain {
        store: Memory::with_options(sandbox_agent_persist_memory::MemoryOptions::new().max_sessions(30_000)),
        ..Plain::default()
    });
    let sessions = EncryptedDriver::new(store.clone(), keys());
    for number in 0..600 {
        let mut record = SessionRecord::new(format!("s{number:04}"), "codex", i64::from(number / 3));
        record.title = Some(format!("Title {number}"));
        record.tags = [format!("{}", number % 7)].into();
        sessions.update_session(record).await.unwrap();
    }
    for filter in [
        SessionFilter::new().tag("3"),
        SessionFilter::new().title("TITLE 5"),
        SessionFilter::new().title("Title 599"),
        SessionFilter::new().tag("absent"),
        SessionFilter::new().tag("3").agent("codex").created_before(100),
    ] {
        let all = ListSessionsRequest::new().limit(usize::MAX);
        let all = sessions.list_sessions(all).await.unwrap().items;
        let want: Vec<_> = all.iter().filter(|record| filter.matches(record)).collect();
        for size in [1, 7, 100, usize::MAX] {
            for descending in [false, true] {
                let mut request = ListSessionsRequest::new().filter(filter.clone()).limit(size);
                if descending {
                    request = request.descending();
                }
                let mut got = Vec::new();
                loop {
                    store.lists.store(0, SeqCst);
                    let page = sessions.list_sessions(request.clone()).await.unwrap();
                    assert!(store.lists.load(SeqCst) <= 8, "{} lists", store.lists.load(SeqCst));
                    let is_last = page.next_cursor.is_none();
                    assert_eq!(
                        page.items.len(),
                        size.min(want.len() - got.len()),
                        "a page is as long as it can be"
                    );
                    got.extend(page.items);
                    assert_eq!(is_last, got.len() == want.len());
                    match page.next_cursor {
                        Some(cursor) => request.cursor = Some(cursor),
                        None => break,
                    }
                }
                if descending {
                    got.reverse();
                }
                assert_eq!(got.iter().collect::<Vec<_>>(), want, "{filter:?} by {size}");
            }
        }
    }

    // None of many: the call ends, and the list goes on.
    for number in 600..10_500 {
        let record = SessionRecord::new(format!("s{number:05}"), "codex", i64::from(number));
        sessions.update_session(record).await.unwrap();
    }
    let request = ListSessionsRequest::new().filter(SessionFilter::new().tag("absent"));
    store.largest.store(0, SeqCst);
    let page = sessions.list_sessions(request.clone()).await.unwrap();
    assert!(page.items.is_empty() && store.largest.load(SeqCst) <= 1_000);
    let cursor = page.next_cursor.expect("10,000 were read, and there are more");
    let page = sessions.list_sessions(request.cursor(cursor)).await.unwrap();
    assert!(page.items.is_empty() && page.next_cursor.is_none());
    let filter = SessionFilter::new().tag("absent");
    assert_eq!(sessions.copy_to(&Memory::new()).among(filter).all().await.unwrap().sessions, 0);
}

#[tokio::test]
async fn a_list_in_which_something_goes_meanwhile_gives_each_of_the_others_once() {
    for call in 1..12 {
        let store = Arc::new(Plain::default());
        let sessions = EncryptedDriver::new(store.clone(), keys());
        for number in 0..200 {
            let mut record = SessionRecord::new(format!("s{number:04}"), "codex", number);
            record.tags = [format!("{}", number % 3 > 0)].into();
            sessions.update_session(record).await.unwrap();
        }
        store.deletes_before.store(call, SeqCst);
        let mut request = ListSessionsRequest::new().filter(SessionFilter::new().tag("true")).limit(19);
        let mut got = Vec::new();
        loop {
            let page = sessions.list_sessions(request.clone()).await.unwrap();
            assert!(page.items.len() <= 19);
            got.extend(page.items.into_iter().map(|record| record.created_at));
            match page.next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(got, (0..200).filter(|number| number % 3 > 0).collect::<Vec<_>>(), "before list {call}");
    }
}
