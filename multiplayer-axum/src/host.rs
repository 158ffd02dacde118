//! The routes, and what stands before each.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sandbox_agent_multiplayer::{ConnectionRequest, Error, ErrorKind, Member, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Refusal;
use crate::options::HostOptions;
use crate::workspaces::Workspaces;
use crate::{calls, events, request, socket};

/// Serves these workspaces; nest it where you want it.
///
/// Every [option](HostOptions) has its default. See the [crate](crate) for the routes.
pub fn workspace_router(workspaces: Workspaces) -> Router {
    workspace_router_with(workspaces, HostOptions::default())
}

/// The same with options.
pub fn workspace_router_with(workspaces: Workspaces, options: HostOptions) -> Router {
    let room = Arc::new(Semaphore::new(options.connections.min(Semaphore::MAX_PERMITS)));
    let limit = DefaultBodyLimit::max(options.message_bytes);
    let host = Host { workspaces, options: Arc::new(options), room };
    Router::new()
        .route("/{workspace}/ws", get(socket::upgrade))
        .route("/{workspace}/events", get(events::stream))
        .route("/{workspace}/snapshot", get(calls::snapshot))
        .route("/{workspace}/calls/{action}", post(calls::call).layer(limit))
        .layer(middleware::from_fn_with_state(host.clone(), check_origin))
        .with_state(host)
}

/// What all routes share.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) workspaces: Workspaces,
    pub(crate) options: Arc<HostOptions>,
    room: Arc<Semaphore>,
}

impl Host {
    /// A place among those who are served at once.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit> {
        self.workspaces.check_serving()?;
        self.room.clone().try_acquire_owned().map_err(|_| {
            let most = self.options.connections;
            Error::new(
                ErrorKind::Full,
                format!("{most} are connected, which are as many as may; try again later"),
            )
        })
    }

    /// Somebody for a call or two.
    pub(crate) async fn visitor(&self, request: &ConnectionRequest) -> Result<Member, Refusal> {
        let known = request.token.is_some();
        let refuse = |error| Refusal::new(error, known);
        let workspace = self.workspaces.find(request).await.map_err(refuse)?;
        let participant = workspace.authorize(request).await.map_err(refuse)?;
        Ok(workspace.visit(participant))
    }
}

async fn check_origin(State(host): State<Host>, request: Request, next: Next) -> Response {
    match request::check_origin(request.headers(), &host.options) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal::from(error).into_response(),
    }
}
