//! Files that can't be used, files in use, and letting go of them.
#![allow(clippy::unwrap_used)]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, PersistError, PersistErrorKind, RawValue, Sender,
    SessionEvent, SessionFilter, SessionLease, SessionPersistDriver, SessionRecord,
};
use sandbox_agent_persist_sqlite::{SqliteOptions, SqliteSessionPersistDriver};

fn event(index: u64) -> SessionEvent {
    let payload = RawValue::from_string(format!("[{index}]")).unwrap();
    SessionEvent::new(format!("e{index}"), index, "s", 0, "c", Sender::Agent, payload)
}

/// The error names the path, the kind and the way out.
async fn refused(path: &Path, kind: PersistErrorKind, way_out: &str) -> PersistError {
    let error = SqliteSessionPersistDriver::open(path).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let shown = error.to_string();
    assert!(shown.contains(&path.display().to_string()), "{shown}");
    assert!(shown.contains(way_out), "{shown}");
    error
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "these are notes, and no database\n".repeat(200);
    std::fs::write(&path, &text).unwrap();
    let error = refused(&path, PersistErrorKind::Corrupt, "give the path of one").await;
    assert!(error.source().is_some());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_folder_or_a_path_without_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = PersistErrorKind::Other;
    refused(folder.path(), other, "can't be opened").await;
    refused(&folder.path().join("missing/sessions.db"), other, "its folder must exist").await;
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused(&file.join("sessions.db"), other, "its folder must exist").await;

    let error = SqliteSessionPersistDriver::open("").await.unwrap_err();
    assert!(error.to_string().contains("no path of a file"), "{error}");
    let error = SqliteSessionPersistDriver::open(":memory:").await.unwrap_err();
    assert!(error.to_string().contains("sandbox-agent-persist-memory"), "{error}");
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let file = Connection::open(&path).unwrap();
    file.execute_batch("CREATE TABLE later (x); PRAGMA user_version = 999").unwrap();
    drop(file);
    let before = std::fs::read(&path).unwrap();
    refused(&path, PersistErrorKind::Other, "schema version 999").await;
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn another_programs_tables_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let file = Connection::open(&path).unwrap();
    let theirs = "CREATE TABLE sessions (id INTEGER PRIMARY KEY, token TEXT)";
    file.execute_batch(theirs).unwrap();
    refused(&path, PersistErrorKind::Other, "without the column \"agent\"").await;
    let schema = "SELECT group_concat(sql) FROM sqlite_master";
    let schema: String = file.query_row(schema, [], |row| row.get(0)).unwrap();
    assert_eq!(schema, theirs);
}

/// The row is named, what is beside it is read, and so it is when the file is opened again.
#[tokio::test]
async fn a_damaged_row_is_named_and_takes_nothing_with_it() {
    for damage in [
        "payload_json = '{'",
        "payload_json = x'ff'",
        "payload_json = CAST(x'22ff22' AS TEXT)",
        "sender = 'nobody'",
        "sender = x'00'",
        "folded_from = 3",
        "folded_from = 0",
        "folded_from = -1",
        "folded_from = 'x'",
        "created_at = 'yesterday'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
        for index in 1..=3 {
            assert_eq!(store.insert_event("s", event(index)).await.unwrap(), Inserted::Stored);
        }
        let mut other = event(1);
        (other.session_id, other.id) = ("other".to_owned(), "o1".to_owned());
        assert_eq!(store.insert_event("other", other.clone()).await.unwrap(), Inserted::Stored);
        let file = Connection::open(&path).unwrap();
        file.execute_batch(&format!("UPDATE events SET {damage} WHERE id = 'e2'")).unwrap();
        drop(file);
        store.close().await.unwrap();

        let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
        let error = store.list_events(ListEventsRequest::new("s")).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{damage}: {error}");
        let shown = error.to_string();
        assert!(shown.contains("event \"e2\"") && shown.contains("sessions.db"), "{damage}: {shown}");
        assert!(error.source().is_some());
        let page = store.list_events(ListEventsRequest::new("s").after_index(2)).await.unwrap();
        assert_eq!(page.items, [event(3)]);
        let page = store.list_events(ListEventsRequest::new("other")).await.unwrap();
        assert_eq!(page.items, [other]);
        assert_eq!(store.insert_event("s", event(4)).await.unwrap(), Inserted::Stored);
    }
}

