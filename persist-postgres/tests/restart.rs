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

/// Makes an authority, and a certificate of it for 127.0.0.1 that the server may read.
#[cfg(feature = "rustls")]
fn certify(folder: &std::path::Path) {
    use std::os::unix::fs::{MetadataExt, chown};

    const MAKE: &str = "
        openssl req -x509 -newkey rsa:2048 -nodes -keyout authority.key -out authority.crt -subj /CN=authority &&
        openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server &&
        printf 'subjectAltName = IP:127.0.0.1' >server.ext &&
        openssl x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -out server.crt \
            -extfile server.ext &&
        chmod 600 server.key";
    let made =
        Command::new("sh").args(["-c", MAKE]).current_dir(folder).stderr(Stdio::null()).status().unwrap();
    assert!(made.success(), "openssl makes the certificates");
    let owner = std::fs::metadata(folder).unwrap();
    for file in ["server.key", "server.crt"] {
        chown(folder.join(file), Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

#[tokio::test]
#[cfg(feature = "rustls")]
#[ignore = "needs PostgreSQL and openssl: set SANDBOX_AGENT_POSTGRES_URL and …_DATA"]
async fn a_server_is_talked_to_by_tls_if_its_certificate_is_right() {
    use sandbox_agent_persist_postgres::PostgresTls;

    let _alone = SERVER.lock().await;
    let scratch = Scratch::new();
    let data = variable("SANDBOX_AGENT_POSTGRES_DATA");
    let url = format!("{}?sslmode=require", url());
    certify(&data);
    let trusted =
        PostgresTls::with_certificates(&std::fs::read(data.join("authority.crt")).unwrap()).unwrap();
    let none = Driver::connect_with_tls(&url, scratch.options(), trusted.clone()).await.unwrap_err();
    let admin = raw().await;
    admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    until("the server has TLS", async || {
        raw().await.query_one("SHOW ssl", &[]).await.unwrap().get::<_, &str>(0) == "on"
    })
    .await;
    let store = Driver::connect_with_tls(&url, scratch.options(), trusted.clone()).await.unwrap();
    stored(&store, "s", 1..=3).await;
    assert_eq!(in_time(store.changed("s", 2)).await.unwrap(), 3);
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'sandbox-agent' AND NOT ssl";
    assert_eq!(admin.query_one(plain, &[]).await.unwrap().get::<_, i64>(0), 0, "connections without TLS");
    let platform = PostgresTls::with_platform_certificates().unwrap();
    let stranger = Driver::connect_with_tls(&url, scratch.options(), platform).await.unwrap_err();
    let named = url.replace("127.0.0.1", "localhost");
    let misnamed = Driver::connect_with_tls(&named, scratch.options(), trusted).await.unwrap_err();
    admin.batch_execute("ALTER SYSTEM SET ssl = off").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    for error in [none, stranger, misnamed] {
        assert_eq!(error.kind(), PersistErrorKind::Other, "{error}");
        assert!(error.to_string().contains("TLS"), "{error}");
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
