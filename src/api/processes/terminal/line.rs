//! The way to a terminal: one task that owns the WebSocket, and makes it anew when it broke.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::frames::{self, ServerFrame};
use crate::api::processes::{ProcessInfo, Processes, TerminalSize, operations};
use crate::api::retry::passes;
use crate::api::socket::{Socket, broken};
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::sse::Reconnect;

/// So much input goes into one frame; the server takes 64 KiB unless it is set lower.
const MOST_INPUT: usize = 32 * 1024;
/// Frames that wait for the task: one for each writer at a time.
const WAITING: usize = 16;

#[derive(Debug)]
pub(super) struct Line {
    frames: mpsc::Sender<Frame>,
    id: String,
    ended: Arc<OnceLock<Error>>,
    most_input: usize,
}

/// A frame on its way, and who waits for it.
struct Frame {
    text: String,
    sent: oneshot::Sender<Result<()>>,
}

impl Line {
    /// Opens the terminal once, so that what can't be opened is an error at once.
    pub(super) async fn start(
        processes: Processes,
        info: &ProcessInfo,
        exited: Arc<Notify>,
    ) -> Result<Arc<Self>> {
        let most = processes.config().await?.max_input_bytes_per_request;
        let most_input = usize::try_from(most).unwrap_or(MOST_INPUT).clamp(1, MOST_INPUT);
        let socket = processes.api.open(&operations::TERMINAL, &[&info.id]).await?;
        let (frames, waiting) = mpsc::channel(WAITING);
        let ended = Arc::<OnceLock<Error>>::default();
        let runtime = processes.api.runtime.clone();
        let task = Task {
            processes,
            id: info.id.clone(),
            created_at_ms: info.created_at_ms,
            waiting,
            complaint: None,
            exited,
        };
        runtime.spawn(task.run(socket, ended.clone()));
        Ok(Arc::new(Self { frames, id: info.id.clone(), ended, most_input }))
    }

    pub(super) async fn write(&self, input: Bytes) -> Result<()> {
        for (index, part) in input.chunks(self.most_input).enumerate() {
            let sent = self.send(frames::input(part)).await;
            sent.map_err(|error| if index == 0 { error } else { error.with_delivery(Delivery::Unknown) })?;
        }
        Ok(())
    }

    pub(super) async fn resize(&self, size: TerminalSize) -> Result<()> {
        self.send(frames::resize(size)).await
    }

    async fn send(&self, text: String) -> Result<()> {
        let (sent, outcome) = oneshot::channel();
        if self.ended.get().is_some() {
            return Err(self.ended());
        }
        if self.frames.send(Frame { text, sent }).await.is_err() {
            return Err(self.ended());
        }
        // The task answers each frame that it took; those that it left are not sent.
        outcome.await.unwrap_or_else(|_| Err(self.ended()))
    }

    pub(super) fn process_ended(&self) {
        let _ = self.ended.set(ended(&self.id));
    }

    fn ended(&self) -> Error {
        self.ended.get().cloned().unwrap_or_else(Error::closed).with_delivery(Delivery::NotSent)
    }
}

struct Task {
    processes: Processes,
    id: String,
    created_at_ms: i64,
    waiting: mpsc::Receiver<Frame>,
    /// What the server said of a frame; for whoever sends the next one.
    complaint: Option<String>,
    exited: Arc<Notify>,
}

/// How one connection ended.
enum Ended {
    /// It may go on with another one.
    Broke(Error),
    /// There is nothing more to do.
    Over(Error),
}

impl Task {
    async fn run(mut self, socket: Socket, ended: Arc<OnceLock<Error>>) {
        let stop = self.processes.api.stop.clone();
        let over = stop.run_until_cancelled(self.connections(socket)).await;
        // Before the frames that wait are dropped: their senders look for it then.
        let _ = ended.set(over.unwrap_or_else(Error::closed));
    }

