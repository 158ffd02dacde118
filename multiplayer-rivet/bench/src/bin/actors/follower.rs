//! A client of ours.

use anyhow::{Context, Result};
use sandbox_agent_multiplayer::{Frame, FrameBody, WorkspaceClient};
use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::line::{Arrived, Seen};
use crate::turn::KEY;

pub(crate) struct Follower {
    client: WorkspaceClient,
    watching: JoinHandle<Result<Seen>>,
    /// How many frames it has.
    seen: watch::Receiver<usize>,
}

pub(crate) async fn connect(engine: &str, name: &str) -> Result<WorkspaceClient> {
    let who = Credentials::new().token("bench").param("name", name);
    Ok(RivetWorkspaces::new(engine).get_or_create(KEY, who, None).await?)
}

impl Follower {
    /// Watches from now on, or from this place on, until the prompt is over.
    pub(crate) async fn start(engine: &str, name: String, prompt: &str, after: Option<u64>) -> Result<Self> {
        let client = connect(engine, &name).await?;
        let mut frames = match after {
            Some(after) => client.frames_after(after),
            None => client.frames(),
        };
        let (tell, seen) = watch::channel(0);
        let prompt = prompt.to_owned();
        let watching = tokio::spawn(async move {
            let mut told = Vec::new();
            loop {
                let frame = frames.recv().await.context("the client has ended")??;
                told.push(Arrived::now(&frame));
                tell.send_replace(told.len());
                if is_end(&frame, &prompt) {
                    return Ok(Seen { name, frames: told });
                }
            }
        });
        Ok(Self { client, watching, seen })
    }

    /// Waits until it has so many frames.
    pub(crate) async fn has(&mut self, frames: usize) -> Result<()> {
        self.seen.wait_for(|seen| *seen >= frames).await.context("a client has ended too early")?;
        Ok(())
    }

    pub(crate) async fn seen(self) -> Result<Seen> {
        let seen = self.watching.await?;
        self.client.dispose();
        seen
    }
}

/// Whether this frame says that the prompt is over.
pub(crate) fn is_end(frame: &Frame, prompt: &str) -> bool {
    match &frame.body {
        FrameBody::State(state) => {
            state.prompt.as_ref().is_some_and(|told| told.prompt_id == prompt && told.phase.is_over())
        }
        _ => false,
    }
}
