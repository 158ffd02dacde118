//! One connection: what its application writes goes to the relay's input, what the relay writes to the application.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::flow::Flow;
use super::frames::{Frame, HEAD, Word};
use super::input::Input;
use super::relay::{BEAT, Output};
use crate::api::processes::{Owned, Processes};
use crate::error::{Error, ErrorKind, Result};

/// How long what was written before a stream was dropped gets to arrive: as long as a busy service takes.
const LINGER: Duration = Duration::from_secs(5);

pub(super) struct Carrier {
    pub(super) processes: Processes,
    pub(super) owned: Owned,
    pub(super) output: Output,
    pub(super) app: DuplexStream,
    /// For the application, before it sees an end.
    pub(super) failed: Arc<OnceLock<Error>>,
    pub(super) dropped: CancellationToken,
    pub(super) window: u32,
    /// The server takes no more at once.
    pub(super) most_input: usize,
}

impl Carrier {
    /// Carries until both sides have ended, something broke or the application let go; then nothing of it is left
    /// in the sandbox.
    pub(super) async fn run(self) {
        let Self { processes, owned, mut output, app, failed, dropped, window, most_input } = self;
        {
            let flow = Flow::new(window);
            let (reads, writes) = split(app);
            let input = Input { processes: &processes, relay: &owned, most: most_input };
            // Both live until the outcome is known: it is to be there before the application sees the end.
            let mut down = pin!(down(&mut output, writes, &flow));
            let mut up = pin!(up(input, reads, &flow));
            let outcome = tokio::select! {
                done = &mut down => done,
                Err(error) = &mut up => Err(error),
                () = let_go(&dropped, &flow) => Ok(()),
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection to a port broke");
                let _ = failed.set(error);
            }
        }
        owned.clear_up().await;
    }
}

async fn let_go(dropped: &CancellationToken, flow: &Flow) {
    dropped.cancelled().await;
    let _ = timeout(LINGER, flow.flushed()).await;
}

/// From the relay to the application.
async fn down(output: &mut Output, mut app: WriteHalf<DuplexStream>, flow: &Flow) -> Result<()> {
    let (mut count, mut ended, mut deaf) = (0_u32, false, false);
    while let Some(frame) = output.next().await? {
        match frame {
            Frame::Data(data) if !ended => {
                // Where nobody reads it any more, what was written still gets its time.
                deaf = deaf || app.write_all(&data).await.is_err();
                // No longer than a frame.
                let length = data.len() as u32;
                count = count.wrapping_add(length);
                flow.consumed(length);
            }
            Frame::End(sent) if sent == count && !ended => {
                ended = true;
                let _ = app.shutdown().await;
            }
            Frame::End(sent) if !ended => {
                let message = format!("{count} bytes came of the {sent} that the service sent");
                return Err(Error::new(ErrorKind::ConnectionBroken, message));
            }
            Frame::Taken(bytes) if flow.taken(bytes) => {}
            _ => return Err(Error::protocol("the relay in the sandbox said what can't be")),
        }
    }
    if ended { Ok(()) } else { Err(output.ended()) }
}

/// From the application to the relay.
async fn up(input: Input<'_>, mut app: ReadHalf<DuplexStream>, flow: &Flow) -> Result<Infallible> {
    let mut buffer = vec![0; input.most - 2 * HEAD];
    let (mut count, mut ended) = (0_u32, false);
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut words = Vec::with_capacity(input.most);
    loop {
        // A window fits into four bytes, and these into what the machine counts with.
        let room = buffer.len().min(flow.credit() as usize);
        tokio::select! {
            () = flow.changed() => {}
            _ = beat.tick() => Word::Alive.print(&mut words),
            read = app.read(&mut buffer[..room]), if room > 0 && !ended => match read {
                Ok(0) | Err(_) => {
                    ended = true;
                    Word::End(count).print(&mut words);
                }
                Ok(length) => {
                    // No longer than the credit.
                    let bytes = length as u32;
                    count = count.wrapping_add(bytes);
                    flow.sent(bytes);
                    Word::Data(&buffer[..length]).print(&mut words);
                }
            }
        }
        // Only data would do harm when it comes twice.
        let repeats = !words.starts_with(b"d");
        if let Some(taken) = flow.untold() {
            Word::Taken(taken).print(&mut words);
        }
        if words.is_empty() {
            continue;
        }
        input.write(&words, repeats).await?;
        words.clear();
        if ended {
            flow.end();
        }
    }
}
