//! What arrives, and who waits for whom.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::processes::ProcessOwner;
use sandbox_agent_testkit::proxy::Proxy;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::services::web_server;
use super::{LARGE, PATIENCE, nothing_is_left};
use crate::api::connected;
use crate::api::seeded::{Seeded, hex};

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn an_http_client_gets_and_posts_megabytes_over_eight_connections_at_once() {
    let (_server, sdk) = connected().await;
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..8).map(|seed| Seeded(seed).bytes(LARGE)).collect();
    for (number, file) in files.iter().enumerate() {
        std::fs::write(folder.path().join(number.to_string()), file).unwrap();
    }
    let forward = sdk.ports().forward(web_server(&sdk, folder.path()).await).await.unwrap();
    let exchange = async |number: usize, file: &[u8]| {
        // A client of its own, and so a connection of its own.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/{number}", forward.url());
        let got = client.get(&url).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(Sha256::digest(&got), Sha256::digest(file));
        let posted = client.post(&url).body(file.to_vec()).send().await;
        let posted = posted.unwrap_or_else(|error| panic!("{error:?}: {:?}", forward.last_error()));
        let hash = posted.text().await.unwrap();
        assert_eq!(hash, hex(Sha256::new().chain_update(file)));
    };
    let exchanges = files.iter().enumerate().map(|(number, file)| exchange(number, file));
    timeout(PATIENCE, join_all(exchanges)).await.unwrap();
    assert_eq!(forward.last_error().map(|error| error.to_string()), None);
    forward.close().await;
    assert_eq!(
        sdk.processes().list(Some(ProcessOwner::User)).await.unwrap().len(),
        1,
        "the web server alone"
    );
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_service_that_only_listens_at_the_other_loopback_is_found() {
    let (_server, sdk) = connected().await;
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut stream = sdk.ports().connect(port).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    socket.write_all(b"hello").await.unwrap();
    drop(socket);
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hello");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_was_written_before_a_drop_arrives() {
    let (_server, sdk) = connected().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let sent = Seeded(3).bytes(300_000);
    stream.write_all(&sent).await.unwrap();
    drop(stream);
    let mut came = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut came)).await.unwrap().unwrap();
    assert!(came == sent, "{} bytes", came.len());
    nothing_is_left(&sdk.processes()).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn who_does_not_read_holds_the_service_up_and_loses_nothing() {
    let (_server, sdk) = connected().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    // More than the server's log and all buffers hold.
    let sent = Seeded(5).bytes(40_000_000);
    let written = Arc::<std::sync::atomic::AtomicUsize>::default();
    let (count, copy) = (written.clone(), sent.clone());
    tokio::spawn(async move {
        for part in copy.chunks(10_000) {
            socket.write_all(part).await.unwrap();
            count.fetch_add(part.len(), std::sync::atomic::Ordering::Relaxed);
        }
    });
    let written = || written.load(std::sync::atomic::Ordering::Relaxed);
    // Until it stands still, for longer than any step of the way takes.
    let mut before = usize::MAX;
    while before != written() {
        before = written();
        sleep(Duration::from_millis(500)).await;
    }
    assert!(before < 20_000_000, "{before}");
    let mut came = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut came)).await.unwrap().unwrap();
    assert!(Sha256::digest(&came) == Sha256::digest(&sent), "{} bytes", came.len());
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn who_does_not_read_can_still_write() {
    let (_server, sdk) = connected().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let (mut reads, mut writes) = socket.split();
    let (answer, sent) = (Seeded(21).bytes(LARGE), Seeded(23).bytes(LARGE));
    let mut heard = vec![0; LARGE];
    let upload = async {
        stream.write_all(&sent).await.unwrap();
        // Only now, so that what was answered meanwhile waits.
        let mut came = vec![0; LARGE];
        stream.read_exact(&mut came).await.unwrap();
        assert_eq!(Sha256::digest(&came), Sha256::digest(&answer));
    };
    let serve = async { tokio::join!(writes.write_all(&answer), reads.read_exact(&mut heard)) };
    let ((), (wrote, read)) = timeout(PATIENCE, async { tokio::join!(upload, serve) }).await.unwrap();
    wrote.unwrap();
    read.unwrap();
    assert_eq!(Sha256::digest(&heard), Sha256::digest(&sent));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_is_read_survives_a_cut() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let sent = Seeded(11).bytes(600_000);
    for part in sent.chunks(200_000) {
        socket.write_all(part).await.unwrap();
        let mut came = vec![0; 100_000];
        timeout(PATIENCE, stream.read_exact(&mut came)).await.unwrap().unwrap();
        assert!(part.starts_with(&came));
        // Nothing is being written to the sandbox: its acknowledgement is, where a quarter of a window was read.
        proxy.cut_all();
        timeout(PATIENCE, stream.read_exact(&mut came)).await.unwrap().unwrap();
        assert!(part.ends_with(&came));
    }
}
