//! The desktop as a whole.

use serde::{Deserialize, Serialize};

use super::{Desktop, DesktopWindowInfo, operations};
use crate::api::values::{open_enum, options};
use crate::error::Result;

impl Desktop {
    /// How the desktop is, and what the sandbox lacks for one.
    pub async fn status(&self) -> Result<DesktopStatusResponse> {
        self.api.call(&operations::STATUS, &[], &(), &()).await
    }

    /// Starts the desktop; one that runs stays as it is.
    ///
    /// Bounded by [`Limits::request`](crate::Limits::request): several programs are started and waited for.
    pub async fn start(&self, request: &DesktopStartRequest) -> Result<DesktopStatusResponse> {
        let limit = self.api.limits.request;
        self.api.call_within(limit, &operations::START, &[], &(), request).await
    }

    /// Stops the desktop and all programs on it. Bounded as [`start`](Self::start).
    pub async fn stop(&self) -> Result<DesktopStatusResponse> {
        let limit = self.api.limits.request;
        self.api.call_within(limit, &operations::STOP, &[], &(), &()).await
    }

    /// The display and its resolution.
    pub async fn display_info(&self) -> Result<DesktopDisplayInfoResponse> {
        self.api.call(&operations::DISPLAY, &[], &(), &()).await
    }
}

open_enum! {
    /// How far the desktop is.
    DesktopState {
        /// It does not run.
        Inactive = "inactive",
        /// It can't run: programs are missing.
        InstallRequired = "install_required",
        /// It is being started.
        Starting = "starting",
        /// It runs.
        Active = "active",
        /// It is being stopped.
        Stopping = "stopping",
        /// It could not be started, or broke.
        Failed = "failed",
    }
}

/// How the desktop is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopStatusResponse {
    /// How far it is.
    pub state: DesktopState,
    /// The display, such as `:99`.
    pub display: Option<String>,
    /// Its resolution.
    pub resolution: Option<DesktopResolution>,
    /// When it was started (RFC 3339).
    pub started_at: Option<String>,
    /// What went wrong last.
    pub last_error: Option<DesktopErrorInfo>,
    /// Programs that are missing.
    #[serde(default)]
    pub missing_dependencies: Vec<String>,
    /// The command that installs them.
    pub install_command: Option<String>,
    /// Its programs.
    #[serde(default)]
    pub processes: Vec<DesktopProcessInfo>,
    /// Where it logs, in the sandbox.
    pub runtime_log_path: Option<String>,
    /// The windows that are to be seen, while it runs.
    #[serde(default)]
    pub windows: Vec<DesktopWindowInfo>,
}

/// What went wrong with the desktop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopErrorInfo {
    /// What kind of error, such as `desktop_dependencies_missing`.
    pub code: String,
    /// A sentence.
    pub message: String,
}

/// A program of the desktop's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopProcessInfo {
    /// Its name.
    pub name: String,
    /// Its number in the sandbox's system.
    pub pid: Option<u32>,
    /// Whether it runs.
    pub running: bool,
    /// Where it logs, in the sandbox.
    pub log_path: Option<String>,
}

/// The size of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopResolution {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Pixels to an inch.
    pub dpi: Option<u32>,
}

/// The display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopDisplayInfoResponse {
    /// Its name, such as `:99`.
    pub display: String,
    /// Its resolution.
    pub resolution: DesktopResolution,
}

/// The desktop to start. What is not set the server decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopStartRequest {
    /// The width of its screen, in pixels; 1440 unless set.
    pub width: Option<u32>,
    /// The height of its screen, in pixels; 900 unless set.
    pub height: Option<u32>,
    /// Pixels to an inch; 96 unless set.
    pub dpi: Option<u32>,
    /// The number of its display, or the first of the nine after it that is free; 99 unless set.
    ///
    /// Two servers on one machine that start at once with the same number may get the same display.
    pub display_num: Option<i32>,
    /// Where it keeps its home folder, its log and recordings, in the sandbox.
    ///
    /// Server 0.4.2 passes over it: there it is `sandbox-agent/desktop` in the server's `XDG_STATE_HOME`, and servers
    /// of one user that are to record at once need one each.
    pub state_dir: Option<String>,
    /// Frames a second of recordings, 1 to 60; 30 unless set. Server 0.4.2 passes over it.
    pub recording_fps: Option<u32>,
    /// Frames a second of streams.
    pub stream_frame_rate: Option<u32>,
    /// The video codec of streams, such as `vp8`.
    pub stream_video_codec: Option<String>,
    /// The audio codec of streams, such as `opus`.
    pub stream_audio_codec: Option<String>,
    /// The UDP ports for streams, such as `59050-59070`.
    pub webrtc_port_range: Option<String>,
}

impl DesktopStartRequest {
    /// As the server decides.
    pub fn new() -> Self {
        Self::default()
    }

    /// A screen of this width and height, in pixels.
    #[must_use]
    pub fn size(self, width: u32, height: u32) -> Self {
        Self { width: Some(width), height: Some(height), ..self }
    }

    options! {
        /// The width of its screen, in pixels.
        width: u32,
        /// The height of its screen, in pixels.
        height: u32,
        /// Pixels to an inch.
        dpi: u32,
        /// The number of its display, or the first of the nine after it that is free.
        display_num: i32,
        /// Where it keeps its home folder, its log and recordings, in the sandbox. Server 0.4.2 passes over it.
        state_dir: String,
        /// Frames a second of recordings. Server 0.4.2 passes over it:
        /// [`DesktopRecordingStartRequest::fps`](super::DesktopRecordingStartRequest::fps()) holds.
        recording_fps: u32,
        /// Frames a second of streams.
        stream_frame_rate: u32,
        /// The video codec of streams, such as `vp8`.
        stream_video_codec: String,
        /// The audio codec of streams, such as `opus`.
        stream_audio_codec: String,
        /// The UDP ports for streams, such as `59050-59070`.
        webrtc_port_range: String,
    }
}
