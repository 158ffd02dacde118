//! The server itself dies, or is not as it should be. Alone in this program: others would notice.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use sandbox_agent_persist::{Inserted, PersistErrorKind, SessionFollow, SessionPersistDriver};
use sandbox_agent_persist_postgres::PostgresSessionPersistDriver as Driver;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::scratch::{PATIENCE, Scratch, event, held, in_time, raw, stored, until, url};

#[path = "server/scratch.rs"]
#[allow(dead_code)]
mod scratch;

/// Both tests are about the one server.
static SERVER: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// How often the server dies, unless this variable says so.
const RESTARTS: &str = "SANDBOX_AGENT_POSTGRES_RESTARTS";
const RESTARTS_DEFAULT: u64 = 3;

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("set {name}, or run `cargo xtask postgres -- …`")).into()
}

/// Kills the server with all its processes, and starts it again.
fn restart() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;

    let data = variable("SANDBOX_AGENT_POSTGRES_DATA");
    let mut restart = Command::new(variable("SANDBOX_AGENT_POSTGRES_PGCTL"));
    restart
        .args(["restart", "--mode=immediate", "--wait", "--log=restarted.log", "--pgdata"])
        .arg(&data)
        .current_dir(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // Root can't, and only its owner may.
    let owner = std::fs::metadata(&data).unwrap();
    let own = Command::new("id").arg("-u").output().unwrap();
    if own.stdout.trim_ascii() == b"0" {
        restart.uid(owner.uid()).gid(owner.gid());
    }
    assert!(restart.status().unwrap().success());
}

/// Writes batches, and tries again for as long as the server can't be had, until it is told to stop.
async fn write(
    store: Driver,
    session_id: String,
    size: u64,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicU64>,
) {
    let mut next = 1;
    while stop.load(Ordering::Relaxed) == 0 {
        let batch = (next..next + size).map(|index| event(&session_id, index)).collect();
        match store.insert_events(&session_id, batch).await {
            Ok(Inserted::Stored) => next += size,
            // The one whose answer was lost was stored.
            Ok(Inserted::Duplicate) => next += size,
            Ok(Inserted::Conflict { next_index }) => panic!("{session_id} is at {next_index}, not {next}"),
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                tokio::task::yield_now().await;
                continue;
            }
        }
        acknowledged.store(next - 1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL, …_PGCTL and …_DATA"]
async fn a_server_that_dies_loses_nothing_that_it_acknowledged() {
    let _alone = SERVER.lock().await;
    let restarts = std::env::var(RESTARTS).map_or(RESTARTS_DEFAULT, |restarts| restarts.parse().unwrap());
    let scratch = Scratch::new();
    let (writing, reading) = (scratch.connect().await, scratch.connect().await);
    let stop = Arc::<AtomicU64>::default();
    let acknowledged: Vec<_> = (0..6).map(|_| Arc::<AtomicU64>::default()).collect();
    let mut writers = JoinSet::new();
    for (number, acknowledged) in (0..).zip(&acknowledged) {
        let session_id = format!("s{number}");
        writers.spawn(write(writing.clone(), session_id, 1 + number * 7, acknowledged.clone(), stop.clone()));
    }
    // Follows the first one, and is told of the last event whatever happens to the server.
    let last = acknowledged[0].clone();
    let stopped = stop.clone();
    let following = tokio::spawn(async move {
        let mut seen = 0;
        while stopped.load(Ordering::Relaxed) == 0 || seen < last.load(Ordering::Relaxed) {
            match tokio::time::timeout(PATIENCE / 10, reading.changed("s0", seen)).await {
                Ok(Ok(index)) => seen = index,
                Ok(Err(error)) => assert!(error.is_unavailable(), "{error}"),
                Err(_) => {}
            }
        }
    });

    let sum = || acknowledged.iter().map(|last| last.load(Ordering::Relaxed)).sum::<u64>();
    for _ in 0..restarts {
        let before = sum();
        until("it goes on", async || sum() > before + 200).await;
        tokio::task::spawn_blocking(restart).await.unwrap();
    }
    let before = sum();
    until("it goes on", async || sum() > before + 200).await;
    stop.store(1, Ordering::Relaxed);
    in_time(writers.join_all()).await;
    in_time(following).await.unwrap();
    for (number, acknowledged) in acknowledged.iter().enumerate() {
        let session_id = format!("s{number}");
        let held = held(&writing, &session_id).await;
        let acknowledged = acknowledged.load(Ordering::Relaxed);
        assert!(held.len() as u64 >= acknowledged, "{session_id} lost an event");
        let want: Vec<_> = (1..=held.len() as u64).map(|index| event(&session_id, index)).collect();
        assert_eq!(held, want);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_server_that_does_not_reach_the_disk_is_refused() {
    let _alone = SERVER.lock().await;
    let scratch = Scratch::new();
    let admin = raw().await;
    let set = async |fsync: &str| {
        admin.batch_execute(&format!("ALTER SYSTEM SET fsync = {fsync}")).await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        until("the setting holds", async || {
            raw().await.query_one("SHOW fsync", &[]).await.unwrap().get::<_, &str>(0) == fsync
        })
        .await;
    };
    set("off").await;
    let refused = Driver::connect_with_options(&url(), scratch.options()).await;
    let accepted = Driver::connect_with_options(&url(), scratch.options().require_fsync(false)).await;
    set("on").await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Other);
    assert!(error.to_string().contains("PostgresOptions::require_fsync"), "{error}");
    let store = accepted.unwrap();
    assert!(!store.capabilities().durable, "and it doesn't say that it is");
    stored(&store, "s", 1..=2).await;
    assert!(scratch.connect().await.capabilities().durable);
}
