//! A client of workspaces that keeps every frame it was given.

use std::sync::{Arc, Mutex};

use sandbox_agent_multiplayer::{Frame, FrameBody, NewPrompt, PromptState, WorkspaceClient};
use sandbox_agent_multiplayer_rivet::RivetWorkspaces;
use sandbox_agent_sdk::SessionEventExt;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::scene::{PATIENCE, named};

pub(crate) struct Follower {
    pub(crate) client: WorkspaceClient,
    seen: Arc<Mutex<Vec<Arc<Frame>>>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Comes into the workspace with this key, made if there is none, and follows it from its beginning.
    pub(crate) async fn enter(engine: &str, key: &str, name: &str) -> Self {
        let workspaces = RivetWorkspaces::new(engine);
        let entering = workspaces.get_or_create(["team", key], named(name), None);
        Self::of(timeout(PATIENCE, entering).await.unwrap().unwrap())
    }

    pub(crate) fn of(client: WorkspaceClient) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut frames = client.frames_after(0);
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            while let Some(Ok(frame)) = frames.recv().await {
                kept.lock().unwrap().push(frame);
            }
        });
        Self { client, seen, task }
    }

    pub(crate) async fn prompt(&self, id: &str, text: &str) -> PromptState {
        let accepted = timeout(PATIENCE, self.client.prompt(NewPrompt::with_id(id, text))).await;
        accepted.unwrap().unwrap().prompt
    }

    /// How a prompt ended, at last.
    pub(crate) async fn over(&self, id: &str) -> PromptState {
        timeout(PATIENCE, self.client.wait_for_prompt(id)).await.expect("it ends in time").unwrap()
    }

    /// Waits until the agent has said this.
    pub(crate) async fn hears(&self, text: &str) {
        let mut frames = self.client.frames_after(0);
        let heard = async {
            loop {
                let frame = frames.recv().await.unwrap().unwrap();
                if let FrameBody::SessionEvent(event) = &frame.body
                    && event.agent_text().is_some_and(|said| said.contains(text))
                {
                    return;
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("the agent says it");
    }

    /// What this client was given is just what the store has, as another client reads it now.
    pub(crate) async fn agrees_with_the_store(&self) -> Vec<Arc<Frame>> {
        let mut stored: Vec<Arc<Frame>> = Vec::new();
        let last = loop {
            let after = stored.last().map_or(0, |frame| frame.sequence);
            let page = timeout(PATIENCE, self.client.page(after, 1000)).await.unwrap().unwrap();
            stored.extend(page.frames);
            if stored.last().map_or(0, |frame| frame.sequence) >= page.last {
                break page.last;
            }
        };
        assert_whole(&stored);
        timeout(PATIENCE, self.given(last)).await.expect("the client is given all that there is");
        let seen = self.seen.lock().unwrap().clone();
        assert_whole(&seen);
        for (given, kept) in seen.iter().zip(&stored) {
            assert_eq!(given.json(), kept.json());
        }
        stored
    }

    async fn given(&self, last: u64) {
        while self.seen.lock().unwrap().last().is_none_or(|frame| frame.sequence < last) {
            assert!(!self.task.is_finished(), "the client is not over");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

fn assert_whole(frames: &[Arc<Frame>]) {
    let mut next = 1;
    for frame in frames {
        assert_eq!(frame.from, next, "{frame:?}");
        next = frame.sequence + 1;
    }
}

/// How often the agent was sent this prompt, by the record of what was sent.
pub(crate) fn times_sent(frames: &[Arc<Frame>], prompt_id: &str) -> usize {
    let sent = |frame: &&Arc<Frame>| match &frame.body {
        FrameBody::SessionEvent(event) => {
            let payload = event.payload.get();
            payload.contains("\"session/prompt\"") && payload.contains(&format!("\"{prompt_id}\""))
        }
        _ => false,
    };
    frames.iter().filter(sent).count()
}

/// What the agent said in these frames.
pub(crate) fn said(frames: &[Arc<Frame>]) -> String {
    let text = |frame: &Arc<Frame>| match &frame.body {
        FrameBody::SessionEvent(event) => event.agent_text(),
        _ => None,
    };
    frames.iter().filter_map(text).collect()
}
