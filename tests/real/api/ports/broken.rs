//! What breaks is seen as broken, on both sides.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_sdk::api::ports::PortForward;
use sandbox_agent_sdk::api::processes::{ProcessCreateRequest, ProcessLogsQuery};
use sandbox_agent_sdk::{ErrorKind, Limits, SandboxAgent};
use sandbox_agent_testkit::proxy::{Policy, Proxy, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::interpreters::having;
use super::services::{echo, swallow};
use super::{LARGE, PATIENCE, is_same_there_and_back, nothing_is_left};
use crate::api::connected;
use crate::api::seeded::Seeded;
use crate::builder;

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_port_where_nothing_listens_resets_its_connections() {
    let (_server, sdk) = connected().await;
    let forward = sdk.ports().forward(1).await.unwrap();
    let mut local = TcpStream::connect(forward.address()).await.unwrap();
    let outcome = timeout(PATIENCE, local.read(&mut [0; 10])).await.unwrap();
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(*forward.last_error().unwrap().kind(), ErrorKind::PortRefused { port: 1 });
    nothing_is_left(&sdk.processes()).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_the_server_dropped_breaks_the_connection() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let processes = builder(&server).connect().await.unwrap().processes();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (ports, port) = (sdk.ports(), listener.local_addr().unwrap().port());
    drop(ports.connect(port).await.unwrap());
    drop(listener.accept().await.unwrap());
    nothing_is_left(&processes).await;
    // Less than the bounds that were known before.
    let mut config = processes.config().await.unwrap();
    config.max_log_bytes_per_process = 10_000;
    processes.set_config(&config).await.unwrap();
    let mut stream = ports.connect(port).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    socket.write_all(&Seeded(1).bytes(LARGE)[..1000]).await.unwrap();
    timeout(PATIENCE, stream.read_exact(&mut [0; 1000])).await.unwrap().unwrap();
    // While nothing gets through, more comes than is kept.
    proxy.stall_all();
    tokio::spawn(async move {
        let _ = socket.write_all(&Seeded(1).bytes(LARGE)[1000..]).await;
        std::future::pending::<()>().await;
    });
    let relay = processes.list(None).await.unwrap().remove(0);
    let newest = async || {
        let logs = processes.logs(&relay.id, &ProcessLogsQuery::new().tail(1_u64)).await.unwrap();
        logs.entries.last().map_or(0, |entry| entry.sequence)
    };
    while newest().await < 20 {}
    proxy.cut_all();
    let mut came = Vec::new();
    let error = timeout(PATIENCE, stream.read_to_end(&mut came)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(*stream.failure().unwrap().kind(), ErrorKind::ConnectionBroken, "{error}");
    assert_eq!(came, Seeded(1).bytes(LARGE)[1000..1000 + came.len()], "what came before is right");
    nothing_is_left(&processes).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_relay_that_is_killed_breaks_its_connection() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let mut stream = sdk.ports().connect(echo().await).await.unwrap();
    let relay = processes.list(None).await.unwrap().remove(0);
    processes.kill(&relay.id, None).await.unwrap();
    let error = timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(*stream.failure().unwrap().kind(), ErrorKind::ConnectionBroken);
    stream.write_all(&[0; 200_000]).await.unwrap_err();
    nothing_is_left(&processes).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_may_not_have_arrived_breaks_the_connection() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let mut stream = sdk.ports().connect(swallow().await).await.unwrap();
    let (mut reads, mut writes) = tokio::io::split(&mut stream);
    let sent = Seeded(13).bytes(LARGE);
    let write = async {
        writes.write_all(&sent[..200_000]).await?;
        // Also what goes over a connection that is open by now.
        proxy.policy(|line| if line.contains("/input") { Policy::refuse() } else { Policy::pass() });
        proxy.cut_all();
        writes.write_all(&sent[200_000..]).await
    };
    let mut came = Vec::new();
    let read = reads.read_to_end(&mut came);
    let (written, read) = timeout(PATIENCE, async { tokio::join!(write, read) }).await.unwrap();
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(*stream.failure().unwrap().kind(), ErrorKind::ConnectionBroken);
    nothing_is_left(&sdk.processes()).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_beat_that_is_not_answered_is_no_end() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let limits = Limits::default().call(Duration::from_secs(2));
    let sdk = SandboxAgent::builder(proxy.url()).limits(limits).connect().await.unwrap();
    let inputs = Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = inputs.clone();
    proxy.policy(move |line| {
        let is_first =
            line.contains("/input") && count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        if is_first { Policy::pass().lose(Way::Down) } else { Policy::pass() }
    });
    let stream = sdk.ports().connect(echo().await).await.unwrap();
    let again = async {
        while inputs.load(std::sync::atomic::Ordering::Relaxed) < 2 && stream.failure().is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    assert_eq!(stream.failure().map(ToString::to_string), None);
    is_same_there_and_back(stream, &Seeded(17).bytes(70_000)).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_is_written_never_gets_to_another_process() {
    let mut server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let mut stream = sdk.ports().connect(echo().await).await.unwrap();
    let relay = sdk.processes().list(None).await.unwrap().remove(0);
    proxy.stop_listening().await;
    server.restart().await.unwrap();
    stream.write_all(b"for nobody else").await.unwrap();
    let direct = builder(&server).connect().await.unwrap().processes();
    let other = direct.create(&ProcessCreateRequest::new("cat").interactive(true)).await.unwrap();
    assert_eq!(other.id, relay.id, "ids begin anew");
    // The output's reader is not to notice first.
    let (asked, seen) =
        (Arc::new(tokio::sync::Notify::new()), Arc::<std::sync::atomic::AtomicBool>::default());
    let (tell, open) = (asked.clone(), seen.clone());
    proxy.policy(move |line| {
        let is_log = line.contains("/logs");
        if !is_log {
            tell.notify_one();
        }
        if is_log && !open.load(std::sync::atomic::Ordering::Relaxed) {
            Policy::refuse()
        } else {
            Policy::pass()
        }
    });
    proxy.listen_again().await.unwrap();
    timeout(PATIENCE, asked.notified()).await.unwrap();
    // Time for what would be written then: more calls than it takes.
    for _ in 0..20 {
        direct.get(&other.id).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    seen.store(true, std::sync::atomic::Ordering::Relaxed);
    timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(*stream.failure().unwrap().kind(), ErrorKind::ProcessGone);
    direct.input(&other.id, b"end").await.unwrap();
    let heard = async || {
        let entries = direct.logs(&other.id, &ProcessLogsQuery::new()).await.unwrap().entries;
        entries.iter().flat_map(|entry| entry.bytes().unwrap()).collect::<Vec<_>>()
    };
    let all = async { while !heard().await.ends_with(b"end") {} };
    timeout(PATIENCE, all).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard().await), "end");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_service_sees_what_broke_as_broken() {
    for program in ["perl", "python3", "node"] {
        let (_server, sdk, _path) = having(&["sh", program]).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_broken = async |mut socket: TcpStream| {
            let outcome = timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.unwrap();
            assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "{program}");
        };
        let begun = async |forward: &PortForward| {
            let mut local = TcpStream::connect(forward.address()).await.unwrap();
            local.write_all(b"half").await.unwrap();
            let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
            socket.read_exact(&mut [0; 4]).await.unwrap();
            (local, socket)
        };
        let forward = sdk.ports().forward(port).await.unwrap();
        // The client breaks off.
        let (local, socket) = begun(&forward).await;
        local.set_zero_linger().unwrap();
        drop(local);
        is_broken(socket).await;
        // The forward is dropped.
        let (_local, socket) = begun(&forward).await;
        drop(forward);
        is_broken(socket).await;
        nothing_is_left(&sdk.processes()).await;
    }
}
