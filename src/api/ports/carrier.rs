//! One connection: what its application writes goes to the relay's input, what the relay writes to the application.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
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

/// How long the word may take that makes a broken connection one for the service too.
const PARTING: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) processes: Processes,
    pub(super) owned: Owned,
    pub(super) output: Output,
    /// What the application reads; it holds a window.
    pub(super) reads: DuplexStream,
    /// What it writes.
    pub(super) writes: DuplexStream,
    pub(super) flow: Arc<Flow>,
    /// For the application, before it sees an end.
    pub(super) failed: Arc<OnceLock<Error>>,
    pub(super) dropped: CancellationToken,
    pub(super) aborted: CancellationToken,
    /// The server takes no more at once.
    pub(super) most_input: usize,
}

/// How a connection ended, where nothing failed.
enum End {
    Whole,
    /// Not all that was to be written has arrived.
    Cut,
}

impl Carrier {
    /// Carries until both sides have ended, something broke or the application let go; then nothing of it is left
    /// in the sandbox.
    pub(super) async fn run(self) {
        let Self { processes, owned, mut output, reads, writes, flow, failed, dropped, aborted, most_input } =
            self;
        let input = Input { processes: &processes, relay: &owned, most: most_input };
        let is_whole = {
            // Both live until the outcome is known: it is to be there before the application sees the end.
            let (mut reads, mut writes) = (reads, writes);
            let mut down = pin!(down(&mut output, &mut reads, &flow));
            let mut up = pin!(up(&input, &mut writes, &flow));
            let outcome = tokio::select! {
                biased;
                // First, since what is dropped then looks like the end of what was written.
                () = aborted.cancelled() => Ok(End::Cut),
                done = &mut down => done.map(|()| End::Whole),
                Err(error) = &mut up => Err(error),
                end = let_go(&dropped, &flow) => Ok(end),
            };
            let is_whole = matches!(outcome, Ok(End::Whole));
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection to a port broke");
                let _ = failed.set(error);
            }
            is_whole
        };
        if !is_whole {
            // Who can't be told is killed all the same.
            let _ = timeout(PARTING, tell_broken(&input, &mut output)).await;
        }
        owned.clear_up().await;
    }
}

/// Has the relay break its connection to the service, and waits until it has.
async fn tell_broken(input: &Input<'_>, output: &mut Output) -> Result<()> {
    let mut words = Vec::new();
    Word::Broken.print(&mut words);
    if input.write_once(&words).await? {
        while !matches!(output.next().await?, Some(Frame::Shut) | None) {}
    }
    Ok(())
}

async fn let_go(dropped: &CancellationToken, flow: &Flow) -> End {
    dropped.cancelled().await;
    // What was written still gets its time, also from a service that waits until its answer is taken.
    flow.nobody_reads();
    timeout(LINGER, flow.flushed()).await.map_or(End::Cut, |()| End::Whole)
}

/// From the relay to the application.
async fn down(output: &mut Output, app: &mut DuplexStream, flow: &Flow) -> Result<()> {
    let mut ended = false;
    while let Some(frame) = output.next().await? {
        match frame {
            // No longer than a frame, whose length is a number of four bytes.
            Frame::Data(data) if !ended && flow.arrived(data.len() as u32) => {
                // There is room for it, so that it waits for nobody; it fails once the application has let go.
                let _ = app.write_all(&data).await;
            }
            Frame::End(sent) if sent == flow.count() && !ended => {
                ended = true;
                let _ = app.shutdown().await;
            }
            Frame::End(sent) if !ended => {
                let message = format!("{} bytes came of the {sent} that the service sent", flow.count());
                return Err(Error::new(ErrorKind::ConnectionBroken, message));
            }
            Frame::Taken(bytes) if flow.taken(bytes) => {}
            Frame::Shut => flow.shut(),
            _ => return Err(Error::protocol("the relay in the sandbox said what can't be")),
        }
    }
    if ended { Ok(()) } else { Err(output.ended()) }
}

/// From the application to the relay.
async fn up(input: &Input<'_>, app: &mut DuplexStream, flow: &Flow) -> Result<Infallible> {
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
    }
}
