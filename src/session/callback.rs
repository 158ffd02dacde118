//! Runs a callback on a thread of its own, so that it may block.

use std::fmt;
use std::thread;

use futures::{Stream, StreamExt, pin_mut};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Few enough that what a callback has not seen yet is on nobody's mind, enough to hide a switch of threads.
const AHEAD: usize = 64;

/// A running callback; ends when dropped.
pub(crate) struct Callback {
    /// How many items the callback has returned from, and why it stopped.
    progress: watch::Receiver<Progress>,
    _stop: DropGuard,
}

#[derive(Clone, Default)]
pub(crate) struct Progress {
    /// The position of the last item that the callback returned from.
    pub(crate) position: u64,
    pub(crate) ended: bool,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("position", &self.progress.borrow().position).finish_non_exhaustive()
    }
}

impl Callback {
    /// Calls `callback` with each item of the stream, which comes with its position. Where the
    /// system has no thread to give, it has ended before it began.
    pub(crate) fn start<T: Send + 'static>(
        runtime: &Handle,
        name: &str,
        start: u64,
        stream: impl Stream<Item = (u64, T)> + Send + 'static,
        mut callback: impl FnMut(T) + Send + 'static,
    ) -> Self {
        let stop = CancellationToken::new();
        let (items, mut receiver) = mpsc::channel(AHEAD);
        let (progress, watched) = watch::channel(Progress { position: start, ended: false });
        let stopped = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some((position, item)) = receiver.blocking_recv() {
                if stopped.is_cancelled() {
                    break;
                }
                callback(item);
                progress.send_modify(|progress| progress.position = position);
            }
            progress.send_modify(|progress| progress.ended = true);
        });
        if let Err(error) = thread {
            tracing::error!(%error, "no thread could be started for a callback");
        }
        let token = stop.clone();
        runtime.spawn(async move {
            let feed = async {
                pin_mut!(stream);
                while let Some(item) = stream.next().await {
                    if items.send(item).await.is_err() {
                        break;
                    }
                }
            };
            token.run_until_cancelled(feed).await;
        });
        Self { progress: watched, _stop: stop.drop_guard() }
    }

    /// Waits until the callback returned from the item at `position`, or from its last one.
    pub(crate) async fn reached(&self, position: u64) -> Progress {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.position >= position || progress.ended).await;
        // The sender is dropped by a callback that panicked: it sees nothing more.
        reached.map_or(Progress { position: 0, ended: true }, |progress| progress.clone())
    }
}
