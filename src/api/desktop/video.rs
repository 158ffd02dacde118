//! Recordings as files of this machine.

use std::path::Path;

use futures::TryStreamExt;

use super::Desktop;
use crate::api::fs::{PartFile, Tally, Transfer, Transferred};
use crate::error::Result;

impl Desktop {
    /// Puts the video of a recording, an MP4 of any size, into a file of this machine.
    ///
    /// It is written as it comes, with some MiB of it in memory, and is there at once when all of it is; a file that
    /// was there is replaced. What breaks off is an error and leaves what was there: call again. So does dropping the
    /// call. More than [`Transfer::most_bytes`] is [`TooLarge`](crate::ErrorKind::TooLarge). The server tells no
    /// SHA-256 to compare with, so [`Transferred`] has that of what came. Bounded as
    /// [`download_recording`](Self::download_recording), which is for other places than files.
    ///
    /// ```no_run
    /// use sandbox_agent_sdk::api::desktop::{Desktop, DesktopRecordingStartRequest};
    /// use sandbox_agent_sdk::api::fs::Transfer;
    ///
    /// # async fn film(desktop: &Desktop) -> sandbox_agent_sdk::Result<()> {
    /// desktop.start_recording(&DesktopRecordingStartRequest::new().fps(10_u32)).await?;
    /// // What is to be seen later happens here.
    /// let recording = desktop.stop_recording().await?;
    /// desktop.download_recording_file(&recording.id, "desktop.mp4", Transfer::new()).await?;
    /// desktop.delete_recording(&recording.id).await
    /// # }
    /// ```
    pub async fn download_recording_file(
        &self,
        id: &str,
        to: impl AsRef<Path>,
        mut transfer: Transfer,
    ) -> Result<Transferred> {
        let mut video = self.download_recording(id).await?;
        let length = video.length();
        transfer.check_size(length.unwrap_or_default())?;
        let mut part = PartFile::beside(to.as_ref()).await?;
        let mut tally = Tally::default();
        while let Some(bytes) = video.try_next().await? {
            tally.add(&bytes);
            transfer.check_size(tally.bytes())?;
            part.add(&bytes).await?;
            transfer.carried(tally.bytes(), length);
        }
        part.finish().await?;
        Ok(tally.done())
    }
}

#[cfg(test)]
mod tests;
