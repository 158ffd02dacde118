//! The password, and what records and events hold, stay where they belong.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};
use sandbox_agent_persist::{
    PersistError, RawValue, Sender, SessionEvent, SessionPersistDriver, SessionRecord,
};
use sandbox_agent_persist_postgres::PostgresSessionPersistDriver as Driver;
use serde_json::json;

use crate::scratch::{Scratch, raw, url, url_as};

const PASSWORD: &str = "hunter-of-secrets";
const CONTENT: &str = "content-that-is-private";

/// All that anybody logs, however verbosely.
static LOGGED: Mutex<String> = Mutex::new(String::new());

struct Collector;

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
        *logged += &format!("{}: {}\n", record.target(), record.args());
    }

    fn flush(&self) {}
}

fn shown(error: &PersistError) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        shown += &format!(" {error} {error:?}");
        source = error.source();
    }
    shown
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn no_error_no_debug_and_no_log_shows_them() {
    let scratch = Scratch::new();
    let user = scratch.schema.to_lowercase().replace('-', "_");
    let admin = raw().await;
    let made = format!("CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{PASSWORD}'");
    admin.batch_execute(&made).await.unwrap();
    // From here on: this statement has the password in it.
    log::set_logger(&Collector).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let right = url_as(&user, PASSWORD);
    let store = Driver::connect_with_options(&right, scratch.options()).await.unwrap();

    let mut record = SessionRecord::new("s", "codex", 1);
    record.title = Some(CONTENT.to_owned());
    record.session_init = Some(json!({"mcpServers": [{"env": CONTENT}]}));
    record.extra.insert("more".to_owned(), json!(CONTENT));
    store.update_session(record.clone()).await.unwrap();
    let payload = RawValue::from_string(format!("\"{CONTENT}\"")).unwrap();
    let event = |id: &str, index| SessionEvent::new(id, index, "s", 1, "c", Sender::Agent, payload.clone());
    let _ = store.insert_events("s", vec![event("1", 1), event("2", 2)]).await.unwrap();
    assert!(store.upkeep().unwrap().fold("s", event("3", 2).standing_from(1)).await.unwrap());
    let mut seen = format!("{store:?} {:?}", scratch.options());
    assert!(seen.contains(&user) && seen.contains(&scratch.schema), "{seen}");

    // Constraints make the server say what the row was.
    scratch.run("ALTER TABLE {s}.events ADD CHECK (event_index < 3)").await;
    seen += &shown(&store.insert_event("s", event("4", 3)).await.unwrap_err());
    scratch.run("ALTER TABLE {s}.sessions ADD CHECK (created_at < 3)").await;
    record.created_at = 5;
    let refused = store.update_session(record).await.unwrap_err();
    assert!(!refused.to_string().contains(CONTENT), "{refused}");
    seen += &refused.to_string();

    let wrong = format!("{PASSWORD}-wrong");
    for url in [
        url_as(&user, &wrong),
        url_as("nobody-we-know", &wrong),
        format!("{}-no-such-database", right),
        format!("{right}?sslmode=require"),
        format!("{right}?connect_timeout={PASSWORD}"),
        format!("postgres://{user}:{PASSWORD}@127.0.0.1:1/app"),
        format!("postgres://{user}:{PASSWORD}@no-such-host.invalid/app"),
        format!("host=x password={PASSWORD} {PASSWORD}"),
    ] {
        seen += &shown(&Driver::connect_with_options(&url, scratch.options()).await.unwrap_err());
    }
    for way_out in ["lets us not in", "connect with TLS", "can't be reached", "percent-encoded"] {
        assert!(seen.contains(way_out), "no error says {way_out:?}: {seen}");
    }
    store.close();
    let logged = std::mem::take(&mut *LOGGED.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(logged.contains("executing statement"), "the collector collects nothing");
    let own = url();
    for secret in [PASSWORD, own.split(['/', '@', ':']).nth(4).unwrap()] {
        assert!(secret.len() < 8 || !seen.contains(secret), "{secret}: {seen}");
        assert!(secret.len() < 8 || !logged.contains(secret), "{secret}: {logged}");
    }
    assert!(!logged.contains(CONTENT), "{logged}");
    admin
        .batch_execute(&format!("REASSIGN OWNED BY {user} TO CURRENT_USER; DROP ROLE {user}"))
        .await
        .unwrap();
}
