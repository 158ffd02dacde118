//! Files that TypeScript programs wrote, in each shape that they have had.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use rusqlite::Connection;
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
    SessionRecord,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tempfile::TempDir;
use tokio::task::JoinSet;

const SESSIONS: &str = "
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, agent TEXT NOT NULL, agent_session_id TEXT NOT NULL,
        last_connection_id TEXT NOT NULL, created_at INTEGER NOT NULL,
        destroyed_at INTEGER, session_init_json TEXT
    );
    INSERT INTO sessions VALUES
        ('s', 'codex', 'agent-s', 'conn-2', 1000, NULL, '{\"cwd\":\"/repo\",\"mcpServers\":[]}'),
        ('t', 'claude', 'agent-t', 'conn-1', 500, 2000, NULL);";

fn file(sql: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(SESSIONS).unwrap();
    file.execute_batch(sql).unwrap();
    (folder, path)
}

/// The session's events as `(id, index, payload)`.
async fn events(store: &SqliteSessionPersistDriver, session_id: &str) -> Vec<(String, u64, String)> {
    let page = store.list_events(ListEventsRequest::new(session_id)).await.unwrap();
    page.items
        .into_iter()
        .map(|event| (event.id, event.event_index, event.payload.get().to_owned()))
        .collect()
}

fn want(ids: &[&str]) -> Vec<(String, u64, String)> {
    (1..).zip(ids).map(|(index, id)| ((*id).to_owned(), index, format!("{{\"of\": \"{id}\"}}"))).collect()
}

async fn goes_on(store: &SqliteSessionPersistDriver, session_id: &str, index: u64) {
    let payload = RawValue::NULL.to_owned();
    let id = format!("new in {session_id}");
    let event = SessionEvent::new(id, index, session_id, 1, "c", Sender::Client, payload);
    let inserted = store.insert_event(session_id, event).await.unwrap();
    assert_eq!(inserted, Inserted::Stored);
}

#[tokio::test]
async fn a_file_of_the_present_shape() {
    let (_folder, path) = file(
        "CREATE TABLE events (
            id TEXT PRIMARY KEY, event_index INTEGER NOT NULL, session_id TEXT NOT NULL,
            created_at INTEGER NOT NULL, connection_id TEXT NOT NULL, sender TEXT NOT NULL,
            payload_json TEXT NOT NULL
        );
        CREATE INDEX idx_events_session_order ON events (session_id, event_index, id);
        INSERT INTO events VALUES
            ('z', 1, 's', 10, 'conn-1', 'client', '{\"of\": \"z\"}'),
            ('a', 2, 's', 10, 'conn-1', 'agent', '{\"of\": \"a\"}'),
            ('m', 1, 't', 10, 'conn-1', 'agent', '{\"of\": \"m\"}');",
    );
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    assert_eq!(events(&store, "s").await, want(&["z", "a"]));
    assert_eq!(events(&store, "t").await, want(&["m"]));
    goes_on(&store, "s", 3).await;

    let sessions = store.list_sessions(ListSessionsRequest::new()).await.unwrap();
    let mut t = SessionRecord::new("t", "claude", 500);
    t.agent_session_id = "agent-t".to_owned();
    t.last_connection_id = "conn-1".to_owned();
    t.destroyed_at = Some(2000);
    let mut s = SessionRecord::new("s", "codex", 1000);
    s.agent_session_id = "agent-s".to_owned();
    s.last_connection_id = "conn-2".to_owned();
    s.session_init = Some(serde_json::json!({"cwd": "/repo", "mcpServers": []}));
    assert_eq!(sessions.items, [t, s]);
}

#[tokio::test]
async fn events_without_an_index_are_numbered_in_the_order_of_their_time() {
    let (_folder, path) = file(
        "CREATE TABLE events (
            id TEXT PRIMARY KEY, session_id TEXT NOT NULL, created_at INTEGER NOT NULL,
            connection_id TEXT NOT NULL, sender TEXT NOT NULL, payload_json TEXT NOT NULL
        );
        CREATE INDEX idx_events_session_order ON events (session_id, created_at, id);
        INSERT INTO events VALUES
            ('late', 's', 30, 'c', 'agent', '{\"of\": \"late\"}'),
            ('other', 't', 5, 'c', 'agent', '{\"of\": \"other\"}'),
            ('z', 's', 20, 'c', 'agent', '{\"of\": \"z\"}'),
            ('first', 's', 10, 'c', 'client', '{\"of\": \"first\"}'),
            ('a', 's', 20, 'c', 'agent', '{\"of\": \"a\"}');",
    );
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    assert_eq!(events(&store, "s").await, want(&["first", "z", "a", "late"]));
    assert_eq!(events(&store, "t").await, want(&["other"]));
    goes_on(&store, "s", 5).await;
}

