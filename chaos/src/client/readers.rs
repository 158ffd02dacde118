//! Those who read a session's events, and log each.

use futures::StreamExt;
use sandbox_agent_sdk::{Error, From, Session, Subscription};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Calls;
use crate::limits;
use crate::log::{Line, Log};

/// The readers of one session; they end with this.
pub(crate) struct Readers {
    calls: Calls,
    streams: Vec<Stream>,
    callbacks: Vec<(String, Subscription)>,
    begun: usize,
}

struct Stream {
    name: String,
    position: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Readers {
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls, streams: Vec::new(), callbacks: Vec::new(), begun: 0 }
    }

    fn begin(&mut self, kind: &str, session: &Session, from: From) -> String {
        self.begun += 1;
        let reader = format!("{}/{kind}-{}.{}", session.id(), self.calls.log.life(), self.begun);
        let after = match from {
            From::Now => session.last_index(),
            From::Index(index) => index - 1,
            From::Start => 0,
        };
        let line = Line::Subscribed { reader: reader.clone(), session: session.id().to_owned(), after };
        self.calls.log.write(line);
        reader
    }

    pub(super) fn stream(&mut self, session: &Session, after: u64) {
        let from = if after == 0 { From::Start } else { From::Index(after + 1) };
        let name = self.begin("stream", session, from);
        let (positions, position) = watch::channel(0);
        let (mut events, log, reader) = (session.events(from), self.calls.log.clone(), name.clone());
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let (index, id) = (event.event_index, event.id.clone());
                        log.write(Line::Saw { reader: reader.clone(), index, id });
                        positions.send_replace(index);
                    }
                    Err(error) => failed(&log, &reader, &error),
                }
            }
        });
        self.streams.push(Stream { name, position, task: task.abort_handle() });
    }

    pub(super) fn callback(&mut self, session: &Session) {
        let name = self.begin("callback", session, From::Start);
        let (log, reader) = (self.calls.log.clone(), name.clone());
        let subscription = session.on_event_from(From::Start, move |event| {
            log.write(Line::Saw { reader: reader.clone(), index: event.event_index, id: event.id.clone() });
        });
        self.callbacks.push((name, subscription));
    }

    /// Waits until everybody has read what is stored now.
    pub(super) async fn catch_up(&mut self, upto: u64) {
        for Stream { name, position, .. } in &mut self.streams {
            // One that has ended is not waited for; what it should have read is said all the same.
            let reached = async { position.wait_for(|position| *position >= upto).await.is_ok() };
            if self.calls.bounded("a stream's events", limits::READING, reached).await.is_some() {
                self.calls.log.write(Line::Expected { reader: name.clone(), upto });
            }
        }
        for (name, subscription) in &self.callbacks {
            let _standstill = Standstill::begin();
            match self.calls.bounded("caught_up", limits::READING, subscription.caught_up()).await {
                Some(Err(error)) => failed(&self.calls.log, name, &error),
                Some(Ok(())) => self.calls.log.write(Line::Expected { reader: name.clone(), upto }),
                None => {}
            }
        }
    }

    /// The session ended under them.
    pub(super) fn end(&mut self) {
        self.streams.drain(..).for_each(|stream| stream.task.abort());
        self.callbacks.clear();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.end();
    }
}

fn failed(log: &Log, reader: &str, error: &Error) {
    log.write(Line::ReaderFailed { reader: reader.to_owned(), error: format!("{error:?}") });
}

/// Paused time stands still as long as this lives: tokio does not move it on while blocking work
/// runs. A callback has a thread of its own, which no clock of tokio's waits for.
struct Standstill(Option<std::sync::mpsc::Sender<()>>);

impl Standstill {
    fn begin() -> Self {
        let (ends, end) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || {
            // Not for ever: a callback that hangs is to be found by the bound of the call.
            let _ = end.recv_timeout(std::time::Duration::from_secs(10));
        });
        Self(Some(ends))
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.0 = None;
    }
}
