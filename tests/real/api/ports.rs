//! Ports in the sandbox. The real server's sandbox is this machine, so that the services are the tests' own.

mod relays;

use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sandbox_agent_sdk::api::ports::{PortForward, PortStream};
use sandbox_agent_sdk::api::processes::{
    ExecRequest, ProcessCreateRequest, ProcessLogsQuery, ProcessOwner, Processes,
};
use sandbox_agent_sdk::{ErrorKind, Limits, SandboxAgent};
use sandbox_agent_testkit::proxy::{Policy, Proxy, Way};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::connected;
use crate::builder;

const PATIENCE: Duration = Duration::from_secs(30);
const LARGE: usize = 5_000_000;

/// Bytes of every value, and no two parts alike.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

/// A service that does that with each of its connections, and its port.
async fn service<F: Future<Output = ()> + Send>(
    serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let serve = serve.clone();
            tokio::spawn(async move { serve(socket).await });
        }
    });
    port
}

/// Says back what it hears, and ends when that ends.
async fn echo() -> u16 {
    service(async |mut socket: TcpStream| {
        let (mut reads, mut writes) = socket.split();
        let _ = tokio::io::copy(&mut reads, &mut writes).await;
        let _ = writes.shutdown().await;
    })
    .await
}

/// Only hears, so that nothing but data is written to it.
async fn swallow() -> u16 {
    service(async |mut socket: TcpStream| {
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    })
    .await
}

/// Says all that it heard only once that has ended.
async fn patient() -> u16 {
    service(async |mut socket: TcpStream| {
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).await.unwrap();
        socket.write_all(&heard).await.unwrap();
    })
    .await
}

async fn is_same_there_and_back(stream: PortStream, sent: &[u8]) {
    let (mut reads, mut writes) = tokio::io::split(stream);
    let write = async {
        writes.write_all(sent).await.unwrap();
        writes.shutdown().await.unwrap();
    };
    let mut came = Vec::new();
    let read = async { reads.read_to_end(&mut came).await.unwrap() };
    timeout(PATIENCE, async { tokio::join!(write, read) }).await.unwrap();
    assert_eq!(Sha256::digest(&came), Sha256::digest(sent), "{} of {} bytes", came.len(), sent.len());
}

