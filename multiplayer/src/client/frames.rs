//! A subscriber: from memory where it is near, by pages of the host where it is behind.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{Stream, stream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Inner;
use super::arrival::behind;
use super::calls::Asking;
use super::fetch;
use super::status::Why;
use super::window::Mark;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;

/// How many frames a reader takes at once: few enough to hold, enough that a lock is nothing.
const BATCH: usize = 64;
/// After so many pages in a row that bring nothing of what is there, the host is broken.
const FRUITLESS: u32 = 10;

/// The frames of a workspace, as a client follows them: each once, in order, at the reader's own speed.
///
/// A reader that is slow slows nobody, and takes no memory but a page of at most 256 frames: it reads on from
/// the host. While there is no connection it waits, and goes on where it was. An error is the last item. It
/// ends when the client does: with `None` after [`dispose`](super::WorkspaceClient::dispose), with the error
/// where the client failed. Dropping it, or a call of it, at any point is safe.
pub struct ClientFrames {
    inner: Arc<Inner>,
    mark: watch::Receiver<Mark>,
    /// The last place that was given out, or that is not wanted; `None` until the client has begun.
    after: Option<u64>,
    read: VecDeque<Arc<Frame>>,
    fruitless: u32,
    ended: bool,
}

impl fmt::Debug for ClientFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFrames").field("position", &self.after).finish_non_exhaustive()
    }
}

impl ClientFrames {
    pub(super) fn new(inner: Arc<Inner>, after: Option<u64>) -> Self {
        let mark = inner.window.watch();
        Self { inner, mark, after, read: VecDeque::new(), fruitless: 0, ended: false }
    }

    /// The last frame that was given out, or the one that it begins behind; `None` before that is known.
    pub fn position(&self) -> Option<u64> {
        self.after
    }

    /// The next frame; waits for it as long as nothing happens. `None` when the client is over.
    pub async fn recv(&mut self) -> Option<Result<Arc<Frame>>> {
        if let Err(error) = self.filled().await? {
            return Some(Err(error));
        }
        let frame = self.read.pop_front()?;
        self.after = Some(frame.sequence);
        Some(Ok(frame))
    }

    /// The next frames, at least one and at most `most`; as [`recv`](Self::recv) does.
    pub async fn recv_many(&mut self, most: usize) -> Option<Result<Vec<Arc<Frame>>>> {
        if let Err(error) = self.filled().await? {
            return Some(Err(error));
        }
        let frames: Vec<_> = self.read.drain(..most.clamp(1, self.read.len())).collect();
        self.after = frames.last().map(|frame| frame.sequence).or(self.after);
        Some(Ok(frames))
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Arc<Frame>>> + Send + 'static {
        stream::unfold(self, |mut frames| async { Some((frames.recv().await?, frames)) })
    }

    /// Waits until there is something to give out. `None` at the end.
    async fn filled(&mut self) -> Option<Result<()>> {
        while self.read.is_empty() {
            if self.ended {
                return None;
            }
            match self.wait().await {
                Ok(true) => {}
                Ok(false) => {
                    self.ended = true;
                    return None;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(()))
    }

    /// Takes what there is, or waits until there may be more; `false` at the end.
    async fn wait(&mut self) -> Result<bool> {
        let Mark { start, last, end } = self.mark.borrow_and_update().clone();
        if let (None, Some(start)) = (self.after, start) {
            self.after = Some(start);
        }
        if let Some(after) = self.after
            && self.inner.window.after(after, BATCH, &mut self.read)
        {
            return Ok(true);
        }
        match end {
            Some(Why::Asked) => return Ok(false),
            Some(Why::Failed(error)) => return Err(error),
            None => {}
        }
        match self.after {
            // Ahead of all that is known here, the host says whether that is there.
            Some(after) if start.is_some() && last != after => self.ask(after, last).await?,
            _ => {
                // The client ends with a mark; a sender that is gone without one is an end as well.
                return Ok(self.mark.changed().await.is_ok());
            }
        }
        Ok(true)
    }

    /// Asks the host for what is behind a place. An end of the client ends the wait.
    async fn ask(&mut self, after: u64, last: u64) -> Result<()> {
        let stop = self.inner.stop.clone();
        let inner = self.inner.clone();
        let asked = stop.run_until_cancelled(async {
            inner.connected().await;
            inner.page(after, fetch::PAGE, Asking::Reader).await
        });
        match asked.await {
            // The mark says the rest.
            None => {
                self.mark.changed().await.ok();
                Ok(())
            }
            Some(Ok(page)) => self.take(after, last, page.frames).await,
            Some(Err(error)) if is_passing(&error) || is_stale(&error, after, last) => {
                self.pause(error).await
            }
            Some(Err(error)) => Err(error),
        }
    }

    async fn take(&mut self, after: u64, last: u64, frames: Vec<Arc<Frame>>) -> Result<()> {
        let mut reached = after;
        for frame in frames {
            if frame.from > reached + 1 {
                break;
            }
            if frame.sequence > reached {
                let next = behind(frame, reached);
                reached = next.sequence;
                self.read.push_back(next);
            }
        }
        if reached > after {
            self.fruitless = 0;
            return Ok(());
        }
        if last > after {
            return self
                .pause(Error::protocol("the host does not give the frames that it has told of"))
                .await;
        }
        // It begins at the host's last frame, which this client has not heard of yet.
        self.mark.changed().await.ok();
        Ok(())
    }

    async fn pause(&mut self, error: Error) -> Result<()> {
        self.fruitless += 1;
        if *error.kind() == ErrorKind::Protocol && self.fruitless >= FRUITLESS {
            return Err(error);
        }
        let delay = delays().build().nth(self.fruitless.min(10) as usize).unwrap_or(MAX_DELAY);
        let _stopped = self.inner.stop.run_until_cancelled(sleep(delay)).await;
        Ok(())
    }
}

const MAX_DELAY: Duration = Duration::from_secs(5);

fn delays() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(25))
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
}

/// Whether the same question can be answered later.
fn is_passing(error: &Error) -> bool {
    use ErrorKind::{Closed, Disconnected, Full, Overtaken, Protocol, Sandbox, Store, TimedOut};
    matches!(error.kind(), Closed | Disconnected | Full | Overtaken | Protocol | Sandbox | Store | TimedOut)
}

/// Whether the host does not have what was told already; the driver looks for one that has.
fn is_stale(error: &Error, after: u64, last: u64) -> bool {
    matches!(error.kind(), ErrorKind::FutureSequence { .. }) && after <= last
}
