//! Recordings of the screen.

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::api::ByteStream;
use crate::api::values::{open_enum, options};
use crate::error::Result;

impl Desktop {
    /// Begins to record the screen; refused (`conflict`) where it is recorded already.
    ///
    /// Its program takes some 100 ms until the first frame. One that is stopped before that is
    /// [`Failed`](DesktopRecordingStatus::Failed).
    pub async fn start_recording(
        &self,
        request: &DesktopRecordingStartRequest,
    ) -> Result<DesktopRecordingInfo> {
        self.api.call(&operations::RECORDING_START, &[], &(), request).await
    }

    /// Ends the recording that runs. Bounded by [`Limits::request`](crate::Limits::request): the video is finished.
    pub async fn stop_recording(&self) -> Result<DesktopRecordingInfo> {
        let limit = self.api.limits.request;
        self.api.call_within(limit, &operations::RECORDING_STOP, &[], &(), &()).await
    }

    /// All recordings.
    pub async fn recordings(&self) -> Result<Vec<DesktopRecordingInfo>> {
        Ok(self.api.call(&operations::RECORDINGS, &[], &(), &()).await?.recordings)
    }

    /// One recording.
    pub async fn recording(&self, id: &str) -> Result<DesktopRecordingInfo> {
        self.api.call(&operations::RECORDING, &[id], &(), &()).await
    }

    /// Deletes a recording; one that runs is refused (`conflict`). Never tried again.
    pub async fn delete_recording(&self, id: &str) -> Result<()> {
        self.api.call(&operations::RECORDING_DELETE, &[id], &(), &()).await
    }

    /// The video of a recording, an MP4, as it comes. Into a file `download_recording_file` puts it, which the feature
    /// `files` has.
    pub async fn download_recording(&self, id: &str) -> Result<ByteStream> {
        self.api.download(&operations::RECORDING_DOWNLOAD, &[id], &()).await
    }
}

open_enum! {
    /// How far a recording is.
    DesktopRecordingStatus {
        /// It runs.
        Recording = "recording",
        /// It is finished.
        Completed = "completed",
        /// It could not be finished.
        Failed = "failed",
    }
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopRecordingInfo {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub status: DesktopRecordingStatus,
    /// The process that records, as [`processes`](crate::SandboxAgent::processes) has it.
    pub process_id: Option<String>,
    /// The name of its file.
    pub file_name: String,
    /// The size of its file so far.
    pub bytes: u64,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// When it ended (RFC 3339).
    pub ended_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesktopRecordingListResponse {
    pub(crate) recordings: Vec<DesktopRecordingInfo>,
}

/// A recording to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopRecordingStartRequest {
    /// Frames a second, 1 to 60; 30 unless set.
    pub fps: Option<u32>,
}

impl DesktopRecordingStartRequest {
    /// As the server decides.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// Frames a second.
        fps: u32,
    }
}
