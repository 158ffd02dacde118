//! The task behind a client: keeps one connection, and the line whole.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use sandbox_agent_sdk::Delivery;
use sandbox_agent_sdk::persist::RawValue;
use tokio::pin;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::arrival::{Arrival, Large};
use super::fetch::{self, Arrived, Bounded};
use super::merge::{Merge, Need};
use super::outbox::{Outbox, Request, Send};
use super::reconnect::{Patience, Reconnect};
use super::status::{Status, Why};
use super::transport::{Caller, Connection, Pushed, Resume, Transport};
use super::{Inner, WhileAway};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::snapshot::Snapshot;

/// How long a connection may take to be closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// So often a failure is believed to be the last word.
const FINAL: u32 = 3;
/// So often a host may be behind what it told before: one that another has taken over from is, for a while.
const BEHIND: u32 = 8;

pub(super) struct Driver {
    transport: Arc<dyn Transport>,
    inner: Arc<Inner>,
    requests: mpsc::UnboundedReceiver<Request>,
    outbox: Outbox,
    merge: Merge,
    /// Which line it is, once a host has said so.
    line: String,
    reconnect: Reconnect,
}

/// What was asked of the host to make the line whole.
enum Fetched {
    Snapshot(Snapshot),
    Page { since: u64, page: Arrived },
    Large { large: Large, frame: Option<Arc<Frame>> },
}

type Flying = FuturesUnordered<BoxFuture<'static, (u64, Result<Box<RawValue>>)>>;

