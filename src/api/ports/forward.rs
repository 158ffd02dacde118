//! A port of this machine that leads into the sandbox.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::carrier::Carrier;
use super::{PortStream, Ports};
use crate::error::{Error, ErrorKind, Result};

/// Half of the processes that the server runs at once.
const MOST: usize = 32;
/// For a machine that is out of files: trying again at once would help nobody.
const PAUSE: Duration = Duration::from_millis(50);

/// A port of this machine that leads to one in the sandbox.
///
/// A local connection whose way breaks, or that nothing in the sandbox takes, is reset, never closed as if it were
/// done; [`last_error`](Self::last_error) says why. At most 32 are open at once, and others wait until one of them
/// ends. Every user and program of this machine can connect to it.
///
/// Dropping it closes the port and all its connections, and ends their relays in the sandbox; so does the end of the
/// SDK.
#[derive(Debug)]
#[must_use = "dropping it closes the port"]
pub struct PortForward {
    address: SocketAddr,
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

#[derive(Debug, Default)]
struct Shared {
    open: AtomicUsize,
    last_error: Mutex<Option<Error>>,
}

impl Shared {
    fn failed(&self, error: Error) {
        tracing::warn!(%error, "a connection to a forwarded port failed");
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl PortForward {
    pub(super) async fn start(ports: Ports, local: u16, port: u16) -> Result<Self> {
        let listening = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, local)).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listening.await.map_err(|error: std::io::Error| {
            let message = format!("port {local} of this machine can't be listened on");
            Error::new(ErrorKind::Io, message).with_source(error)
        })?;
        let (shared, runtime) = (Arc::<Shared>::default(), ports.processes.api.runtime.clone());
        let stop = ports.processes.api.stop.child_token();
        let forwarding = Forwarding { ports, port, shared: shared.clone(), stop: stop.clone() };
        let task = runtime.spawn(forwarding.run(listener));
        Ok(Self { address, port, shared, task, stop: stop.drop_guard() })
    }

    /// Where it listens, such as `127.0.0.1:40123`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for an HTTP client, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port in the sandbox.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Why the newest of the connections that failed did so.
    pub fn last_error(&self) -> Option<Error> {
        self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the port and its connections, also those that are only being made, and waits until their relays are
    /// gone. Bounded by 5 s and [`Limits::call`](crate::Limits::call) for each step, and by [`Limits::reconnect`](crate::Limits::reconnect) while the server is
    /// away; dropping the call lets it go on by itself.
    pub async fn close(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

#[derive(Clone)]
struct Forwarding {
    ports: Ports,
    port: u16,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Forwarding {
    async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept(), if connections.len() < MOST => accepted,
            };
            match accepted {
                Ok((local, _)) => drop(connections.spawn(self.clone().carry(local))),
                Err(error) => {
                    self.shared
                        .failed(Error::new(ErrorKind::Io, "no connection can be taken").with_source(error));
                    sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// A connection into the sandbox. Where there is none, there is no relay any more either.
    async fn open(&self) -> Option<(PortStream, Carrier)> {
        // Not left in the middle: whoever closes the forward waits for what would have to be ended.
        let mut opening = match self.ports.start(self.port).await {
            Ok(opening) => opening,
            Err(error) => {
                self.shared.failed(error);
                return None;
            }
        };
        let opened = self.stop.run_until_cancelled(opening.opened()).await;
        if let Some(Ok(())) = opened {
            return Some(opening.carry());
        }
        if let Some(Err(error)) = opened {
            self.shared.failed(error);
        }
        opening.owned.clear_up().await;
        None
    }

    async fn carry(self, mut local: TcpStream) {
        // What is small and waits for an answer should not wait for more.
        let _ = local.set_nodelay(true);
        let Some((mut stream, carrier)) = self.open().await else { return reset(&local) };
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        let copying = async {
            let copy = copy_bidirectional(&mut local, &mut stream);
            let is_whole = self.stop.run_until_cancelled(copy).await.is_some_and(|copied| copied.is_ok());
            if let Some(error) = PortStream::failure(&stream) {
                self.shared.failed(error.clone());
            }
            if !is_whole || stream.failure().is_some() {
                // Neither side is to take what it got for whole.
                stream.abort();
                reset(&local);
            }
            drop((local, stream));
        };
        tokio::join!(copying, carrier.run());
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has the connection end as one that broke: who reads to its end must not take it for whole.
fn reset(local: &TcpStream) {
    // It only fails for a connection that is gone.
    let _ = local.set_zero_linger();
}
