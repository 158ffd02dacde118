//! Somebody between the SDK and the server who understands HTTP: it answers by itself, and has requests come late.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The server's answer is passed on.
    Pass,
    /// The server gets it, and there is no answer at all.
    PassSilently,
    /// A page with this status, and the server gets nothing yet.
    Keep(u16),
    /// The server does first what was kept.
    PassBehindKept,
    /// The server gets it, then what was kept; a page comes instead of an answer.
    PassBeforeKept(u16),
}

type Decide = Box<dyn FnMut(&str) -> Act + Send>;

#[derive(Clone)]
struct Shared {
    upstream: SocketAddr,
    decide: Arc<Mutex<Decide>>,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Listens until the test's runtime ends.
pub(super) struct Front {
    url: String,
}

impl Front {
    /// `decide` sees each request, its head and its content.
    pub(super) async fn start(
        upstream: SocketAddr,
        decide: impl FnMut(&str) -> Act + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let decide: Decide = Box::new(decide);
        let shared = Shared { upstream, decide: Arc::new(Mutex::new(decide)), kept: Arc::default() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(shared.clone().serve(client));
            }
        });
        Self { url }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Shared {
    async fn serve(self, mut client: TcpStream) {
        let Some(request) = read(&mut client).await else { return };
        let act = (self.decide.lock().unwrap())(&String::from_utf8_lossy(&request));
        match act {
            Act::Pass => self.pass(&request, &mut client).await,
            Act::PassBehindKept => {
                self.pass_kept().await;
                self.pass(&request, &mut client).await;
            }
            Act::PassBeforeKept(status) => {
                self.done(&request).await;
                self.pass_kept().await;
                page(&mut client, status).await;
            }
            Act::PassSilently => {
                self.done(&request).await;
                // Until the client goes.
                let _ = client.read(&mut [0]).await;
            }
            Act::Keep(status) => {
                self.kept.lock().unwrap().push(request);
                page(&mut client, status).await;
            }
        }
    }

    async fn pass(&self, request: &[u8], client: &mut TcpStream) {
        let mut server = TcpStream::connect(self.upstream).await.unwrap();
        server.write_all(request).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut server, client).await;
    }

    /// Has the server do it.
    async fn done(&self, request: &[u8]) {
        let mut server = TcpStream::connect(self.upstream).await.unwrap();
        server.write_all(request).await.unwrap();
        assert!(server.read(&mut [0; 1024]).await.unwrap() > 0);
    }

    async fn pass_kept(&self) {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        for request in kept {
            self.done(&request).await;
        }
    }
}

async fn page(client: &mut TcpStream, status: u16) {
    let answer = format!("HTTP/1.1 {status} Page\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>");
    let _ = client.write_all(answer.as_bytes()).await;
}

/// One request with its content.
async fn read(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if request.len() >= end + 4 + length.unwrap_or(0) {
                return Some(request);
            }
        }
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