    async fn connections(&mut self, socket: Socket) -> Error {
        let mut reconnect = Reconnect::new(self.processes.api.limits.reconnect);
        let mut socket = Some(socket);
        loop {
            let error = match socket.take() {
                Some(socket) => {
                    reconnect.opened(Instant::now());
                    match self.serve(socket).await {
                        Ended::Over(error) => return error,
                        Ended::Broke(error) => error,
                    }
                }
                None => match self.open().await {
                    Ok(opened) => {
                        socket = Some(opened);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            if !passes(&error) && !error.is_timeout() {
                return error;
            }
            match reconnect.failed(Instant::now()) {
                Some(delay) => sleep(delay).await,
                None => return error,
            }
        }
    }

    /// Opens the terminal of this very process: a server that was restarted gives its id to another.
    async fn open(&self) -> Result<Socket> {
        let socket = self.processes.api.open(&operations::TERMINAL, &[&self.id]).await;
        match self.processes.get(&self.id).await {
            Ok(info) if info.created_at_ms == self.created_at_ms => socket,
            Ok(_) => Err(gone(&self.id)),
            Err(error) if error.problem().is_some_and(|problem| problem.status == 404) => Err(gone(&self.id)),
            Err(error) => Err(error),
        }
    }

    async fn serve(&mut self, socket: Socket) -> Ended {
        let silence = self.processes.api.limits.heartbeat;
        let (mut sink, mut stream) = socket.split();
        let mut beat = interval(silence / 3);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                message = stream.next() => {
                    heard = Instant::now();
                    if let Err(ended) = self.take(message) {
                        return ended;
                    }
                    continue;
                }
                _ = beat.tick() => {
                    if heard.elapsed() >= silence {
                        let message = format!("the terminal was silent for {silence:?}");
                        return Ended::Broke(Error::new(ErrorKind::Unreachable, message));
                    }
                    (Message::Ping(Bytes::new()), None)
                }
                frame = self.waiting.recv() => match frame {
                    Some(Frame { text, sent }) => match self.complaint.take() {
                        Some(complaint) => {
                            let message = format!("the terminal refused what was sent before: {complaint}");
                            let _ = sent.send(Err(Error::protocol(message).with_delivery(Delivery::NotSent)));
                            continue;
                        }
                        None => (Message::text(text), Some(sent)),
                    },
                    None => {
                        let _ = timeout(silence, sink.close()).await;
                        return Ended::Over(Error::closed());
                    }
                },
            };
            let (message, waits) = message;
            let outcome = self.send(&mut sink, &mut stream, message).await;
            if let Some(waits) = waits {
                let outcome = match &outcome {
                    Ok(()) => Ok(()),
                    Err(Ended::Broke(error) | Ended::Over(error)) => {
                        Err(error.clone().with_delivery(Delivery::Unknown))
                    }
                };
                let _ = waits.send(outcome);
            }
            if let Err(ended) = outcome {
                return ended;
            }
        }
    }

    /// Sends while it reads: a server that waits until its output is read may not read until then.
    async fn send(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        stream: &mut SplitStream<Socket>,
        message: Message,
    ) -> Result<(), Ended> {
        let limit = self.processes.api.limits.call;
        let sending = async {
            let mut send = sink.send(message);
            loop {
                tokio::select! {
                    sent = &mut send => return sent.map_err(|error| Ended::Broke(broken(error))),
                    message = stream.next() => self.take(message)?,
                }
            }
        };
        timeout(limit, sending).await.unwrap_or_else(|_| {
            let message = format!("the terminal took no input for {limit:?}");
            Err(Ended::Broke(Error::new(ErrorKind::Unreachable, message)))
        })
    }

    fn take(&mut self, message: Option<Result<Message, SocketError>>) -> Result<(), Ended> {
        match message {
            Some(Ok(Message::Text(text))) => match frames::read(&text) {
                ServerFrame::Exit => {
                    self.exited.notify_one();
                    return Err(Ended::Over(ended(&self.id)));
                }
                ServerFrame::Error { message } => self.complaint = Some(message),
                ServerFrame::Ready | ServerFrame::Unknown => {}
            },
            // Output comes from the log.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Ended::Broke(broken(error))),
            None => {
                let error = Error::new(ErrorKind::Unreachable, "the server closed the terminal");
                return Err(Ended::Broke(error));
            }
        }
        Ok(())
    }
}

fn gone(id: &str) -> Error {
    let message = format!(
        "the server has no process {id:?} any more: its record was deleted, or the server was restarted"
    );
    Error::new(ErrorKind::ProcessGone, message)
}

fn ended(id: &str) -> Error {
    Error::new(ErrorKind::ProcessGone, format!("process {id:?} has ended: it takes no input"))
}
