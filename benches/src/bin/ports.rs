//! What a connection to a port in the sandbox carries: bytes a second each way, over one and over several, the time
//! of a small exchange, and the time until a connection is there; beside the same over TCP alone.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use futures::future::try_join_all;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::ports::Ports;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a service does is said by the first byte that it reads.
const GIVE: u8 = b'g';
const TAKE: u8 = b't';
const ECHO: u8 = b'e';

/// Connections to a port in the sandbox, in figures.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long, env = "SANDBOX_AGENT_URL")]
    url: String,
    /// Megabytes that each connection carries, each way
    #[arg(long, default_value_t = 32)]
    megabytes: usize,
    /// Connections at once
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Small exchanges, and connections, of which the median is told
    #[arg(long, default_value_t = 100)]
    samples: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let sdk = SandboxAgent::connect(&options.url).await?;
    let ports = sdk.ports();
    let port = service(options.megabytes * 1_000_000).await?;
    for connections in [1, options.connections] {
        for (name, kind) in [("from the sandbox", GIVE), ("to the sandbox", TAKE)] {
            let start = Instant::now();
            try_join_all((0..connections).map(|_| carry(&ports, port, kind, options.megabytes))).await?;
            let rate = (connections * options.megabytes) as f64 / start.elapsed().as_secs_f64();
            println!("{name}, {connections} at once: {rate:.1} MB/s in all");
        }
    }
    let mut stream = ports.connect(port).await?;
    println!("exchange of 64 bytes: {:?}", exchanges(&mut stream, options.samples).await?);
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    tcp.set_nodelay(true)?;
    println!("the same over TCP alone: {:?}", exchanges(&mut tcp, options.samples).await?);
    let mut opened = Vec::new();
    for _ in 0..options.samples {
        let start = Instant::now();
        let stream = ports.connect(port).await?;
        opened.push(start.elapsed());
        drop(stream);
    }
    println!("until a connection is there: {:?}", median(opened));
    Ok(())
}

/// In the sandbox that the bench runs with, which is this machine.
async fn service(bytes: usize) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, bytes));
        }
    });
    Ok(port)
}

async fn serve(mut socket: TcpStream, bytes: usize) -> Result<()> {
    socket.set_nodelay(true)?;
    let kind = socket.read_u8().await?;
    match kind {
        GIVE => {
            let part = [7; 50_000];
            for _ in 0..bytes / part.len() {
                socket.write_all(&part).await?;
            }
        }
        TAKE => {
            tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
        }
        _ => {
            let (mut reads, mut writes) = socket.split();
            tokio::io::copy(&mut reads, &mut writes).await?;
        }
    }
    Ok(socket.shutdown().await?)
}

async fn carry(ports: &Ports, port: u16, kind: u8, megabytes: usize) -> Result<()> {
    let mut stream = ports.connect(port).await?;
    stream.write_u8(kind).await?;
    if kind == TAKE {
        let part = vec![7; 1_000_000];
        for _ in 0..megabytes {
            stream.write_all(&part).await?;
        }
        stream.shutdown().await?;
    }
    let came = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    let expected = if kind == GIVE { megabytes * 1_000_000 } else { 0 };
    anyhow::ensure!(came == expected as u64, "{came} bytes came of {expected}");
    Ok(())
}

async fn exchanges(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), samples: usize) -> Result<Duration> {
    stream.write_u8(ECHO).await?;
    let mut times = Vec::new();
    for _ in 0..samples {
        let start = Instant::now();
        stream.write_all(&[7; 64]).await?;
        stream.read_exact(&mut [0; 64]).await?;
        times.push(start.elapsed());
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
