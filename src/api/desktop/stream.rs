//! The screen as a live stream.

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::error::Result;

impl Desktop {
    /// Whether the screen is streamed.
    pub async fn stream_status(&self) -> Result<DesktopStreamStatusResponse> {
        self.api.call(&operations::STREAM_STATUS, &[], &(), &()).await
    }

    /// Begins to stream the screen, by WebRTC; a stream that runs stays as it is. A viewer agrees on the rest over
    /// `signaling`, which the feature `websocket` has.
    ///
    /// Needs `neko` in the sandbox, which Debian has no package of; refused (`conflict`) without it. The server waits
    /// 15 s for it, and then says that the stream is active all the same. One stream runs on a machine: neko listens
    /// on port 18100. Bounded by [`Limits::request`](crate::Limits::request).
    pub async fn start_stream(&self) -> Result<DesktopStreamStatusResponse> {
        let limit = self.api.limits.request;
        self.api.call_within(limit, &operations::STREAM_START, &[], &(), &()).await
    }

    /// Ends the stream.
    pub async fn stop_stream(&self) -> Result<DesktopStreamStatusResponse> {
        self.api.call(&operations::STREAM_STOP, &[], &(), &()).await
    }
}

/// Whether the screen is streamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopStreamStatusResponse {
    /// Whether it is.
    pub active: bool,
    /// The process that streams, as [`processes`](crate::SandboxAgent::processes) has it.
    pub process_id: Option<String>,
    /// The window that is streamed, where it is not the whole screen.
    pub window_id: Option<String>,
}
