//! Following a session from another node.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{SessionFollow, SessionPersistDriver};
use tokio::task::JoinSet;

use crate::scratch::{Scratch, in_time, raw, stored, until};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_node_is_told_of_each_event_that_another_stores() {
    const EVENTS: u64 = 300;
    let scratch = Scratch::new();
    let (writer, reader) = (scratch.connect().await, scratch.connect().await);
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let reader = reader.clone();
        nodes.spawn(async move {
            let mut seen = 0;
            while seen < EVENTS {
                let last = in_time(reader.changed("s", seen)).await.unwrap();
                assert!(last > seen);
                seen = last;
            }
        });
    }
    for index in 1..=EVENTS {
        stored(&writer, "s", index..=index).await;
        stored(&writer, "other", index..=index).await;
    }
    nodes.join_all().await;
    assert_eq!(reader.changed("s", 0).await.unwrap(), EVENTS, "at once");
    assert_eq!(reader.changed("other", EVENTS - 1).await.unwrap(), EVENTS);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn nothing_is_missed_while_the_listening_connection_is_replaced() {
    let scratch = Scratch::new();
    let (writer, reader) = (scratch.connect().await, scratch.connect().await);
    let listener = async || {
        let sql = format!("SELECT listener FROM \"{}\".followed WHERE session_id = 's'", scratch.schema);
        let rows = raw().await.query(&sql, &[]).await.unwrap();
        rows.first().map(|row| row.get::<_, i32>(0))
    };
    for index in 1..=6 {
        let waiting = tokio::spawn({
            let reader = reader.clone();
            async move { in_time(reader.changed("s", index - 1)).await.unwrap() }
        });
        until("the session is followed", async || listener().await.is_some()).await;
        let old = listener().await.unwrap();
        raw().await.execute("SELECT pg_terminate_backend($1)", &[&old]).await.unwrap();
        stored(&writer, "s", index..=index).await;
        assert_eq!(waiting.await.unwrap(), index);
        // The old row goes when the new connection is there.
        until("it is followed anew", async || listener().await.is_none_or(|listener| listener != old)).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_session_whose_name_is_too_long_for_a_notification_is_followed() {
    let scratch = Scratch::new();
    let (writer, reader) = (scratch.connect().await, scratch.connect().await);
    // So regular that an index takes it.
    for session_id in ["x".repeat(20_000), "\0".repeat(5_000), "a b\u{1}c".to_owned()] {
        let wait = reader.changed(&session_id, 0);
        let followed = async || {
            let sql = format!("SELECT count(*) FROM \"{}\".followed", scratch.schema);
            raw().await.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) > 0
        };
        let write = async {
            until("the session is followed", followed).await;
            stored(&writer, &session_id, 1..=1).await;
        };
        let (told, ()) = tokio::join!(in_time(wait), write);
        assert_eq!(told.unwrap(), 1);
        scratch.run("DELETE FROM {s}.followed").await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn who_stops_waiting_harms_nobody() {
    let scratch = Scratch::new();
    let (writer, reader) = (scratch.connect().await, scratch.connect().await);
    for index in 0..20 {
        let wait = tokio::time::timeout(Duration::from_millis(index), reader.changed("s", 0));
        assert!(wait.await.is_err(), "there is no event");
    }
    let (told, ()) = tokio::join!(in_time(reader.changed("s", 0)), stored(&writer, "s", 1..=1));
    assert_eq!(told.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn one_connection_listens_for_all_and_ends_with_the_last_handle() {
    let scratch = Scratch::new();
    let reader = scratch.connect_by_name().await;
    let listening = async || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%.followed%'
            AND query LIKE 'DELETE%'";
        raw().await.query_one(sql, &[&scratch.schema]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(listening().await, 0, "nobody waits yet");
    let mut waiting = JoinSet::new();
    for number in 0..20 {
        let reader: Arc<dyn SessionPersistDriver> = Arc::new(reader.clone());
        waiting.spawn(async move { reader.follow().unwrap().changed(&format!("s{number}"), 0).await });
    }
    until("somebody listens", async || listening().await > 0).await;
    assert_eq!(listening().await, 1);
    waiting.shutdown().await;
    drop(reader);
    until("no connection is left", async || scratch.backends().await.is_empty()).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn closing_lets_go_of_all_connections_and_tells_who_waits() {
    let scratch = Scratch::new();
    let store = scratch.connect_by_name().await;
    let close = async {
        until("somebody listens", async || scratch.backends().await.len() > 1).await;
        store.close();
    };
    let (told, ()) = tokio::join!(in_time(store.changed("s", 0)), close);
    for error in [told.unwrap_err(), store.get_session("s").await.unwrap_err()] {
        assert!(error.to_string().contains("connect again"), "{error}");
    }
    until("no connection is left", async || scratch.backends().await.is_empty()).await;
    store.close();
}
