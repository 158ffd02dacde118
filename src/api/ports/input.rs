//! What is written to a relay: all of it once, or an error.

use std::future::pending;

use tokio::time::{Instant, sleep};

use crate::api::processes::{Owned, Processes};
use crate::api::retry::passes;
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::http::Problem;
use crate::sse::Reconnect;

/// The input of a relay.
pub(super) struct Input<'a> {
    pub(super) processes: &'a Processes,
    pub(super) relay: &'a Owned,
    /// The server takes no more at once.
    pub(super) most: usize,
}

impl Input<'_> {
    /// Writes all of it. What may have arrived is not written again, unless it `repeats`: then it is so short that
    /// the relay gets all of it or nothing. Once the relay is gone this waits without end: its output says why.
    pub(super) async fn write(&self, words: &[u8], repeats: bool) -> Result<()> {
        let mut reconnect = Reconnect::new(self.processes.api.limits.reconnect);
        loop {
            let error = match self.processes.input(self.relay.id(), words).await {
                Ok(written) if written == words.len() as u64 => return Ok(()),
                Ok(written) => {
                    let message = format!("the relay in the sandbox took {written} bytes of {}", words.len());
                    return Err(Error::new(ErrorKind::ConnectionBroken, message));
                }
                Err(error) => error,
            };
            if error.problem().is_some_and(has_ended) {
                return pending().await;
            }
            let harmless = repeats || error.delivery() == Some(Delivery::NotSent);
            if !(harmless && may_pass(&error)) {
                return Err(lost(error));
            }
            self.wait(&mut reconnect, error).await?;
        }
    }

    /// Writes this if the relay is there, and says whether it was.
    pub(super) async fn write_once(&self, words: &[u8]) -> Result<bool> {
        let is_there = self.relay.is_there().await?;
        if is_there {
            self.processes.input(self.relay.id(), words).await?;
        }
        Ok(is_there)
    }

    /// Waits until the server is there again, and has this relay: in a server that was restarted its id may be
    /// that of another process, which is to get nothing.
    async fn wait(&self, reconnect: &mut Reconnect, mut error: Error) -> Result<()> {
        loop {
            let Some(delay) = reconnect.failed(Instant::now()) else { return Err(lost(error)) };
            sleep(delay).await;
            match self.relay.is_there().await {
                Ok(true) => return Ok(()),
                Ok(false) => return pending().await,
                Err(next) if may_pass(&next) => error = next,
                Err(next) => return Err(lost(next)),
            }
        }
    }
}

/// A call that was not answered in its time says no more than a connection that broke.
fn may_pass(error: &Error) -> bool {
    passes(error) || error.is_timeout()
}

/// Whether the relay does not read any more. While it is about to end, the server has its pipe's error.
fn has_ended(problem: &Problem) -> bool {
    match problem.code() {
        "conflict" | "not_found" => true,
        "stream_error" => problem.detail.as_deref().is_some_and(|why| why.contains("(os error 32)")),
        _ => false,
    }
}

fn lost(error: Error) -> Error {
    let message = "what was written did not reach the relay in the sandbox, or may not have";
    Error::new(ErrorKind::ConnectionBroken, message).with_source(error)
}
