//! A schema of its own for each test, on the server that the environment names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sandbox_agent_persist::{
    Inserted, ListEventsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
};
use sandbox_agent_persist_postgres::{PostgresOptions, PostgresSessionPersistDriver};
use tokio_postgres::{Client, NoTls};

/// How long anything may take that is to happen; far more than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The connection string of a superuser on a server that nobody needs.
pub(crate) fn url() -> String {
    std::env::var("SANDBOX_AGENT_POSTGRES_URL")
        .expect("set SANDBOX_AGENT_POSTGRES_URL, or run `cargo xtask postgres -- cargo test …`")
}

/// The same with more parameters, such as `application_name=x`.
pub(crate) fn url_with(parameters: &str) -> String {
    format!("{}?{parameters}", url())
}

/// The same with another user, who has this password.
pub(crate) fn url_as(user: &str, password: &str) -> String {
    let url = url();
    let (_, server) = url.rsplit_once('@').unwrap();
    format!("postgres://{user}:{password}@{server}")
}

/// A schema that is dropped with this.
pub(crate) struct Scratch {
    pub(crate) schema: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Self { schema: format!("Test-{}_{number}_{now}", std::process::id()) }
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::new().schema(&self.schema).connections(6)
    }

    pub(crate) async fn connect(&self) -> PostgresSessionPersistDriver {
        PostgresSessionPersistDriver::connect_with_options(&url(), self.options()).await.unwrap()
    }

    /// A driver whose connections the server lists by the schema's name.
    pub(crate) async fn connect_by_name(&self) -> PostgresSessionPersistDriver {
        let url = url_with(&format!("application_name={}", self.schema));
        PostgresSessionPersistDriver::connect_with_options(&url, self.options()).await.unwrap()
    }

    /// The connections of drivers that were connected by name.
    pub(crate) async fn backends(&self) -> Vec<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = $1";
        let rows = raw().await.query(sql, &[&self.schema]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Runs statements in which `{s}` stands for the schema.
    pub(crate) async fn run(&self, sql: &str) {
        let sql = sql.replace("{s}", &format!("\"{}\"", self.schema));
        raw().await.batch_execute(&sql).await.unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.schema);
        // The test's own runtime may be this thread's.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { raw().await.batch_execute(&sql).await })
        });
        // A schema that stays harms nobody, and the test's own failure counts more.
        let _ = dropping.join();
    }
}

/// A connection past the driver.
pub(crate) async fn raw() -> Client {
    let (client, connection) = tokio_postgres::connect(&url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn event(session_id: &str, index: u64) -> SessionEvent {
    named(session_id, index, &format!("{session_id}.{index}"))
}

pub(crate) fn named(session_id: &str, index: u64, id: &str) -> SessionEvent {
    let payload = serde_json::json!({"id": id, "text": "x".repeat(300)});
    let payload = RawValue::from_string(payload.to_string()).unwrap();
    SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, payload)
}

pub(crate) async fn stored(
    store: &dyn SessionPersistDriver,
    session_id: &str,
    indexes: std::ops::RangeInclusive<u64>,
) {
    let events = indexes.map(|index| event(session_id, index)).collect();
    assert_eq!(store.insert_events(session_id, events).await.unwrap(), Inserted::Stored);
}

pub(crate) async fn held(store: &dyn SessionPersistDriver, session_id: &str) -> Vec<SessionEvent> {
    let request = ListEventsRequest::new(session_id).limit(1_000_000);
    store.list_events(request).await.unwrap().items
}

/// Returns when it holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not within a minute: {what}"));
}

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it took longer than a minute")
}
