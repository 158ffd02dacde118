//! A proxy that understands just enough HTTP to lose one event of a stream.
//!
//! It stands for the server's subscribing race: the event is in the server's ring and not on the
//! stream. Of the first event stream it drops the chunk that holds the turn's response; the POST
//! of the prompt it cuts once the server has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

pub struct Filter {
    url: String,
    lost: Arc<AtomicBool>,
}

impl Filter {
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lost = Arc::new(AtomicBool::new(false));
        let losing = lost.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, upstream, losing.clone()));
            }
        });
        Self { url, lost }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn lost_the_response(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }
}

/// What the last request of a connection was, told by its way out to its way in.
#[derive(Default)]
struct Seen {
    stream: AtomicBool,
    prompt: AtomicBool,
}

async fn serve(client: TcpStream, upstream: SocketAddr, lost: Arc<AtomicBool>) {
    let (read, write) = client.into_split();
    let (upstream_read, upstream_write) = TcpStream::connect(upstream).await.unwrap().into_split();
    let seen = Arc::new(Seen::default());
    tokio::select! {
        () = requests(read, upstream_write, seen.clone()) => {}
        () = responses(upstream_read, write, seen, lost) => {}
    }
}

/// Passes requests on as they come.
async fn requests(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, seen: Arc<Seen>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..length]);
        if text.contains("text/event-stream") {
            seen.stream.store(true, Ordering::SeqCst);
        }
        if text.contains("session/prompt") {
            seen.prompt.store(true, Ordering::SeqCst);
        }
        if server.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn responses(
    server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    seen: Arc<Seen>,
    lost: Arc<AtomicBool>,
) {
    let mut server = BufReader::new(server);
    loop {
        match server.fill_buf().await {
            Ok(come) if !come.is_empty() => {}
            _ => return,
        }
        if seen.prompt.load(Ordering::SeqCst) {
            // The agent has the prompt; nobody gets to see the answer here.
            return;
        }
        if !seen.stream.load(Ordering::SeqCst) {
            let come = server.buffer().to_vec();
            server.consume(come.len());
            if client.write_all(&come).await.is_err() {
                return;
            }
            continue;
        }
        let mut line = Vec::new();
        if server.read_until(b'\n', &mut line).await.is_err() {
            return;
        }
        // A chunk of the stream: its size in hex, then as many bytes and a line end.
        let size =
            std::str::from_utf8(&line).ok().and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
        if let Some(size) = size {
            let mut chunk = vec![0; size + 2];
            if server.read_exact(&mut chunk).await.is_err() {
                return;
            }
            let is_response = String::from_utf8_lossy(&chunk).contains("\"stopReason\"");
            if is_response && !lost.swap(true, Ordering::SeqCst) {
                continue;
            }
            line.extend(chunk);
        }
        if client.write_all(&line).await.is_err() {
            return;
        }
    }
}
