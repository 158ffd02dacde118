//! What the tasks of one actor share.

use std::sync::Arc;

use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Result, Workspace};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::doors::Doors;
use super::engine::Engine;
use super::opening::Opening;
use super::settings::{Settings, WorkspaceKey};
use crate::mirror::RecordMirror;

/// One actor's workspace, and whoever is connected to it.
pub(super) struct Host {
    pub(super) engine: Engine,
    pub(super) key: WorkspaceKey,
    pub(super) settings: Arc<Settings>,
    pub(super) mirror: Option<RecordMirror>,
    pub(super) opening: Opening,
    pub(super) doors: Doors,
    /// Ends what the actor does by itself.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Host {
    /// Asks the hook who this is. It needs no open workspace.
    pub(super) async fn authorize(&self, request: &ConnectionRequest) -> Result<Participant> {
        match timeout(self.settings.limits.authorize, self.settings.authorize.connect(request)).await {
            Ok(Ok(participant)) if participant.person.id.is_empty() => {
                Err(Error::refused("the hook let somebody in without an id"))
            }
            Ok(answer) => answer,
            Err(_) => Err(Error::refused("who this is could not be found out in time; try again")),
        }
    }

    /// Parts from the sandbox, whose agents live on or are ended, as far as there is time for it.
    pub(super) async fn part(&self, end_agents: bool) {
        self.stop.cancel();
        let workspace = self.opening.end();
        self.doors.clear();
        self.tasks.close();
        let parting = async {
            self.tasks.wait().await;
            if let Some(workspace) = workspace {
                leave(&workspace, end_agents).await;
            }
            if let Some(mirror) = &self.mirror {
                mirror.flush().await;
            }
        };
        if timeout(self.settings.actor_limits.part, parting).await.is_err() {
            tracing::warn!(
                workspace = %self.key.id,
                "the workspace did not part from its sandbox in time; the next start finds what is there"
            );
        }
    }
}

pub(super) async fn leave(workspace: &Workspace, end_agents: bool) {
    let left = if end_agents { workspace.close().await } else { workspace.detach().await };
    if let Err(error) = left {
        tracing::warn!(workspace = %workspace.id(), %error, "a workspace did not part whole from its sandbox");
    }
}
