//! Waiting for a prompt's end.

use std::sync::Arc;

use super::calls::{Asking, OverAny};
use super::frames::ClientFrames;
use super::{Inner, WorkspaceClient, arrival, fetch};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::FrameBody;
use crate::prompt::PromptState;

impl WorkspaceClient {
    /// Waits until a prompt is over, and says how it ended.
    ///
    /// It has no bound in time: a prompt that waits for somebody, or for an agent that works, takes as long as it
    /// takes. It ends, with the error that says why, when the client does. One that is not known, or was over so
    /// long ago that the workspace does not tell of it any more, is [`NotFound`](crate::ErrorKind::NotFound) at
    /// once. Dropping it is safe.
    pub async fn wait_for_prompt(&self, prompt_id: &str) -> Result<PromptState> {
        let look = |now: &crate::Snapshot| Some((now.sequence, now.prompt(prompt_id)?.clone()));
        let mut known = self.inner.window.look(look);
        loop {
            let (sequence, state) = match known.take() {
                Some(known) => known,
                None => self.inner.prompt(prompt_id).await?,
            };
            if state.phase.is_over() {
                return Ok(state);
            }
            let frames = ClientFrames::new(self.inner.clone(), Some(sequence));
            if let Some(state) = self.inner.end_of(prompt_id, frames).await? {
                return Ok(state);
            }
        }
    }
}

impl Inner {
    /// What the host knows of a prompt, and as of which frame.
    async fn prompt(self: &Arc<Self>, prompt_id: &str) -> Result<(u64, PromptState)> {
        let calls = OverAny { inner: self.clone(), asking: Asking::Reader };
        let now = loop {
            self.connected().await;
            match fetch::snapshot(&calls).await {
                Err(error) if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::TimedOut) => {}
                now => break now?,
            }
        };
        let state = now.prompt(prompt_id).cloned().ok_or_else(|| {
            Error::not_found(format!("no prompt {prompt_id:?} waits or runs, and none was over lately"))
        })?;
        Ok((now.sequence, state))
    }

    /// Reads until a frame says that it is over; `None` where that may be in what can't be read.
    async fn end_of(&self, prompt_id: &str, mut frames: ClientFrames) -> Result<Option<PromptState>> {
        while let Some(frame) = frames.recv().await {
            let frame = frame?;
            if arrival::hides_changes(&frame) {
                return Ok(None);
            }
            if let FrameBody::State(state) = &frame.body
                && let Some(prompt) = &state.prompt
                && prompt.prompt_id == prompt_id
                && prompt.phase.is_over()
            {
                return Ok(Some(prompt.clone()));
            }
        }
        Err(self.over())
    }
}
