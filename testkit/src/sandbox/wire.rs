//! The TCP side: a listener whose connections can be cut from outside.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Cuts one connection: the client sees a reset.
#[derive(Clone)]
pub(super) struct Line(Arc<LineState>);

#[derive(Default)]
struct LineState {
    cut: AtomicBool,
    waker: AtomicWaker,
}

impl Line {
    pub(super) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Cuts the connection; the caller is dropped with it.
    pub(super) async fn cut_and_wait<T>(&self) -> T {
        self.cut();
        std::future::pending().await
    }
}

/// All connections that are open.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<Weak<LineState>>>);

impl Lines {
    fn add(&self, line: &Line) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&line.0));
    }

    pub(super) fn cut_all(&self) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.drain(..).filter_map(|line| line.upgrade()) {
            Line(line).cut();
        }
    }
}

/// Accepts connections that can be cut.
pub(super) struct Door {
    tcp: TcpListener,
    lines: Arc<Lines>,
}

impl Door {
    pub(super) fn new(tcp: TcpListener, lines: Arc<Lines>) -> Self {
        Self { tcp, lines }
    }
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (tcp, peer) = Listener::accept(&mut self.tcp).await;
        let _ = tcp.set_nodelay(true);
        let line = Line(Arc::default());
        self.lines.add(&line);
        (Wire { tcp, line }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().line.clone()
    }
}

/// One connection.
pub(super) struct Wire {
    tcp: TcpStream,
    line: Line,
}

impl Wire {
    /// Fails once the line is cut, and sees to it that the client gets a reset, not an end.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.line.0.waker.register(cx.waker());
        if self.line.0.cut.load(Ordering::Acquire) {
            let _ = self.tcp.set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
