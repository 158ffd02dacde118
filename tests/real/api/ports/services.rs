//! What connections lead to.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::processes::ProcessCreateRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::PATIENCE;

/// A service that does that with each of its connections, and its port.
pub(super) async fn service<F: Future<Output = ()> + Send>(
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
pub(super) async fn echo() -> u16 {
    service(async |mut socket: TcpStream| {
        let (mut reads, mut writes) = socket.split();
        let _ = tokio::io::copy(&mut reads, &mut writes).await;
        let _ = writes.shutdown().await;
    })
    .await
}

/// Only hears, so that nothing but data is written to it.
pub(super) async fn swallow() -> u16 {
    service(async |mut socket: TcpStream| {
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    })
    .await
}

/// Says all that it heard only once that has ended.
pub(super) async fn patient() -> u16 {
    service(async |mut socket: TcpStream| {
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).await.unwrap();
        socket.write_all(&heard).await.unwrap();
    })
    .await
}

/// A web server that is no part of ours: files of this folder by GET, and by POST the SHA-256 of what is sent.
pub(super) async fn web_server(sdk: &SandboxAgent, folder: &std::path::Path) -> u16 {
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
