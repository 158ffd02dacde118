//! Hooks that many workspaces share, and functions as hooks.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use sandbox_agent_multiplayer::{
    Authorize, Call, ConnectionRequest, Frame, Hook, Participant, Result, Workspace,
};

/// The hook of all workspaces, in one of them.
pub(super) struct SharedAuthorize(pub(super) Arc<dyn Authorize>);

#[async_trait]
impl Authorize for SharedAuthorize {
    async fn connect(&self, request: &ConnectionRequest) -> Result<Participant> {
        self.0.connect(request).await
    }

    async fn allow(&self, participant: &Participant, call: &Call) -> Result<()> {
        self.0.allow(participant, call).await
    }
}

pub(super) struct AuthorizeBy<F>(pub(super) F);

#[async_trait]
impl<F, R> Authorize for AuthorizeBy<F>
where
    F: Fn(ConnectionRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Participant>> + Send + 'static,
{
    async fn connect(&self, request: &ConnectionRequest) -> Result<Participant> {
        (self.0)(request.clone()).await
    }
}

/// The hook of all workspaces, in one of them.
pub(super) struct SharedHook(pub(super) Arc<dyn Hook>);

#[async_trait]
impl Hook for SharedHook {
    async fn frame(&self, workspace: &Workspace, frame: &Arc<Frame>) {
        self.0.frame(workspace, frame).await;
    }
}

pub(super) struct HookBy<F>(pub(super) F);

#[async_trait]
impl<F, R> Hook for HookBy<F>
where
    F: Fn(Workspace, Arc<Frame>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    async fn frame(&self, workspace: &Workspace, frame: &Arc<Frame>) {
        (self.0)(workspace.clone(), frame.clone()).await;
    }
}
