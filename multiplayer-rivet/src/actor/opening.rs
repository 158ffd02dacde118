//! Opens the workspace beside the actor's events, and again after it failed.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_multiplayer::{Error, ErrorKind, Result, Workspace};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::hooks::{SharedAuthorize, SharedHook};
use super::host::{Host, leave};
use super::settings::{Sdk, WorkspaceSandbox};
use super::{awake, broadcast};
use crate::mirror::MirroredSessionPersistDriver;
use crate::store::RivetSqlSessionPersistDriver;

/// How long a failure is the answer to whoever calls, before the next one tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where the workspace stands, for all who wait for it.
#[derive(Debug)]
pub(super) struct Opening {
    stage: watch::Sender<Stage>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Nobody was let in yet, and nothing was started.
    Unopened,
    Opening,
    Open(Workspace),
    Failed(Error, Instant),
    /// The actor stops.
    Over,
}

impl Opening {
    pub(super) fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Unopened) }
    }

    /// Nothing is opened any more; gives the workspace, if there is one.
    pub(super) fn end(&self) -> Option<Workspace> {
        match self.stage.send_replace(Stage::Over) {
            Stage::Open(workspace) => Some(workspace),
            _ => None,
        }
    }

    /// Goes on, unless the actor stops.
    fn set(&self, next: Stage) -> bool {
        self.stage.send_if_modified(|stage| {
            let goes_on = !matches!(stage, Stage::Over);
            if goes_on {
                *stage = next;
            }
            goes_on
        })
    }

    /// Whether the caller is the one to try.
    fn begin(&self) -> bool {
        self.stage.send_if_modified(|stage| {
            let begins = match stage {
                Stage::Unopened => true,
                Stage::Failed(_, at) => at.elapsed() >= AGAIN,
                Stage::Opening | Stage::Open(_) | Stage::Over => false,
            };
            if begins {
                *stage = Stage::Opening;
            }
            begins
        })
    }
}

impl Host {
    /// The workspace, once it is open. Bounded by [`ActorLimits::open`](super::ActorLimits::open), in which
    /// it is open or has failed.
    pub(super) async fn workspace(self: &Arc<Self>) -> Result<Workspace> {
        let mut stages = self.opening.stage.subscribe();
        loop {
            match stages.borrow_and_update().clone() {
                Stage::Open(workspace) => return Ok(workspace),
                Stage::Failed(error, at) if at.elapsed() < AGAIN => return Err(error),
                Stage::Unopened | Stage::Failed(..) | Stage::Opening => {}
                Stage::Over => return Err(stopping()),
            }
            self.begin_opening();
            // The sender is the host's, so that it can't be gone.
            let _ = stages.changed().await;
        }
    }

    /// Opens the workspace beside the caller, unless it is open, or that was tried just now.
    pub(super) fn begin_opening(self: &Arc<Self>) {
        if !self.opening.begin() {
            return;
        }
        let host = self.clone();
        // The actor would else sleep while a slow sandbox is waited for.
        let awake = self.engine.stay_awake();
        self.tasks.spawn(async move {
            let opened = tokio::select! {
                opened = timeout(host.settings.actor_limits.open, host.open()) => opened,
                () = host.stop.cancelled() => return,
            };
            let opened = opened.unwrap_or_else(|_| Err(took_too_long(&host)));
            match opened {
                Ok(workspace) => host.opened(workspace).await,
                Err(error) => {
                    tracing::warn!(workspace = %host.key.id, %error, "a workspace could not be opened");
                    host.opening.set(Stage::Failed(error, Instant::now()));
                }
            }
            drop(awake);
        });
    }

    async fn open(&self) -> Result<Workspace> {
        let store = RivetSqlSessionPersistDriver::open(&self.engine.actor).await?;
        let settings = &self.settings;
        let WorkspaceSandbox { sdk, session } = settings.sandbox_of(self.key.clone()).await?;
        let sdk = match sdk {
            Sdk::Connected(sdk) => sdk,
            Sdk::Builder(builder) => {
                let sessions = MirroredSessionPersistDriver::open(store.clone(), self.mirror.clone()).await;
                builder.persist(sessions).connect().await?
            }
        };
        let mut workspace = Workspace::builder(self.key.id.clone(), sdk)
            .persist(store)
            .authorize(SharedAuthorize(settings.authorize.clone()))
            .control(settings.control)
            .limits(settings.limits.clone());
        if let Some(session) = session.or_else(|| settings.session.clone()) {
            workspace = workspace.session(session);
        }
        for hook in &settings.hooks {
            workspace = workspace.hook(SharedHook(hook.clone()));
        }
        workspace.open().await
    }

    async fn opened(self: &Arc<Self>, workspace: Workspace) {
        // Before anybody can call, so that nobody misses what comes of that.
        let frames = workspace.host().frames();
        let awake = awake::Watch::begin(&workspace);
        let begun = frames.and_then(|frames| Ok((frames, awake?)));
        let (frames, awake) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.failed(workspace, error).await,
        };
        if !self.opening.set(Stage::Open(workspace.clone())) {
            return leave(&workspace, false).await;
        }
        self.tasks.spawn(awake.run(self.engine.clone(), self.stop.clone()));
        self.seat_all(&workspace);
        let host = self.clone();
        self.tasks.spawn(async move {
            let end = tokio::select! {
                end = broadcast::run(&host, frames) => end,
                () = host.stop.cancelled() => return,
            };
            host.failed(workspace, end).await;
        });
    }

    /// The workspace has stopped by itself: its store failed, or somebody else runs it.
    async fn failed(self: &Arc<Self>, workspace: Workspace, error: Error) {
        tracing::error!(workspace = %self.key.id, %error, "a workspace has stopped");
        self.doors.empty_seats();
        if timeout(self.settings.actor_limits.part, leave(&workspace, false)).await.is_err() {
            tracing::warn!(workspace = %self.key.id, "a workspace that stopped did not part from its sandbox in time");
        }
        let overtaken = matches!(error.kind(), ErrorKind::Overtaken);
        self.opening.set(Stage::Failed(error, Instant::now()));
        if overtaken {
            return self.engine.sleep();
        }
        // Those who only look on call nothing, and would wait for ever.
        tokio::select! {
            () = sleep(AGAIN) => if self.doors.seats() > 0 {
                self.begin_opening();
            },
            () = self.stop.cancelled() => {}
        }
    }
}

fn stopping() -> Error {
    Error::new(ErrorKind::Closed, "the workspace's actor goes to sleep; call again, which wakes it")
}

fn took_too_long(host: &Host) -> Error {
    let limit = host.settings.actor_limits.open;
    let message = format!("the workspace was not open within {limit:?}; see that its sandbox answers");
    Error::new(ErrorKind::TimedOut, message)
}
