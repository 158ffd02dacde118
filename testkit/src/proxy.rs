//! A TCP proxy that does to connections what networks do.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const BUFFER: usize = 16 * 1024;
/// The longest first request line that a policy gets to see.
const LINE_LIMIT: usize = 8 * 1024;
/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

/// One of the two ways that bytes go through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server: requests.
    Up,
    /// From the server to the client: answers.
    Down,
}

/// What happens to one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    cut_after: Option<u64>,
    cut_after_sent: Option<u64>,
    bytes_per_second: Option<u64>,
    lose: Option<Way>,
    refuse: bool,
    stall: bool,
}

impl Policy {
    /// Passes everything on.
    pub const fn pass() -> Self {
        Self {
            cut_after: None,
            cut_after_sent: None,
            bytes_per_second: None,
            lose: None,
            refuse: false,
            stall: false,
        }
    }

    /// Resets the connection before anything reaches upstream.
    pub const fn refuse() -> Self {
        Self { refuse: true, ..Self::pass() }
    }

    /// Takes what the client sends and never answers: half open.
    pub const fn stall() -> Self {
        Self { stall: true, ..Self::pass() }
    }

    /// Bytes of one way vanish, behind the first request line; the connection stays open. With
    /// [`Way::Down`] a request is delivered and never answered.
    #[must_use]
    pub const fn lose(mut self, way: Way) -> Self {
        self.lose = Some(way);
        self
    }

    /// Resets the connection once this many bytes went downstream.
    #[must_use]
    pub const fn cut_after(mut self, bytes: u64) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Resets the connection once this many bytes of the client's went upstream, its first request line among them.
    #[must_use]
    pub const fn cut_after_sent(mut self, bytes: u64) -> Self {
        self.cut_after_sent = Some(bytes);
        self
    }

    /// Lets at most this many bytes a second go downstream; at least one.
    #[must_use]
    pub const fn slow(mut self, bytes_per_second: u64) -> Self {
        self.bytes_per_second = Some(if bytes_per_second == 0 { 1 } else { bytes_per_second });
        self
    }
}

impl Policy {
    /// What is left of it when so much went upstream.
    fn sent(self, bytes: u64) -> Self {
        Self { cut_after_sent: self.cut_after_sent.map(|left| left.saturating_sub(bytes)), ..self }
    }
}

type Decide = Box<dyn FnMut(&str) -> Policy + Send>;

/// What all connections are told.
#[derive(Clone, Copy, Default)]
struct Orders {
    /// Connections numbered up to this one are cut.
    cut_up_to: u64,
    /// Connections numbered up to this one stall, until they are resumed.
    stall_up_to: u64,
    /// Connections numbered up to this one are slow, until they are resumed.
    slow_up_to: u64,
    /// How slow, in bytes a second.
    rate: u64,
    /// What clients of connections numbered up to this one send vanishes.
    lose_up_to: u64,
    /// What the server sends on connections numbered up to this one vanishes.
    lose_down_to: u64,
}

impl Orders {
    fn stalls(&self, number: u64) -> bool {
        number <= self.stall_up_to
    }

    fn rate(&self, number: u64) -> Option<u64> {
        (number <= self.slow_up_to).then_some(self.rate)
    }

    fn loses(&self, number: u64, way: Way) -> bool {
        number
            <= match way {
                Way::Up => self.lose_up_to,
                Way::Down => self.lose_down_to,
            }
    }
}

struct Shared {
    upstream: SocketAddr,
    decide: Mutex<Decide>,
    orders: watch::Sender<Orders>,
    accepted: watch::Sender<u64>,
}

/// A proxy in front of a server, on a port of its own on 127.0.0.1.
///
/// A connection's [`Policy`] is decided by its first request line, so that a test can cut POSTs
/// and spare GETs. (An HTTP client that keeps connections alive sends more requests over one
/// of them; only the first is looked at.) All open connections can be cut, stalled, slowed down or
/// made to lose bytes at any time. Dropping the proxy cuts them and frees the port.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    url: String,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Keeps the port while nobody listens.
    reserved: Mutex<Option<TcpSocket>>,
}

impl Proxy {
    /// Starts a proxy that passes everything on.
    ///
    /// # Errors
    /// When the machine has no free port.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = tcp.local_addr()?;
        let proxy = Self {
            shared: Arc::new(Shared {
                upstream,
                decide: Mutex::new(Box::new(|_| Policy::pass())),
                orders: watch::Sender::new(Orders::default()),
                accepted: watch::Sender::new(0),
            }),
            address,
            url: format!("http://{address}"),
            accepting: Mutex::new(None),
            reserved: Mutex::new(None),
        };
        proxy.accept(tcp);
        Ok(proxy)
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides what happens to each connection from now on, by its first request line
    /// (`POST /v1/acp/x?agent=mock HTTP/1.1`).
    pub fn policy(&self, decide: impl FnMut(&str) -> Policy + Send + 'static) {
        *lock(&self.shared.decide) = Box::new(decide);
    }

    /// Resets every connection that is open.
    pub fn cut_all(&self) {
        let all = self.connections();
        self.shared.orders.send_modify(|orders| orders.cut_up_to = all);
    }

    /// Stops passing bytes on, both ways, on every connection that is open; none is closed.
    pub fn stall_all(&self) {
        let all = self.connections();
        self.shared.orders.send_modify(|orders| orders.stall_up_to = all);
    }