impl Driver {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        inner: Arc<Inner>,
        requests: mpsc::UnboundedReceiver<Request>,
        policy: WhileAway,
    ) -> Self {
        let outbox = Outbox::new(policy, inner.limits.waiting);
        let merge = Merge::new(inner.limits.ahead_bytes);
        let reconnect = Reconnect::new(inner.limits.reconnect);
        Self { transport, inner, requests, outbox, merge, line: String::new(), reconnect }
    }

    pub(super) async fn run(mut self) {
        let why = self.live().await;
        self.end(why);
    }

    /// Ends what others wait for, then says so.
    fn end(&mut self, why: Why) {
        self.release(&why);
        self.inner.status.send_if_modified(|status| {
            let first = !status.is_over();
            if first {
                *status = Status::Disposed { why };
            }
            first
        });
    }

    /// Whoever waits for something of the client waits no longer.
    fn release(&mut self, why: &Why) {
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            self.outbox.put_aside(request);
        }
        self.outbox.close(&why.error());
        self.inner.window.finish(why.clone());
        self.inner.stop.cancel();
    }

    async fn live(&mut self) -> Why {
        loop {
            let Some(error) = self.connection().await else { return Why::Asked };
            tracing::debug!(%error, "a workspace's connection is lost");
            self.outbox.lost(&error);
            let patience = if matches!(error.kind(), ErrorKind::FutureSequence { .. }) {
                Patience::Tries(BEHIND)
            } else if *error.kind() == ErrorKind::OtherLine || self.transport.is_final(&error) {
                Patience::Tries(FINAL)
            } else {
                Patience::Endless
            };
            let Some((attempt, delay)) = self.reconnect.failed(Instant::now(), patience) else {
                return Why::Failed(error);
            };
            self.inner.status.send_replace(Status::Reconnecting { attempt, error });
            if self.away(sleep(delay)).await.is_none() {
                return Why::Asked;
            }
        }
    }

    /// Makes a connection and lives on it. Gives what it ended by; `None` where the client is to end.
    async fn connection(&mut self) -> Option<Error> {
        let limit = self.inner.limits.connect;
        let resume = Resume { after: self.merge.done() };
        let transport = self.transport.clone();
        let connection = match self.away(timeout(limit, transport.connect(resume))).await? {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Some(error),
            Err(_) => {
                let message = format!("there was no connection within {limit:?}");
                return Some(Error::new(ErrorKind::TimedOut, message));
            }
        };
        let calls = connection.calls.clone();
        let ended = self.over(connection).await;
        let farewell = async move { timeout(FAREWELL, calls.close()).await.ok() };
        match ended {
            Some(error) => self.away(farewell).await.map(|_| error),
            None => {
                self.release(&Why::Asked);
                farewell.await;
                None
            }
        }
    }

    /// Waits for something while there is no connection; `None` where the client is to end.
    async fn away<T>(&mut self, something: impl Future<Output = T>) -> Option<T> {
        pin!(something);
        loop {
            tokio::select! {
                biased;
                () = self.inner.stop.cancelled() => return None,
                done = &mut something => return Some(done),
                Some(request) = self.requests.recv() => self.outbox.take_away(request),
            }
        }
    }

    /// Lives on a connection. Gives what it ended by; `None` where the client is to end.
    async fn over(&mut self, connection: Connection) -> Option<Error> {
        let Connection { calls, mut pushes } = connection;
        let check = self.inner.limits.check;
        let mut flying = Flying::new();
        let mut fetch: Option<BoxFuture<'static, Result<Fetched>>> = None;
        let mut proven = false;
        let silence = sleep(check);
        pin!(silence);
        self.merge.opened();
        loop {
            if fetch.is_none() {
                fetch = self.merge.need().map(|need| self.fetch(need, &calls));
            }
            while proven && let Some(send) = self.outbox.next(Instant::now()) {
                flying.push(fly(send, &calls));
            }
            let mut turn = self.outbox.turn().map(|until| Box::pin(sleep_until(until)));
            tokio::select! {
                () = self.inner.stop.cancelled() => return None,
                pushed = pushes.next() => {
                    silence.as_mut().reset(Instant::now() + check);
                    if let Err(error) = self.pushed(pushed) {
                        return Some(error);
                    }
                }
                fetched = or_never(fetch.as_mut()) => {
                    fetch = None;
                    silence.as_mut().reset(Instant::now() + check);
                    if let Err(error) = fetched.and_then(|fetched| self.fetched(fetched)) {
                        return Some(error);
                    }
                    if !proven {
                        proven = true;
                        self.reconnect.opened(Instant::now());
                        self.inner.status.send_replace(Status::Connected);
                    }
                }
                Some((id, answer)) = flying.next() => {
                    if let Some(lost) = self.outbox.answered(id, answer) {
                        return Some(lost);
                    }
                }
                Some(request) = self.requests.recv() => {
                    if let Some(send) = self.outbox.take(request, Instant::now()) {
                        flying.push(fly(send, &calls));
                    }
                }
                () = &mut silence => {
                    self.merge.silent();
                    silence.as_mut().reset(Instant::now() + check);
                }
                () = or_never(turn.as_mut()) => {}
            }
        }
    }

    fn pushed(&mut self, pushed: Option<Pushed>) -> Result<()> {
        let arrivals = match pushed {
            Some(Pushed::Frames(frames)) => frames.into_iter().map(Arrival::Frame).collect(),
            Some(Pushed::Json(json)) => Arrival::read_all(&json)?,
            Some(Pushed::Gone(error)) => return Err(error),
            None => return Err(Error::new(ErrorKind::Disconnected, "the connection has ended")),
        };
        let mut told = Vec::new();
        for arrival in arrivals {
            self.merge.pushed(arrival, &mut told);
        }
        self.inner.window.publish(told);
        Ok(())
    }

    fn fetch(&self, need: Need, calls: &Arc<dyn Caller>) -> BoxFuture<'static, Result<Fetched>> {
        let calls = Bounded { calls: calls.clone(), limit: self.inner.limits.answer };
        let max_bytes = self.inner.limits.frame_bytes;
        async move {
            Ok(match need {
                Need::Snapshot => Fetched::Snapshot(fetch::snapshot(&calls).await?),
                Need::Page(since) => {
                    Fetched::Page { since, page: fetch::page(&calls, since, fetch::PAGE).await? }
                }
                Need::Large(large) => {
                    Fetched::Large { large, frame: fetch::large(&calls, large, max_bytes).await? }
                }
            })
        }
        .boxed()
    }

    /// What another line has under the same numbers would go into this one without a word.
    fn check_line(&mut self, line: &str) -> Result<()> {
        if self.line.is_empty() {
            line.clone_into(&mut self.line);
        }
        if line.is_empty() || line == self.line {
            return Ok(());
        }
        Err(Error::other_line())
    }

    fn fetched(&mut self, fetched: Fetched) -> Result<()> {
        let mut told = Vec::new();
        let fetched = match fetched {
            Fetched::Snapshot(snapshot) => {
                self.check_line(&snapshot.line)?;
                let jumped = self.merge.jump(snapshot.sequence, &mut told);
                if jumped.is_ok() {
                    self.inner.window.jump(snapshot);
                }
                jumped
            }
            Fetched::Page { since, page: Arrived { arrivals, last, line } } => {
                self.check_line(&line)?;
                self.merge.page(since, arrivals, last, &mut told)
            }
            Fetched::Large { frame: Some(frame), .. } => {
                self.merge.fetched(frame, &mut told);
                Ok(())
            }
            Fetched::Large { large, frame: None } => self.merge.gone(large),
        };
        self.inner.window.publish(told);
        Ok(fetched?)
    }
}

/// Also where the runtime ends, or something in here panics, nobody waits for ever.
impl Drop for Driver {
    fn drop(&mut self) {
        self.end(Why::Asked);
    }
}

fn fly(send: Send, calls: &Arc<dyn Caller>) -> BoxFuture<'static, (u64, Result<Box<RawValue>>)> {
    let Send { id, call, deadline } = send;
    let calls = calls.clone();
    async move {
        let action = call.action();
        let answer = timeout_at(deadline, calls.call(call)).await.unwrap_or_else(|_| {
            let message = format!("{action} was not answered in time");
            Err(Error::new(ErrorKind::TimedOut, message).with_delivery(Delivery::Unknown))
        });
        (id, answer)
    }
    .boxed()
}

async fn or_never<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