#[tokio::test]
async fn a_damaged_record_is_named_and_takes_nothing_with_it() {
    for damage in [
        "modes_json = 'x'",
        "tags_json = '{}'",
        "tags_json = '[\"a\", 1]'",
        "archived_at = 'x'",
        "title = x'ff'",
        "extra_json = '[]'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
        let whole = SessionRecord::new("whole", "claude", 2);
        store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
        store.update_session(whole.clone()).await.unwrap();
        let file = Connection::open(&path).unwrap();
        file.execute_batch(&format!("UPDATE sessions SET {damage} WHERE id = 's'")).unwrap();

        for error in [
            store.get_session("s").await.unwrap_err(),
            store.list_sessions(ListSessionsRequest::new()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{damage}: {error}");
            assert!(error.to_string().contains("session \"s\""), "{damage}: {error}");
        }
        assert_eq!(store.get_session("whole").await.unwrap(), Some(whole.clone()));
        let of_claude = ListSessionsRequest::new().filter(SessionFilter::new().agent("claude"));
        assert_eq!(store.list_sessions(of_claude).await.unwrap().items, [whole]);
        // Storing it anew mends it.
        store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
        assert_eq!(store.list_sessions(ListSessionsRequest::new()).await.unwrap().items.len(), 2);
    }
}

#[tokio::test]
async fn a_damaged_lease_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    let granted = store.take_over("s", "we", Duration::from_secs(60)).await;
    granted.unwrap();
    let file = Connection::open(&path).unwrap();
    file.execute_batch("UPDATE leases SET expires_at = 'never'").unwrap();
    for error in [
        store.holder("s").await.unwrap_err(),
        store.insert_event("s", event(1)).await.unwrap_err(),
        store.acquire("s", "we", Duration::from_secs(60)).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("the lease of session \"s\""), "{error}");
    }
    store.take_over("s", "we", Duration::from_secs(60)).await.unwrap();
    assert!(store.holder("s").await.unwrap().is_some());
}

#[tokio::test]
async fn a_place_that_no_event_can_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    let mut backwards = event(1);
    backwards.folded_from = Some(7);
    let mut beyond = event(1);
    (beyond.event_index, beyond.folded_from) = (u64::MAX, Some(1));
    for impossible in [backwards, beyond] {
        let error = store.insert_event("s", impossible).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Other);
        assert!(error.to_string().contains("\"e1\""), "{error}");
    }
    assert_eq!(store.insert_event("s", event(1)).await.unwrap(), Inserted::Stored);
}

#[tokio::test]
async fn a_file_that_stays_locked_is_unavailable_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(20));
    let store = SqliteSessionPersistDriver::open_with_options(&path, options).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let error = store.insert_event("s", event(1)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(error.to_string().contains("busy_timeout"), "{error}");
    let page = store.list_events(ListEventsRequest::new("s")).await.unwrap();
    assert!(page.items.is_empty());

    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.insert_event("s", event(1)).await.unwrap(), Inserted::Stored);
}

#[tokio::test]
async fn one_may_wait_for_ever_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    for timeout in [Duration::MAX, Duration::ZERO] {
        let options = SqliteOptions::new().busy_timeout(timeout);
        let store = SqliteSessionPersistDriver::open_with_options(&path, options).await.unwrap();
        store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
        assert!(store.get_session("s").await.unwrap().is_some());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn close_lets_go_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    let waiting = store.insert_event("s", event(1));
    assert_eq!(waiting.await.unwrap(), Inserted::Stored);
    store.list_events(ListEventsRequest::new("s")).await.unwrap();

    let (first, second) = (store.clone(), store.clone());
    let (first, second) = tokio::join!(first.close(), second.close());
    first.unwrap();
    second.unwrap();
    let files: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["sessions.db"]);

    for error in
        [store.insert_event("s", event(2)).await.unwrap_err(), store.get_session("s").await.unwrap_err()]
    {
        assert!(error.to_string().contains("open it again"), "{error}");
    }
    store.close().await.unwrap();

    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    let page = store.list_events(ListEventsRequest::new("s")).await.unwrap();
    assert_eq!(page.items, [event(1)]);
}

#[tokio::test]
async fn the_file_itself_refuses_an_index_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    assert_eq!(store.insert_event("s", event(1)).await.unwrap(), Inserted::Stored);
    // Another program's write, which asks nobody.
    let theirs = "INSERT INTO events
        (id, event_index, session_id, created_at, connection_id, sender, payload_json) SELECT 'other', event_index, session_id, created_at, connection_id,
        sender, payload_json FROM events WHERE id = 'e1'";
    let error = Connection::open(&path).unwrap().execute_batch(theirs).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation), "{error}");
    let page = store.list_events(ListEventsRequest::new("s")).await.unwrap();
    assert_eq!(page.items, [event(1)]);
}
