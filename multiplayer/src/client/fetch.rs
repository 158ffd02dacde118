//! What the client asks a host for to make its line whole.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sandbox_agent_sdk::persist::RawValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::arrival::{Arrival, Large};
use super::transport::Caller;
use crate::call::{Call, Page};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::snapshot::Snapshot;

/// So many frames at once: enough that asking costs little, few enough to hold for each that reads.
pub(super) const PAGE: usize = 256;

/// Calls that are bounded in time.
pub(super) struct Bounded {
    pub(super) calls: Arc<dyn Caller>,
    pub(super) limit: Duration,
}

#[async_trait]
impl Caller for Bounded {
    async fn call(&self, call: Call) -> Result<Box<RawValue>> {
        let action = call.action();
        match timeout(self.limit, self.calls.call(call)).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = format!("the host did not answer {action} within {:?}", self.limit);
                Err(Error::new(ErrorKind::TimedOut, message))
            }
        }
    }
}

#[derive(Deserialize)]
struct PageParts<'a> {
    #[serde(borrow)]
    frames: Vec<&'a RawValue>,
    last: u64,
    #[serde(default)]
    line: String,
}

/// Some of the line.
pub(super) struct Arrived {
    pub(super) arrivals: Vec<Arrival>,
    /// The last place of the line.
    pub(super) last: u64,
    /// Which line it is; empty where the host does not say.
    pub(super) line: String,
}

#[derive(Deserialize)]
struct Part {
    total: usize,
    text: String,
}

/// Reads the answer to a call.
pub(super) fn read<T: DeserializeOwned>(action: &str, answer: &RawValue) -> Result<T> {
    serde_json::from_str(answer.get()).map_err(|error| unreadable(action, error))
}

/// What the workspace is like now.
pub(super) async fn snapshot(calls: &dyn Caller) -> Result<Snapshot> {
    let call = Call::GetSessionInfo {};
    let action = call.action();
    read(action, &calls.call(call).await?)
}

/// Frames behind a place, at most so many.
pub(super) async fn page(calls: &dyn Caller, since: u64, limit: usize) -> Result<Arrived> {
    let call = Call::GetSequencedEvents { since, limit: Some(limit) };
    let action = call.action();
    let answer = calls.call(call).await?;
    let parts: PageParts<'_> =
        serde_json::from_str(answer.get()).map_err(|error| unreadable(action, error))?;
    let arrivals = parts.frames.into_iter().map(|part| Arrival::read(part.get())).collect::<Result<_>>()?;
    Ok(Arrived { arrivals, last: parts.last, line: parts.line })
}

/// The same with large frames fetched: fewer, where they would come to more than about `bytes`.
pub(super) async fn whole_page(
    calls: &dyn Caller,
    since: u64,
    limit: usize,
    bytes: usize,
    max_bytes: usize,
) -> Result<Page> {
    let Arrived { arrivals, last, line } = page(calls, since, limit).await?;
    let (mut frames, mut size) = (Vec::with_capacity(arrivals.len()), 0);
    for arrival in arrivals {
        let frame = match arrival {
            Arrival::Frame(frame) => Some(frame),
            Arrival::Large(_) if size > bytes => None,
            Arrival::Large(stub) => large(calls, stub, max_bytes).await?,
        };
        // What is missing is in the next page, as it is by then.
        let Some(frame) = frame else { break };
        size += frame.size();
        frames.push(frame);
    }
    Ok(Page { frames, last, line })
}

/// A frame that is too large for one message, by parts; `None` when it is there no more as it was.
///
/// One that has more bytes than `max_bytes` is told by its place and size.
pub(super) async fn large(calls: &dyn Caller, large: Large, max_bytes: usize) -> Result<Option<Arc<Frame>>> {
    let mut text = String::new();
    let mut total = large.bytes;
    loop {
        if total > max_bytes {
            return Ok(Some(Large { bytes: total, ..large }.withheld()));
        }
        let from = (large.from != large.sequence).then_some(large.from);
        let call = Call::GetFramePart { sequence: large.sequence, from, offset: text.len() };
        let action = call.action();
        let part: Part = match calls.call(call).await {
            Ok(answer) => read(action, &answer)?,
            Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !text.is_empty() && part.total != total {
            return Ok(None);
        }
        total = part.total;
        text.push_str(&part.text);
        if text.len() >= total {
            break;
        }
        if part.text.is_empty() {
            return Err(Error::protocol(format!("a part of frame {} is empty", large.sequence)));
        }
    }
    let frame = Frame::from_json(&text)?;
    // The rest of a run would leave the hole before it open, and be asked for again and again.
    let whole = frame.sequence == large.sequence && frame.from <= large.from;
    Ok(whole.then(|| Arc::new(frame)))
}

fn unreadable(action: &str, error: serde_json::Error) -> Error {
    Error::protocol(format!("the host's answer to {action} can't be understood")).with_source(error)
}
