//! Ports in the sandbox. The real server's sandbox is this machine, so that the services are the tests' own.

mod broken;
mod interpreters;
mod left;
mod relays;
mod services;
mod whole;

use std::time::Duration;

use sandbox_agent_sdk::api::ports::{PortForward, PortStream};
use sandbox_agent_sdk::api::processes::{ProcessOwner, Processes};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const LARGE: usize = 5_000_000;

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

/// A forwarded connection over which something went.
async fn in_use(forward: &PortForward) -> TcpStream {
    let mut local = TcpStream::connect(forward.address()).await.unwrap();
    local.write_all(b"hello").await.unwrap();
    timeout(PATIENCE, local.read_exact(&mut [0; 5])).await.unwrap().unwrap();
    local
}
