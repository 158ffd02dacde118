//! What a host runs for each frame.

use std::future::Future;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Inner, Workspace};
use crate::frame::Frame;
use crate::line::Frames;

/// Runs for every frame of a workspace, once each and in order, however many look on.
///
/// It begins with the first frame that is stored after the workspace was opened; a crash may end it between
/// a frame and its call. A workspace that is closed gives it what is left, within [`Limits::store`](crate::Limits::store). It has its own pace: what it takes slows neither subscribers nor agents, and the
/// next frame waits until it returned.
///
/// ```
/// use std::sync::Arc;
///
/// use sandbox_agent_multiplayer::{Frame, FrameBody, Hook, Workspace};
/// use sandbox_agent_sdk::PermissionReply;
///
/// /// Allows whatever an agent asks for.
/// struct AllowAll;
///
/// #[async_trait::async_trait]
/// impl Hook for AllowAll {
///     async fn frame(&self, workspace: &Workspace, frame: &Arc<Frame>) {
///         if let FrameBody::PermissionRequested(asked) = &frame.body {
///             let host = workspace.host();
///             let answer = PermissionReply::Once;
///             if let Err(error) = host.respond_permission(&asked.session_id, &asked.permission_id, answer).await {
///                 eprintln!("{error}");
///             }
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// A frame was stored.
    async fn frame(&self, workspace: &Workspace, frame: &Arc<Frame>);
}

/// A function as the hook.
pub(super) struct ByFunction<F>(pub(super) F);

#[async_trait]
impl<F, R> Hook for ByFunction<F>
where
    F: Fn(Workspace, Arc<Frame>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    async fn frame(&self, workspace: &Workspace, frame: &Arc<Frame>) {
        (self.0)(workspace.clone(), frame.clone()).await;
    }
}

pub(super) async fn run(hook: Arc<dyn Hook>, mut frames: Frames, inner: Weak<Inner>, end: CancellationToken) {
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            () = end.cancelled() => return,
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                tracing::error!(%error, "a workspace's hook gets no more frames");
                return;
            }
            None => return,
        };
        // The hook must not keep alive what it is a part of.
        let Some(workspace) = inner.upgrade().map(Workspace::of) else { return };
        let call = hook.frame(&workspace, &frame);
        tokio::select! {
            () = call => {}
            () = end.cancelled() => return,
        }
    }
}
