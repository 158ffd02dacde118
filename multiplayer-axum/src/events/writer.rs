//! What somebody who reads SSE is told, as fast as they take it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use sandbox_agent_multiplayer::{Error, ErrorKind, Frames};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::options::HostOptions;
use crate::outgoing;

/// How many frames are taken at once.
const BATCH: usize = 64;
/// The bytes that are handed on at once: few enough that also a slow client takes them in time.
const PART: usize = 64 * 1024;

pub(super) struct Writer {
    options: Arc<HostOptions>,
    stop: CancellationToken,
    frames: Frames,
    /// Parts of events that are not written yet: one batch, whose frames are shared.
    told: VecDeque<Bytes>,
}

/// Why nothing more is written.
enum End {
    /// The client has gone, or is taken for gone.
    Gone,
    /// It is told why.
    Failed(Error),
}

impl Writer {
    /// Begins with the welcome, behind which the frames follow.
    pub(super) fn new(host: &Host, frames: Frames, after: u64, welcome: String) -> Self {
        let (options, stop) = (host.options.clone(), host.workspaces.stop.clone());
        let mut told = VecDeque::new();
        tell(&mut told, Some("welcome"), Some(after), welcome.into());
        Self { options, stop, frames, told }
    }

    /// Writes until the client has gone or takes nothing, the frames end, or the server is to.
    pub(super) async fn run(mut self, parts: mpsc::Sender<Bytes>) {
        let stop = self.stop.clone();
        let end = tokio::select! {
            end = self.frames(&parts) => end,
            () = parts.closed() => End::Gone,
            () = stop.cancelled() => {
                End::Failed(Error::new(ErrorKind::Closed, "this server is ending; connect again"))
            }
        };
        if let End::Failed(error) = end {
            let failure = serde_json::to_string(&error.to_failure()).unwrap_or_default();
            tell(&mut self.told, Some("failure"), None, failure.into());
            // A client that does not take it is left.
            let _ = timeout(self.options.farewell, self.write(&parts)).await;
        }
    }

    async fn frames(&mut self, parts: &mpsc::Sender<Bytes>) -> End {
        let mut ping = interval(self.options.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        loop {
            if self.write(parts).await.is_none() {
                return End::Gone;
            }
            tokio::select! {
                frames = self.frames.recv_many(BATCH) => match frames {
                    Some(Ok(frames)) => {
                        for frame in frames {
                            let json = outgoing::line(frame.json_within(self.options.frame_bytes));
                            tell(&mut self.told, None, Some(frame.sequence), json);
                        }
                    }
                    Some(Err(error)) => return End::Failed(error),
                    None => return End::Failed(Error::new(ErrorKind::Closed, "the workspace was closed")),
                },
                _ = ping.tick() => self.told.push_back(Bytes::from_static(b": heartbeat\n\n")),
            }
        }
    }

    /// Writes what is to be told; `None` where the client takes nothing of it for too long. When this is
    /// dropped, what is not written is still there.
    async fn write(&mut self, parts: &mpsc::Sender<Bytes>) -> Option<()> {
        while !self.told.is_empty() {
            let room = timeout(self.options.silence, parts.reserve()).await.ok()?.ok()?;
            if let Some(part) = self.told.pop_front() {
                room.send(part);
            }
        }
        Some(())
    }
}

/// An event in parts, so that what it says is not copied.
fn tell(told: &mut VecDeque<Bytes>, kind: Option<&str>, id: Option<u64>, mut json: Bytes) {
    let mut head = String::new();
    if let Some(kind) = kind {
        head.push_str(&format!("event: {kind}\n"));
    }
    if let Some(id) = id {
        head.push_str(&format!("id: {id}\n"));
    }
    head.push_str("data: ");
    told.push_back(head.into());
    while json.len() > PART {
        told.push_back(json.split_to(PART));
    }
    told.extend([json, Bytes::from_static(b"\n\n")]);
}