/// Nothing of the SDK's is left in the sandbox.
async fn nothing_is_left(processes: &Processes) {
    let gone = async {
        while !processes.list(Some(ProcessOwner::User)).await.unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(PATIENCE, gone).await.is_err() {
        panic!("left behind: {:?}", processes.list(None).await);
    }
}

/// A web server that is no part of ours: files of this folder by GET, and by POST the SHA-256 of what is sent.
async fn web_server(sdk: &SandboxAgent, folder: &std::path::Path) -> u16 {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let script = format!(
        "const http = require('http'), fs = require('fs'), crypto = require('crypto');
         http.createServer((request, response) => {{
             if (request.method === 'GET') return fs.createReadStream('.' + request.url).pipe(response);
             const hash = crypto.createHash('sha256');
             request.on('data', (data) => hash.update(data));
             request.on('end', () => response.end(hash.digest('hex')));
         }}).on('listening', function () {{ this.keepAliveTimeout = 60000; }}).listen({port}, '127.0.0.1');"
    );
    let request = ProcessCreateRequest::new("node").args(["-e", &script]).cwd(folder.to_str().unwrap());
    sdk.processes().create(&request).await.unwrap();
    let up = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, up).await.unwrap();
    port
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn an_http_client_gets_and_posts_megabytes_over_eight_connections_at_once() {
    let (_server, sdk) = connected().await;
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..8).map(|seed| bytes(LARGE, seed)).collect();
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
        assert_eq!(hash, hex(&Sha256::digest(file)));
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

/// Where a program really is: what is found first may be a script of a version manager's, that needs a shell.
fn path_of(program: &str) -> PathBuf {
    let (script, args): (_, &[_]) = match program {
        "python3" => ("exec python3 -c 'import sys; print(sys.executable)'", &[]),
        _ => ("command -v \"$1\"", &["sh", program]),
    };
    let found = std::process::Command::new("sh").args(["-c", script]).args(args).output().unwrap();
    assert!(found.status.success(), "no {program} here");
    String::from_utf8(found.stdout).unwrap().trim().into()
}

/// A server whose sandbox has these programs alone.
async fn having(programs: &[&str]) -> (RealServer, SandboxAgent, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for program in programs {
        symlink(path_of(program), folder.path().join(program)).unwrap();
    }
    let options = RealServerOptions::new().env("PATH", folder.path().to_str().unwrap());
    let server = RealServer::start(options).await.unwrap();
    let sdk = builder(&server).connect().await.unwrap();
    (server, sdk, folder)
}

async fn carries_whole(program: &str) {
    let (_server, sdk, _path) = having(&["sh", program]).await;
    let ports = sdk.ports();
    let (echo, patient) = (echo().await, patient().await);
    for length in [0, 1, 70_000, LARGE] {
        is_same_there_and_back(ports.connect(echo).await.unwrap(), &bytes(length, 7)).await;
    }
    // The end of what is written arrives, and does not end what is read.
    is_same_there_and_back(ports.connect(patient).await.unwrap(), &bytes(LARGE, 9)).await;
    let refused = ports.connect(1).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::PortRefused { port: 1 }, "{refused}");
    nothing_is_left(&sdk.processes()).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn perl_carries_every_byte() {
    carries_whole("perl").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn python_carries_every_byte() {
    carries_whole("python3").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn node_carries_every_byte() {
    carries_whole("node").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_sandbox_without_any_of_them_is_told_what_to_install() {
    let (_server, sdk, _path) = having(&["sh"]).await;
    let error = sdk.ports().connect(80).await.unwrap_err();
    let ErrorKind::ProgramMissing { any_of } = error.kind() else { panic!("{error:?}") };
    assert_eq!(*any_of, ["perl", "python3", "node"]);
    nothing_is_left(&sdk.processes()).await;
    let (_server, sdk, _path) = having(&[]).await;
    let error = sdk.ports().connect(80).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::ProgramMissing { any_of: vec!["sh".to_owned()] }, "{error:?}");
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
async fn a_port_where_nothing_listens_resets_its_connections() {
    let (_server, sdk) = connected().await;
    let forward = sdk.ports().forward(1).await.unwrap();
    let mut local = TcpStream::connect(forward.address()).await.unwrap();
    let outcome = timeout(PATIENCE, local.read(&mut [0; 10])).await.unwrap();
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(*forward.last_error().unwrap().kind(), ErrorKind::PortRefused { port: 1 });
    nothing_is_left(&sdk.processes()).await;
}

/// A forwarded connection over which something went.
async fn in_use(forward: &PortForward) -> TcpStream {
    let mut local = TcpStream::connect(forward.address()).await.unwrap();
    local.write_all(b"hello").await.unwrap();
    timeout(PATIENCE, local.read_exact(&mut [0; 5])).await.unwrap().unwrap();
    local
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_dropped_forward_leaves_nothing() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let forward = sdk.ports().forward(echo().await).await.unwrap();
    let address = forward.address();
    let mut locals = join_all((0..3).map(|_| in_use(&forward))).await;
    assert_eq!(forward.connections(), 3);
    assert_eq!(processes.list(None).await.unwrap().len(), 3);
    drop(forward);
    for local in &mut locals {
        let outcome = timeout(PATIENCE, local.read(&mut [0; 10])).await.unwrap();
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
    nothing_is_left(&processes).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");

    let forward = sdk.ports().forward(echo().await).await.unwrap();
    let _local = in_use(&forward).await;
    forward.close().await;
    assert_eq!(processes.list(None).await.unwrap(), [], "close waits for it");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_was_written_before_a_drop_arrives() {
    let (_server, sdk) = connected().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let sent = bytes(300_000, 3);
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
    let sent = bytes(40_000_000, 5);
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
    socket.write_all(&bytes(LARGE, 1)[..1000]).await.unwrap();
    timeout(PATIENCE, stream.read_exact(&mut [0; 1000])).await.unwrap().unwrap();
    // While nothing gets through, more comes than is kept.
    proxy.stall_all();
    tokio::spawn(async move {
        let _ = socket.write_all(&bytes(LARGE, 1)[1000..]).await;
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
    assert_eq!(came, bytes(LARGE, 1)[1000..1000 + came.len()], "what came before is right");
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
async fn what_is_read_survives_a_cut() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let sent = bytes(600_000, 11);
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

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_may_not_have_arrived_breaks_the_connection() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let mut stream = sdk.ports().connect(swallow().await).await.unwrap();
    let (mut reads, mut writes) = tokio::io::split(&mut stream);
    let sent = bytes(LARGE, 13);
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
async fn a_relay_is_ended_also_when_the_first_try_does_not_arrive() {
    let server = crate::server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    // The service does not end by itself, so that its relay has to be killed.
    let _socket = listener.accept().await.unwrap();
    let mut tried = [false; 2];
    proxy.policy(move |line| {
        let step = if line.contains("/kill") { 0 } else { 1 };
        let is_step = step == 0 || line.starts_with("DELETE");
        if is_step && !std::mem::replace(&mut tried[step], true) { Policy::refuse() } else { Policy::pass() }
    });
    drop(stream);
    nothing_is_left(&sdk.processes()).await;
}

/// Through a proxy, whose requests to start a process are answered seconds after it was started.
async fn answered_late() -> (RealServer, Proxy, SandboxAgent, Processes) {
    let (server, direct) = connected().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    proxy.policy(|line| {
        if line.starts_with("POST /v1/processes ") { Policy::pass().slow(300) } else { Policy::pass() }
    });
    (server, proxy, sdk, direct.processes())
}

async fn one_is_there(processes: &Processes) {
    while processes.list(None).await.unwrap().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_call_that_is_dropped_before_its_answer_leaves_nothing() {
    let (_server, _proxy, sdk, processes) = answered_late().await;
    let (ports, port, sdks) = (sdk.ports(), echo().await, sdk.processes());
    tokio::select! {
        opened = ports.connect(port) => panic!("{opened:?}"),
        () = one_is_there(&processes) => {}
    }
    nothing_is_left(&processes).await;
    tokio::select! {
        done = sdks.exec(ExecRequest::new("sleep").arg("1000")) => panic!("{done:?}"),
        () = one_is_there(&processes) => {}
    }
    nothing_is_left(&processes).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn close_waits_also_for_a_connection_that_is_only_being_made() {
    let (_server, _proxy, sdk, processes) = answered_late().await;
    let forward = sdk.ports().forward(echo().await).await.unwrap();
    let _local = TcpStream::connect(forward.address()).await.unwrap();
    one_is_there(&processes).await;
    timeout(PATIENCE, forward.close()).await.unwrap();
    assert_eq!(processes.list(None).await.unwrap(), []);
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
    is_same_there_and_back(stream, &bytes(70_000, 17)).await;
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
async fn an_interpreter_that_does_not_work_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["sh", "python3"] {
        symlink(path_of(program), folder.path().join(program)).unwrap();
    }
    let perl = folder.path().join("perl");
    std::fs::write(&perl, "#!/bin/sh\nexit 2\n").unwrap();
    std::fs::set_permissions(&perl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = RealServer::start(RealServerOptions::new().env("PATH", folder.path().to_str().unwrap()))
        .await
        .unwrap();
    let sdk = builder(&server).connect().await.unwrap();
    is_same_there_and_back(sdk.ports().connect(echo().await).await.unwrap(), b"hello").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_sandboxs_settings_of_an_interpreter_are_not_its_relays() {
    for (program, name, setting) in [
        ("perl", "PERL5OPT", "-MNo::Such"),
        ("perl", "PERL_UNICODE", "SDA"),
        ("node", "NODE_OPTIONS", "--no-such"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for program in ["sh", program] {
            symlink(path_of(program), folder.path().join(program)).unwrap();
        }
        let options =
            RealServerOptions::new().env("PATH", folder.path().to_str().unwrap()).env(name, setting);
        let server = RealServer::start(options).await.unwrap();
        let sdk = builder(&server).connect().await.unwrap();
        is_same_there_and_back(sdk.ports().connect(echo().await).await.unwrap(), &bytes(70_000, 19)).await;
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn who_does_not_read_can_still_write() {
    let (_server, sdk) = connected().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stream = sdk.ports().connect(listener.local_addr().unwrap().port()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let (mut reads, mut writes) = socket.split();
    let (answer, sent) = (bytes(LARGE, 21), bytes(LARGE, 23));
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
