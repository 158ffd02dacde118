//! What a client is told: frames and answers, as fast as it takes them.

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures::SinkExt;
use futures::stream::SplitSink;
use sandbox_agent_multiplayer::{Error, ErrorKind, Frames};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::End;
use super::calls::Answer;
use crate::options::HostOptions;
use crate::protocol;

/// How many frames are taken at once; they are shared, so that this holds no more than it points to.
const BATCH: usize = 64;

pub(super) async fn run(
    sink: &mut SplitSink<WebSocket, Message>,
    mut frames: Frames,
    mut answers: mpsc::Receiver<Answer>,
    options: &HostOptions,
) -> End {
    let mut ping = interval(options.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    loop {
        let written = tokio::select! {
            some = frames.recv_many(BATCH) => match some {
                Some(Ok(some)) => {
                    let mut written = Ok(());
                    for frame in &some {
                        let json = match Utf8Bytes::try_from(frame.json_within(options.frame_bytes)) {
                            Ok(json) => json,
                            Err(_) => return protocol::protocol("a frame is no UTF-8").into(),
                        };
                        // Waits for the client once its buffer is full.
                        written = sink.feed(Message::Text(json)).await;
                        if written.is_err() {
                            break;
                        }
                    }
                    match written {
                        Ok(()) => sink.flush().await,
                        failed => failed,
                    }
                }
                Some(Err(error)) => return End::Failed(error),
                None => return Error::new(ErrorKind::Closed, "the workspace was closed").into(),
            },
            // The sender is the reader's, which runs beside this.
            Some(answer) = answers.recv() => sink.send(Message::Text(answer.text.into())).await,
            _ = ping.tick() => sink.send(Message::Ping(Bytes::new())).await,
        };
        if written.is_err() {
            return End::Gone;
        }
    }
}
