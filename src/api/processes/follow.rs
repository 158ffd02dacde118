//! The output of a process as a stream: what was kept first, then what comes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::sync::Notify;

use super::follower::Follower;
use super::sequence::LogGap;
use super::types::{ProcessInfo, ProcessLogEntry, ProcessLogsStream};
use super::{ProcessLogsQuery, Processes};
use crate::api::values::options;
use crate::error::Result;

/// Where to begin with a process's output, and which of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FollowLogs {
    pub(super) stream: Option<ProcessLogsStream>,
    pub(super) since: Option<u64>,
    pub(super) tail: Option<u64>,
}

impl FollowLogs {
    /// From the beginning, all of it.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// Only what came from there. Holes are named all the same: which output was in them nobody knows.
        stream: ProcessLogsStream,
        /// After this sequence: that of the last [`LogOutput`] that was seen.
        since: u64,
        /// From the newest entries on, so many; 0 for only what comes. [`since`](Self::since) goes before it.
        tail: u64,
    }
}

/// What happens with a process's output.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LogEvent {
    /// Some output.
    Output(LogOutput),
    /// Some is missing: the server had dropped it before it could be read.
    Gap(LogGap),
    /// The process ended; nothing comes after this.
    Exited(ProcessInfo),
}

/// Some output of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogOutput {
    /// Its place in the process's output, over all streams, from 1 on.
    pub sequence: u64,
    /// Where it came from.
    pub stream: ProcessLogsStream,
    /// When it came, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The output, cut anywhere: a character of several bytes may be in two.
    pub bytes: Bytes,
}

impl LogOutput {
    pub(super) fn read(entry: ProcessLogEntry) -> Result<Self> {
        let bytes = entry.bytes()?;
        let ProcessLogEntry { sequence, stream, timestamp_ms, .. } = entry;
        Ok(Self { sequence, stream, timestamp_ms, bytes })
    }
}

impl Processes {
    /// The output of a process: what the server has kept, then what comes, each once and in order, until the
    /// process has ended.
    ///
    /// A connection that broke is made again, within [`Limits::reconnect`](crate::Limits::reconnect), and goes
    /// on after the last sequence. What the server passes over for a slow reader is fetched again; what it no
    /// longer has is a [`Gap`](LogEvent::Gap). The end is an [`Exited`](LogEvent::Exited), some 200 ms after the
    /// process's; what a child of it writes later is not waited for.
    ///
    /// The call is bounded by [`Limits::call`](crate::Limits::call), the stream by the process's life. It ends with
    /// [`ProcessGone`](crate::ErrorKind::ProcessGone) when the record is deleted or the server was restarted,
    /// which ends its processes, and with [`Closed`](crate::ErrorKind::Closed) when the SDK is closed. Nothing
    /// is read ahead of whoever reads the stream, and dropping it is all that ends it.
    pub async fn follow_logs(&self, id: &str, from: FollowLogs) -> Result<ProcessLogs> {
        let info = self.get(id).await?;
        self.follow(info, from, Arc::default()).await
    }

    /// The same for a process whose end somebody else may hear of.
    pub(in crate::api) async fn follow(
        &self,
        info: ProcessInfo,
        from: FollowLogs,
        ended: Arc<Notify>,
    ) -> Result<ProcessLogs> {
        let (last, kept) = match (from.since, from.tail) {
            (Some(since), _) => (since, Vec::new()),
            (None, None) => (0, Vec::new()),
            (None, Some(tail)) => self.newest(&info.id, tail).await?,
        };
        let follower = Follower::new(self.clone(), info, from.stream, last, kept, ended)?;
        let events = stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|event| (event, follower)))
        });
        Ok(ProcessLogs { events: events.boxed() })
    }

    /// The newest entries, so many, and the sequence after which the rest comes.
    async fn newest(&self, id: &str, tail: u64) -> Result<(u64, Vec<ProcessLogEntry>)> {
        let mut entries = self.logs(id, &ProcessLogsQuery::new().tail(tail.max(1))).await?.entries;
        let last = entries.last().map_or(0, |entry| entry.sequence);
        if tail == 0 {
            entries.clear();
        }
        Ok((last, entries))
    }

    pub(super) async fn newest_sequence(&self, id: &str) -> Result<u64> {
        Ok(self.newest(id, 0).await?.0)
    }
}

/// The output of a process, as it comes: a `Stream` of [`LogEvent`]s. After an error it is over.
#[must_use = "nothing is read before it is polled"]
pub struct ProcessLogs {
    events: BoxStream<'static, Result<LogEvent>>,
}

impl fmt::Debug for ProcessLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessLogs").finish_non_exhaustive()
    }
}

impl Stream for ProcessLogs {
    type Item = Result<LogEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}
