//! Files of earlier versions of the tables, and programs that know only these.
#![allow(clippy::unwrap_used)]

mod common;

use common::{event, events, foreign, held, named, open};
use rusqlite::Connection;
use sandbox_agent_persist::{
    Acquired, Inserted, ListSessionsRequest, PersistErrorKind, SessionFilter, SessionLease,
    SessionPersistDriver, SessionRecord, SessionUpkeep,
};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use std::time::Duration;
use tempfile::TempDir;

/// What version 1 made.
const VERSION_1: &str = "
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY NOT NULL, agent TEXT NOT NULL, agent_session_id TEXT NOT NULL,
        last_connection_id TEXT NOT NULL, created_at INTEGER NOT NULL, destroyed_at INTEGER,
        session_init_json TEXT, sandbox_id TEXT, config_options_json TEXT, modes_json TEXT, extra_json TEXT
    );
    CREATE TABLE events (
        id TEXT PRIMARY KEY NOT NULL, event_index INTEGER NOT NULL, session_id TEXT NOT NULL,
        created_at INTEGER NOT NULL, connection_id TEXT NOT NULL, sender TEXT NOT NULL,
        payload_json TEXT NOT NULL
    );
    CREATE INDEX idx_events_session_order ON events (session_id, event_index, id);
    CREATE UNIQUE INDEX idx_events_session_index ON events (session_id, event_index);
    CREATE INDEX idx_sessions_created ON sessions (created_at, id);
    INSERT INTO sessions VALUES
        ('s', 'codex', 'a', 'c', 1000, NULL, '{\"cwd\":\"/\"}', 'box', '[]', '{}', '{\"later\":1}'),
        ('t', 'claude', 'a', 'c', 1000, 2000, NULL, NULL, NULL, NULL, NULL);
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL";

const TYPESCRIPT: &str = "
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, agent TEXT NOT NULL, agent_session_id TEXT NOT NULL,
        last_connection_id TEXT NOT NULL, created_at INTEGER NOT NULL,
        destroyed_at INTEGER, session_init_json TEXT
    );
    CREATE TABLE events (
        id TEXT PRIMARY KEY, event_index INTEGER NOT NULL, session_id TEXT NOT NULL,
        created_at INTEGER NOT NULL, connection_id TEXT NOT NULL, sender TEXT NOT NULL,
        payload_json TEXT NOT NULL
    );
    CREATE INDEX idx_events_session_order ON events (session_id, event_index, id)";

fn file(sql: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    foreign(&folder).execute_batch(sql).unwrap();
    folder
}

fn insert(file: &Connection, session_id: &str, index: u64) {
    let event = event(session_id, index);
    let sql =
        "INSERT INTO events (id, event_index, session_id, created_at, connection_id, sender, payload_json)
        VALUES (?, ?, ?, 0, 'c', 'agent', ?)";
    file.execute(sql, (event.id, index as i64, session_id, event.payload.get())).unwrap();
}

fn schema(file: &Connection) -> (i64, Vec<String>) {
    let version = file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let mut all = file.prepare("SELECT coalesce(sql, name) FROM sqlite_master ORDER BY name").unwrap();
    let all = all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    (version, all)
}

async fn ids(store: &SqliteSessionPersistDriver, filter: SessionFilter) -> Vec<String> {
    let page = store.list_sessions(ListSessionsRequest::new().filter(filter)).await.unwrap();
    page.items.into_iter().map(|session| session.id).collect()
}

#[tokio::test]
async fn a_file_of_version_1_gets_what_it_lacks_and_keeps_what_it_has() {
    let folder = file(VERSION_1);
    for index in 1..=5 {
        insert(&foreign(&folder), "s", index);
    }
    let store = open(&folder).await;
    assert_eq!(held(&store, "s").await, events("s", 1..=5));
    let mut s = SessionRecord::new("s", "codex", 1000);
    (s.agent_session_id, s.last_connection_id) = ("a".to_owned(), "c".to_owned());
    s.session_init = Some(serde_json::json!({"cwd": "/"}));
    s.sandbox_id = Some("box".to_owned());
    (s.config_options, s.modes) = (Some(serde_json::json!([])), Some(serde_json::json!({})));
    s.extra.insert("later".to_owned(), 1.into());
    assert_eq!(store.get_session("s").await.unwrap(), Some(s));
    assert_eq!(ids(&store, SessionFilter::new().destroyed()).await, ["t"]);

    assert_eq!(store.insert_event("s", event("s", 6)).await.unwrap(), Inserted::Stored);
    assert!(store.fold("s", named("s", 4, "run").standing_from(2)).await.unwrap());
    let granted = store.acquire("s", "we", Duration::from_secs(60)).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)));

    // Old and new files are the same but for the text of their tables.
    let new = tempfile::tempdir().unwrap();
    open(&new).await.close().await.unwrap();
    let indexes = |folder: &TempDir| {
        let (version, all) = schema(&foreign(folder));
        let is_index = |sql: &String| sql.contains("INDEX") || sql.contains("autoindex");
        (version, all.into_iter().filter(is_index).collect::<Vec<_>>())
    };
    assert_eq!(indexes(&folder), indexes(&new));
    assert_eq!(indexes(&new).0, 2);
}