    /// Lets at most this many bytes a second go downstream on every connection that is open; at least one.
    pub fn slow_all(&self, bytes_per_second: u64) {
        let all = self.connections();
        self.shared.orders.send_modify(|orders| {
            orders.slow_up_to = all;
            orders.rate = bytes_per_second.max(1);
        });
    }

    /// From now on bytes of one way vanish on every connection that is open, its end too; none is
    /// closed. What was lost can't be had again, so this lasts until they are cut.
    pub fn lose_all(&self, way: Way) {
        let all = self.connections();
        self.shared.orders.send_modify(|orders| match way {
            Way::Up => orders.lose_up_to = all,
            Way::Down => orders.lose_down_to = all,
        });
    }

    /// The same both ways: neither side sees anything of the other any more, nor its end.
    pub fn half_open_all(&self) {
        self.lose_all(Way::Up);
        self.lose_all(Way::Down);
    }

    /// Lets connections go on that [`stall_all`](Self::stall_all) stalled or [`slow_all`](Self::slow_all) slowed down.
    pub fn resume_all(&self) {
        self.shared.orders.send_modify(|orders| (orders.stall_up_to, orders.slow_up_to) = (0, 0));
    }

    /// Refuses new connections, until [`listen_again`](Self::listen_again). Open ones live on.
    pub async fn stop_listening(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(accepting) = accepting {
            accepting.abort();
            let _ = accepting.await;
            // So that the system gives it to nobody else; where that fails it is bound when it is needed.
            *lock(&self.reserved) = self.bind().ok();
        }
    }

    /// Takes new connections again, on the same port.
    ///
    /// # Errors
    /// When somebody else has taken the port meanwhile.
    pub async fn listen_again(&self) -> io::Result<()> {
        if lock(&self.accepting).is_none() {
            let reserved = lock(&self.reserved).take();
            let socket = reserved.map_or_else(|| self.bind(), Ok)?;
            self.accept(socket.listen(BACKLOG)?);
        }
        Ok(())
    }

    fn bind(&self) -> io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        Ok(socket)
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> u64 {
        *self.shared.accepted.borrow()
    }

    /// Waits until it has accepted this many connections. The caller bounds it.
    pub async fn wait_for_connections(&self, count: u64) {
        let mut accepted = self.shared.accepted.subscribe();
        // The sender is `self`'s, so waiting can't fail.
        let _ = accepted.wait_for(|accepted| *accepted >= count).await;
    }

    fn accept(&self, tcp: TcpListener) {
        let shared = self.shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = tcp.accept().await {
                let mut number = 0;
                shared.accepted.send_modify(|accepted| {
                    *accepted += 1;
                    number = *accepted;
                });
                tokio::spawn(Connection { number, shared: shared.clone() }.serve(client));
            }
        });
        *lock(&self.accepting) = Some(accepting);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &self.url)
            .field("upstream", &self.shared.upstream)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
        }
        self.shared.orders.send_modify(|orders| orders.cut_up_to = u64::MAX);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Connection {
    number: u64,
    shared: Arc<Shared>,
}

impl Connection {
    async fn serve(self, mut client: TcpStream) {
        let mut orders = self.shared.orders.subscribe();
        let cut = tokio::select! {
            biased;
            _ = orders.wait_for(|orders| orders.cut_up_to >= self.number) => true,
            passed = self.pass(&mut client) => passed.is_err(),
        };
        if cut {
            // Dropped with this set, a socket sends a reset.
            let _ = client.set_zero_linger();
        }
    }

    async fn pass(&self, client: &mut TcpStream) -> io::Result<()> {
        let head = read_first_line(client).await?;
        let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let policy = (lock(&self.shared.decide))(&line);
        if policy.refuse {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if policy.stall {
            return std::future::pending().await;
        }
        let mut upstream = TcpStream::connect(self.shared.upstream).await?;
        let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
        upstream.write_all(&head).await?;
        let policy = policy.sent(head.len() as u64);
        let (client_in, client_out) = client.split();
        let (upstream_in, upstream_out) = upstream.split();
        tokio::try_join!(
            self.copy(client_in, upstream_out, Way::Up, policy),
            self.copy(upstream_in, client_out, Way::Down, policy),
        )?;
        Ok(())
    }

    async fn copy(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        way: Way,
        policy: Policy,
    ) -> io::Result<()> {
        let mut orders = self.shared.orders.subscribe();
        let down = way == Way::Down;
        let mut left = if down { policy.cut_after } else { policy.cut_after_sent }.unwrap_or(u64::MAX);
        let mut buffer = vec![0; BUFFER];
        loop {
            if left == 0 {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let wanted = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let read = from.read(&mut buffer[..wanted]).await?;
            let _ = orders.wait_for(|orders| !orders.stalls(self.number)).await;
            if policy.lose == Some(way) || orders.borrow().loses(self.number, way) {
                match read {
                    0 => std::future::pending().await,
                    _ => continue,
                }
            }
            if read == 0 {
                return to.shutdown().await;
            }
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                let rate = policy.bytes_per_second.or_else(|| orders.borrow().rate(self.number));
                let Some(rate) = rate.filter(|_| down) else {
                    to.write_all(rest).await?;
                    break;
                };
                // A tenth of a second at a time.
                let piece = usize::try_from(rate / 10 + 1).unwrap_or(BUFFER).min(rest.len());
                to.write_all(&rest[..piece]).await?;
                rest = &rest[piece..];
                sleep(Duration::from_secs_f64(piece as f64 / rate as f64)).await;
            }
            left -= read as u64;
        }
    }
}

async fn read_first_line(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(256);
    while !head.contains(&b'\n') && head.len() < LINE_LIMIT {
        if client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}
