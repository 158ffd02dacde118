//! Every wait ends, and a connection that broke is replaced.

use std::time::{Duration, Instant};

use sandbox_agent_persist::{PersistError, SessionPersistDriver};
use sandbox_agent_persist_postgres::PostgresSessionPersistDriver as Driver;
use tokio::net::TcpListener;

use crate::scratch::{PATIENCE, Scratch, event, in_time, raw, stored, until, url, url_as};

const SHORT: Duration = Duration::from_millis(100);

fn is_unavailable<T: std::fmt::Debug>(outcome: Result<T, PersistError>, way_out: &str) {
    let error = outcome.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(error.to_string().contains(way_out), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_server_that_is_not_there_or_says_nothing_is_unavailable() {
    let scratch = Scratch::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = scratch.options().connect_timeout(SHORT);
    let url = format!("postgres://me:secret@{}/app", silent.local_addr().unwrap());
    let before = Instant::now();
    is_unavailable(Driver::connect_with_options(&url, options.clone()).await, "connect_timeout");
    assert!(before.elapsed() < PATIENCE);
    drop(silent);
    is_unavailable(Driver::connect_with_options(&url, options).await, "can't be reached");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_pool_that_is_all_in_use_is_unavailable() {
    let scratch = Scratch::new();
    let options = scratch.options().connections(2).pool_timeout(SHORT).busy_timeout(PATIENCE);
    let store = Driver::connect_with_options(&url(), options).await.unwrap();
    let lock = raw().await;
    lock.batch_execute(&format!("BEGIN; LOCK \"{}\".events", scratch.schema)).await.unwrap();
    let held = [store.clone(), store.clone()]
        .map(|store| tokio::spawn(async move { store.insert_event("s", event("s", 1)).await.unwrap() }));
    until("both connections wait", async || {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()";
        raw().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= 2
    })
    .await;
    is_unavailable(store.get_session("s").await, "PostgresOptions::connections");
    lock.batch_execute("ROLLBACK").await.unwrap();
    for held in held {
        let _ = in_time(held).await.unwrap();
    }
    assert_eq!(store.get_session("s").await.unwrap(), None);
}

/// Keeps every other write to the session waiting until it is dropped.
async fn lock(scratch: &Scratch, session_id: &str) -> tokio_postgres::Client {
    let client = raw().await;
    let sql = format!("BEGIN; SELECT pg_advisory_xact_lock(\"{}\".lock_of('{session_id}'))", scratch.schema);
    client.batch_execute(&sql).await.unwrap();
    client
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_session_whose_writer_is_stuck_is_unavailable_and_others_go_on() {
    let scratch = Scratch::new();
    let options = scratch.options().busy_timeout(SHORT);
    let store = Driver::connect_with_options(&url(), options).await.unwrap();
    let stuck = lock(&scratch, "s").await;
    is_unavailable(store.insert_event("s", event("s", 1)).await, "PostgresOptions::busy_timeout");
    is_unavailable(store.delete_session("s").await, "PostgresOptions::busy_timeout");
    stored(&store, "t", 1..=2).await;
    stuck.batch_execute("ROLLBACK").await.unwrap();
    stored(&store, "s", 1..=2).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_call_that_the_server_does_not_answer_is_unavailable() {
    let scratch = Scratch::new();
    let options = scratch.options().call_timeout(10 * SHORT).busy_timeout(PATIENCE).connections(1);
    let store = Driver::connect_with_options(&url(), options).await.unwrap();
    let stuck = lock(&scratch, "s").await;
    is_unavailable(store.insert_event("s", event("s", 1)).await, "PostgresOptions::call_timeout");
    stored(&store, "t", 1..=2).await;
    stuck.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_call_that_is_dropped_leaves_no_connection_that_waits() {
    let scratch = Scratch::new();
    let options = scratch.options().connections(1).busy_timeout(PATIENCE);
    let store = Driver::connect_with_options(&url(), options).await.unwrap();
    let stuck = lock(&scratch, "s").await;
    for _ in 0..5 {
        let insert = store.insert_event("s", event("s", 1));
        assert!(tokio::time::timeout(SHORT, insert).await.is_err(), "the session is locked");
        // The only connection is not the one that waits.
        in_time(store.get_session("s")).await.unwrap();
    }
    stuck.batch_execute("ROLLBACK").await.unwrap();
    until("one of them was carried out, and once", async || {
        let request = sandbox_agent_persist::ListEventsRequest::new("s");
        store.list_events(request).await.unwrap().items == [event("s", 1)]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn connections_that_broke_are_replaced() {
    let scratch = Scratch::new();
    let store = scratch.connect_by_name().await;
    for next in 1..=10 {
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        raw().await.query(ended, &[&scratch.schema]).await.unwrap();
        until("an insert succeeds", async || match store.insert_event("s", event("s", next)).await {
            Ok(_) => true,
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                false
            }
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_server_with_no_connection_left_is_unavailable() {
    let scratch = Scratch::new();
    let user = scratch.schema.to_lowercase().replace('-', "_");
    let admin = raw().await;
    let made = format!("CREATE ROLE {user} LOGIN PASSWORD 'secret' CONNECTION LIMIT 0");
    admin.batch_execute(&made).await.unwrap();
    let connecting = Driver::connect_with_options(&url_as(&user, "secret"), scratch.options()).await;
    admin.batch_execute(&format!("DROP ROLE {user}")).await.unwrap();
    is_unavailable(connecting, "has no connection left");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_standby_is_unavailable() {
    let scratch = Scratch::new();
    let user = scratch.schema.to_lowercase().replace('-', "_");
    let admin = raw().await;
    let made = format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'secret'; ALTER ROLE {user} SET default_transaction_read_only = on"
    );
    admin.batch_execute(&made).await.unwrap();
    let connecting = Driver::connect_with_options(&url_as(&user, "secret"), scratch.options()).await;
    admin.batch_execute(&format!("DROP ROLE {user}")).await.unwrap();
    is_unavailable(connecting, "connect to the primary");
}

/// What a trigger sees of the connection that inserts.
#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_commit_waits_for_the_disk_whatever_the_server_has_as_its_default() {
    let scratch = Scratch::new();
    let user = scratch.schema.to_lowercase().replace('-', "_");
    let admin = raw().await;
    for (default, want) in
        [("off", "on"), ("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")]
    {
        let made = format!(
            "CREATE ROLE {user} SUPERUSER LOGIN PASSWORD 'secret';
             ALTER ROLE {user} SET synchronous_commit = {default};
             ALTER ROLE {user} SET default_transaction_isolation = 'serializable'"
        );
        admin.batch_execute(&made).await.unwrap();
        let store = Driver::connect_with_options(&url_as(&user, "secret"), scratch.options()).await.unwrap();
        scratch
            .run(
                "CREATE TABLE IF NOT EXISTS {s}.seen (setting text);
                 CREATE OR REPLACE FUNCTION {s}.see() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     INSERT INTO {s}.seen SELECT current_setting('synchronous_commit') || ' '
                         || current_setting('transaction_isolation');
                     RETURN NEW;
                 END $$;
                 CREATE OR REPLACE TRIGGER see BEFORE INSERT ON {s}.events
                     FOR EACH ROW EXECUTE FUNCTION {s}.see()",
            )
            .await;
        stored(&store, default, 1..=1).await;
        let seen = format!("DELETE FROM \"{}\".seen RETURNING setting", scratch.schema);
        let seen: String = admin.query_one(&seen, &[]).await.unwrap().get(0);
        assert_eq!(seen, format!("{want} read committed"), "where the default is {default}");
        store.close();
        let gone = format!("REASSIGN OWNED BY {user} TO CURRENT_USER; DROP ROLE {user}");
        admin.batch_execute(&gone).await.unwrap();
    }
}