#[tokio::test]
async fn a_file_that_cannot_be_brought_up_to_date_is_left_as_it_was() {
    for old in [VERSION_1, TYPESCRIPT] {
        let folder = file(old);
        let path = folder.path().join("sessions.db");
        foreign(&folder).execute_batch("CREATE TABLE leases (flat TEXT)").unwrap();
        let before = schema(&foreign(&folder));
        let error = SqliteSessionPersistDriver::open(&path).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Other);
        assert!(error.to_string().contains("\"leases\" of another program"), "{error}");
        assert_eq!(schema(&foreign(&folder)), before);
    }
}

/// It was started before the file was brought up to date, and goes on with the statements that it has.
#[tokio::test]
async fn a_program_that_knows_the_old_columns_goes_on() {
    for old in [VERSION_1, TYPESCRIPT] {
        let folder = file(old);
        let theirs = foreign(&folder);
        let mut upsert = theirs
            .prepare(
                "INSERT INTO sessions (id, agent, agent_session_id, last_connection_id, created_at,
                    destroyed_at, session_init_json)
                 VALUES (?, ?, 'a2', 'c2', ?, NULL, NULL)
                 ON CONFLICT (id) DO UPDATE SET agent = excluded.agent,
                    agent_session_id = excluded.agent_session_id,
                    last_connection_id = excluded.last_connection_id,
                    destroyed_at = excluded.destroyed_at",
            )
            .unwrap();
        upsert.execute(("both", "codex", 5)).unwrap();

        let store = open(&folder).await;
        let mut both = store.get_session("both").await.unwrap().unwrap();
        assert_eq!((both.title.clone(), both.tags.len(), both.last_active()), (None, 0, 5));
        both.title = Some("Ümläute".to_owned());
        both.tags = ["a", "b"].map(str::to_owned).into();
        (both.last_activity_at, both.archived_at) = (Some(7), Some(8));
        store.update_session(both.clone()).await.unwrap();

        // What they don't know they leave alone.
        upsert.execute(("both", "amp", 5)).unwrap();
        both.agent = "amp".to_owned();
        assert_eq!(store.get_session("both").await.unwrap(), Some(both));
        let ours = SessionFilter::new().title("ÜML").tag("a").tag("b").archived(true).active_from(7);
        assert_eq!(ids(&store, ours.clone()).await, ["both"]);

        // A session of theirs is listed, by what it has.
        upsert.execute(("theirs", "amp", 6)).unwrap();
        assert_eq!(ids(&store, SessionFilter::new().agent("amp").open()).await, ["both", "theirs"]);
        assert_eq!(ids(&store, SessionFilter::new().archived(false).agent("amp")).await, ["theirs"]);
        assert_eq!(
            ids(&store, SessionFilter::new().title("").active_from(6).active_before(7)).await,
            ["theirs"]
        );

        // Their list has the order that it had, by the index of that name, whosever it is.
        theirs
            .execute_batch(
                "CREATE INDEX IF NOT EXISTS idx_events_session_order ON events (session_id, event_index, id)",
            )
            .unwrap();
        insert(&theirs, "both", 1);
        assert_eq!(store.insert_event("both", event("both", 2)).await.unwrap(), Inserted::Stored);
        insert(&theirs, "both", 3);
        assert_eq!(held(&store, "both").await, events("both", 1..=3));
        let list = "SELECT id FROM events WHERE session_id = 'both' ORDER BY event_index, id";
        let mut plan = theirs.prepare(&format!("EXPLAIN QUERY PLAN {list}")).unwrap();
        let plan: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].contains("idx_events_session_order"), "{plan:?}");

        // One that replaces the row takes all of it.
        theirs
            .execute_batch(
                "INSERT OR REPLACE INTO sessions (id, agent, agent_session_id, last_connection_id, created_at)
                 VALUES ('both', 'amp', 'a3', 'c3', 5)",
            )
            .unwrap();
        let both = store.get_session("both").await.unwrap().unwrap();
        assert_eq!((both.title, both.tags.len(), both.archived_at), (None, 0, None));
        assert!(ids(&store, ours).await.is_empty());
    }
}
