//! Callbacks by kind of frame.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frames::ClientFrames;
use super::{Inner, WorkspaceClient};
use crate::error::Result;
use crate::frame::Frame;

/// How many frames go to the callbacks at once.
const BATCH: usize = 64;

type Callback = Box<dyn FnMut(&Arc<Frame>) + Send>;

#[derive(Default)]
pub(super) struct Callbacks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    listening: BTreeMap<u64, Arc<Listening>>,
    /// Whether a task feeds them.
    fed: bool,
}

struct Listening {
    kind: String,
    /// Frames up to here were there before.
    after: u64,
    /// `None` when it has ended.
    callback: Mutex<Option<Callback>>,
}

/// A callback that runs for each frame of a kind. It ends when this is dropped.
#[must_use = "dropping it ends the callback"]
pub struct Subscription {
    callbacks: Arc<Callbacks>,
    id: u64,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Ends the callback. It may be running a last time while this returns.
    pub fn off(self) {}
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.callbacks.end(|id, _| id == self.id);
    }
}

impl WorkspaceClient {
    /// Runs a function for each frame of a [kind](crate::FrameBody::kind), such as `chat.user`, that comes from now
    /// on: each once, in order.
    ///
    /// All callbacks of a client run one after the other, off the runtime's workers, so that they may block; one
    /// that is slow delays the others, and nobody else. One that panics has ended. They end with the client, and
    /// where the frames can't be read any more, which is logged; who has to know takes
    /// [`frames`](Self::frames). A callback that holds a clone of the client keeps it alive.
    pub fn on(
        &self,
        kind: impl Into<String>,
        callback: impl FnMut(&Arc<Frame>) + Send + 'static,
    ) -> Subscription {
        let callbacks = self.inner.callbacks.clone();
        let mut state = callbacks.lock();
        let frames = self.frames();
        let after = frames.position().unwrap_or(0);
        let callback: Mutex<Option<Callback>> = Mutex::new(Some(Box::new(callback)));
        let id = state.next;
        state.next += 1;
        state.listening.insert(id, Arc::new(Listening { kind: kind.into(), after, callback }));
        if !state.fed {
            state.fed = true;
            self.inner.runtime.spawn(feed(frames, self.inner.clone()));
        }
        drop(state);
        Subscription { callbacks, id }
    }

    /// Ends all callbacks of a kind.
    pub fn off(&self, kind: &str) {
        self.inner.callbacks.end(|_, listening| listening.kind == kind);
    }

    /// The next frame of a kind that comes after this call; it need not be awaited at once.
    ///
    /// Waits as long as none comes. When the client is over, the error says why.
    pub fn once(&self, kind: &str) -> impl Future<Output = Result<Arc<Frame>>> + Send + use<> + 'static {
        let (inner, kind) = (self.inner.clone(), kind.to_owned());
        let mut frames = self.frames();
        async move {
            loop {
                match frames.recv().await {
                    Some(frame) => {
                        let frame = frame?;
                        if frame.body.kind() == kind {
                            return Ok(frame);
                        }
                    }
                    None => return Err(inner.over()),
                }
            }
        }
    }
}

impl Callbacks {
    /// Nothing panics while it holds the lock, and the map is whole at every step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends callbacks. What they hold is dropped without the lock: it may want it.
    fn end(&self, which: impl Fn(u64, &Listening) -> bool) {
        let ended: Vec<_> = {
            let mut state = self.lock();
            let all = std::mem::take(&mut state.listening);
            let (ended, kept) = all.into_iter().partition(|(id, listening)| which(*id, listening));
            state.listening = kept;
            BTreeMap::into_values(ended).collect()
        };
        drop(ended);
    }

    fn is_listening(&self, id: u64) -> bool {
        self.lock().listening.contains_key(&id)
    }

    /// Whether nobody listens; then the task that feeds them ends.
    fn rests(&self) -> bool {
        let mut state = self.lock();
        state.fed = !state.listening.is_empty();
        !state.fed
    }

    fn run(&self, frames: &[Arc<Frame>]) {
        for frame in frames {
            let kind = frame.body.kind();
            let wanted: Vec<_> = {
                let state = self.lock();
                let wants =
                    |listening: &Listening| listening.kind == kind && listening.after < frame.sequence;
                let wanted = state.listening.iter().filter(|(_, listening)| wants(listening));
                wanted.map(|(id, listening)| (*id, listening.clone())).collect()
            };
            for (id, listening) in wanted {
                // One before may have ended it.
                if self.is_listening(id) && !listening.run(frame) {
                    tracing::warn!(kind, "a callback panicked, and has ended");
                    self.end(|other, _| other == id);
                }
            }
        }
    }
}

impl Listening {
    /// Runs it; `false` where it panicked.
    fn run(&self, frame: &Arc<Frame>) -> bool {
        let mut callback = self.callback.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(function) = callback.as_mut() else { return false };
        let ran = catch_unwind(AssertUnwindSafe(|| function(frame))).is_ok();
        if !ran {
            *callback = None;
        }
        ran
    }
}

/// Runs the callbacks until nobody listens or the client is over.
async fn feed(mut frames: ClientFrames, inner: Arc<Inner>) {
    let callbacks = inner.callbacks.clone();
    while !callbacks.rests() {
        let ran = inner.stop.run_until_cancelled(feed_some(&mut frames, &inner)).await;
        if ran != Some(true) {
            callbacks.end(|_, _| true);
        }
    }
}

/// Runs the callbacks for what comes next; `false` where nothing does any more.
async fn feed_some(frames: &mut ClientFrames, inner: &Inner) -> bool {
    match frames.recv_many(BATCH).await {
        Some(Ok(batch)) => {
            let callbacks = inner.callbacks.clone();
            // An error is a runtime that ends.
            inner.runtime.spawn_blocking(move || callbacks.run(&batch)).await.is_ok()
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "callbacks miss frames, and have ended");
            false
        }
        None => false,
    }
}
