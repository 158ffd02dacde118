//! A workspace, and those who look on.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use sandbox_agent_benches::cpu;
use sandbox_agent_benches::report::Options;
use sandbox_agent_multiplayer::{Frame, FrameBody, Frames, Member, NewPrompt, Workspace};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

/// More than a turn has, so that no receiver of the broadcast loses any.
const CAPACITY: usize = 8_192;

pub(crate) struct Room {
    workspace: Workspace,
    host: Member,
}

/// Who looks on at a turn.
#[derive(Clone, Copy, Default)]
pub(crate) struct Crowd {
    /// Subscribers that read what comes.
    pub(crate) readers: usize,
    /// Subscribers that never read.
    pub(crate) stuck: usize,
    /// Receivers of tokio's broadcast, which one subscriber feeds.
    pub(crate) broadcast: usize,
}

/// What a turn took until all who read had all of it.
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) seconds: f64,
}

impl Room {
    pub(crate) async fn open(options: &Options) -> Result<Self> {
        let sdk = SandboxAgent::connect(&options.url).await?;
        let request = SessionRequest::new("bench", &options.agent);
        let workspace = Workspace::builder("bench", sdk).session(request).open().await?;
        let host = workspace.host();
        Ok(Self { workspace, host })
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.workspace.close().await?)
    }

    pub(crate) async fn turn(&self, text: &str, crowd: Crowd) -> Result<Cost> {
        let prompt = NewPrompt::new(text);
        let id: Arc<str> = prompt.prompt_id.as_str().into();
        let mut reading = JoinSet::new();
        for _ in 0..crowd.readers {
            reading.spawn(read(self.host.frames()?, id.clone()));
        }
        let stuck: Vec<_> = (0..crowd.stuck).map(|_| self.host.frames()).collect::<Result<_, _>>()?;
        if crowd.broadcast > 0 {
            let (sender, _) = broadcast::channel(CAPACITY);
            for _ in 0..crowd.broadcast {
                reading.spawn(receive(sender.subscribe(), id.clone()));
            }
            reading.spawn(forward(self.host.frames()?, sender, id.clone()));
        }
        let mut frames = self.host.frames()?;
        let (start, cpu) = (Instant::now(), cpu::time());
        self.host.prompt(prompt).await?;
        loop {
            let frame = frames.recv().await.context("the workspace ended")??;
            if is_end(&frame, &id) {
                break;
            }
        }
        while let Some(read) = reading.join_next().await {
            read??;
        }
        let cost = Cost { cpu: (cpu::time() - cpu).as_secs_f64(), seconds: start.elapsed().as_secs_f64() };
        drop(stuck);
        Ok(cost)
    }
}

async fn read(mut frames: Frames, id: Arc<str>) -> Result<()> {
    while let Some(frame) = frames.recv().await {
        let frame = frame?;
        if is_end(&frame, &id) {
            return Ok(());
        }
    }
    bail!("the workspace ended")
}

async fn forward(mut frames: Frames, to: broadcast::Sender<Arc<Frame>>, id: Arc<str>) -> Result<()> {
    while let Some(frame) = frames.recv().await {
        let frame = frame?;
        let end = is_end(&frame, &id);
        // Those who have gone are missed by nobody.
        let _received = to.send(frame);
        if end {
            return Ok(());
        }
    }
    bail!("the workspace ended")
}

async fn receive(mut frames: broadcast::Receiver<Arc<Frame>>, id: Arc<str>) -> Result<()> {
    loop {
        let frame = frames.recv().await?;
        if is_end(&frame, &id) {
            return Ok(());
        }
    }
}

fn is_end(frame: &Frame, id: &str) -> bool {
    match &frame.body {
        FrameBody::State(state) => {
            state.prompt.as_ref().is_some_and(|prompt| prompt.prompt_id == id && prompt.phase.is_over())
        }
        _ => false,
    }
}