#[tokio::test]
async fn integer_ids_become_text() {
    for index in ["", "event_index INTEGER,"] {
        let (_folder, path) = file(&format!(
            "CREATE TABLE events (
                id INTEGER PRIMARY KEY AUTOINCREMENT, {index} session_id TEXT NOT NULL,
                created_at INTEGER NOT NULL, connection_id TEXT NOT NULL, sender TEXT NOT NULL,
                payload_json TEXT NOT NULL
            );
            INSERT INTO events (id, session_id, created_at, connection_id, sender, payload_json)
            VALUES
                (9, 's', 10, 'c', 'client', '{{\"of\": \"9\"}}'),
                (10, 's', 10, 'c', 'agent', '{{\"of\": \"10\"}}'),
                (11, 't', 10, 'c', 'agent', '{{\"of\": \"11\"}}'),
                (100, 's', 10, 'c', 'agent', '{{\"of\": \"100\"}}');",
        ));
        let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
        assert_eq!(events(&store, "s").await, want(&["9", "10", "100"]));
        assert_eq!(events(&store, "t").await, want(&["11"]));
        goes_on(&store, "s", 4).await;

        let known = SessionEvent::new("100", 5, "s", 1, "c", Sender::Agent, RawValue::NULL.to_owned());
        assert_eq!(store.insert_event("s", known).await.unwrap(), Inserted::Duplicate);
    }
}

#[tokio::test]
async fn double_indexes_and_holes_are_numbered_anew_and_other_sessions_left_alone() {
    let (_folder, path) = file(
        "CREATE TABLE events (
            id TEXT PRIMARY KEY, event_index INTEGER, session_id TEXT, created_at INTEGER,
            connection_id TEXT, sender TEXT, payload_json TEXT
        );
        WITH old (id, event_index, session_id, created_at) AS (VALUES
            ('x', 1, 'twice', 3), ('y', 2, 'twice', 5), ('z', 2, 'twice', 4), ('w', 3, 'twice', 1),
            ('h', 2, 'hole', 1), ('i', 7, 'hole', 1),
            ('n', 0, 'zero', 1), ('o', 1, 'zero', 1),
            ('k', 2, 'right', 1), ('l', 1, 'right', 2))
        INSERT INTO events SELECT id, event_index, session_id, created_at, 'c', 'agent',
            '{\"of\": \"' || id || '\"}' FROM old",
    );
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    assert_eq!(events(&store, "twice").await, want(&["x", "z", "y", "w"]));
    assert_eq!(events(&store, "hole").await, want(&["h", "i"]));
    assert_eq!(events(&store, "zero").await, want(&["n", "o"]));
    assert_eq!(events(&store, "right").await, want(&["l", "k"]));
    goes_on(&store, "twice", 5).await;
}

#[tokio::test]
async fn a_typescript_program_still_writes_to_the_file() {
    let (_folder, path) = file("");
    let store = SqliteSessionPersistDriver::open(&path).await.unwrap();
    let mut record = SessionRecord::new("s", "codex", 1000);
    record.sandbox_id = Some("sandbox-1".to_owned());
    record.extra.insert("later".to_owned(), serde_json::json!([1]));
    store.update_session(record.clone()).await.unwrap();
    goes_on(&store, "s", 1).await;

    let typescript = Connection::open(&path).unwrap();
    typescript
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY);
             CREATE INDEX IF NOT EXISTS idx_events_session_order
                ON events (session_id, event_index, id);
             INSERT INTO sessions (id, agent, agent_session_id, last_connection_id, created_at,
                destroyed_at, session_init_json)
             VALUES ('s', 'amp', 'a2', 'c2', 1000, NULL, NULL)
             ON CONFLICT (id) DO UPDATE SET agent = excluded.agent,
                agent_session_id = excluded.agent_session_id,
                last_connection_id = excluded.last_connection_id;
             INSERT INTO events (id, event_index, session_id, created_at, connection_id, sender,
                payload_json)
             VALUES ('ts', 2, 's', 5, 'c2', 'agent', '{\"of\": \"ts\"}')",
        )
        .unwrap();

    record.agent = "amp".to_owned();
    record.agent_session_id = "a2".to_owned();
    record.last_connection_id = "c2".to_owned();
    assert_eq!(store.get_session("s").await.unwrap(), Some(record));
    assert_eq!(events(&store, "s").await[1], ("ts".to_owned(), 2, "{\"of\": \"ts\"}".to_owned()));
}

#[tokio::test]
async fn many_may_open_an_old_file_at_once() {
    let (_folder, path) = file(
        "CREATE TABLE events (
            id INTEGER PRIMARY KEY, session_id TEXT, created_at INTEGER, connection_id TEXT,
            sender TEXT, payload_json TEXT
        );
        INSERT INTO events VALUES (1, 's', 1, 'c', 'agent', '{\"of\": \"1\"}');",
    );
    let mut opens = JoinSet::new();
    for _ in 0..8 {
        opens.spawn(SqliteSessionPersistDriver::open(path.clone()));
    }
    for store in opens.join_all().await {
        assert_eq!(events(&store.unwrap(), "s").await, want(&["1"]));
    }
}
