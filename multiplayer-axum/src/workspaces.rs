//! The workspaces that a host has, and those that it opens when somebody comes.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use sandbox_agent_multiplayer::{ConnectionRequest, Error, ErrorKind, Result, Workspace};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections get to be closed.
const SHUTDOWN: Duration = Duration::from_secs(5);

type Opener = dyn Fn(ConnectionRequest) -> BoxFuture<'static, Result<Workspace>> + Send + Sync;

/// The workspaces that a host serves, by id. A cheap clone, and all clones are the same.
///
/// Taking a workspace out, or dropping this, closes no workspace.
#[derive(Clone)]
pub struct Workspaces {
    shelf: Arc<Shelf>,
    opener: Option<Arc<Opener>>,
    /// Ends the connections.
    pub(crate) stop: CancellationToken,
    pub(crate) connections: TaskTracker,
}

#[derive(Default)]
struct Shelf {
    open: Mutex<HashMap<String, Workspace>>,
    /// Held while one is being opened, so that it is opened once.
    opening: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl fmt::Debug for Workspaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.shelf.open().keys().cloned().collect();
        f.debug_struct("Workspaces").field("open", &ids).finish_non_exhaustive()
    }
}

impl Default for Workspaces {
    fn default() -> Self {
        Self::new()
    }
}

impl Workspaces {
    /// None yet.
    pub fn new() -> Self {
        Self {
            shelf: Arc::default(),
            opener: None,
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
        }
    }

    /// Opens those that are not here when somebody comes for them, once however many come at once.
    ///
    /// The function is asked before anybody is let in, with the token that they brought: it has to refuse
    /// what it doesn't know, or whoever makes up ids has workspaces opened. It runs to its end also when
    /// they leave. A workspace that was closed, or whose store failed, is opened again. Where several share a store,
    /// each needs a session of a name of its own: one that another has is refused.
    #[must_use]
    pub fn open_with<F, R>(mut self, open: F) -> Self
    where
        F: Fn(ConnectionRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Workspace>> + Send + 'static,
    {
        self.opener = Some(Arc::new(move |request| Box::pin(open(request))));
        self
    }

    /// Serves this one; gives the one that it takes the place of.
    pub fn insert(&self, workspace: Workspace) -> Option<Workspace> {
        self.shelf.open().insert(workspace.id().to_owned(), workspace)
    }

    /// Serves this one no more to whoever comes from now on; those who are connected stay.
    pub fn remove(&self, id: &str) -> Option<Workspace> {
        self.shelf.open().remove(id)
    }

    /// The one with this id, if it is here.
    pub fn get(&self, id: &str) -> Option<Workspace> {
        self.shelf.open().get(id).cloned()
    }

    /// Closes all connections, takes no more, and waits for them, 5 s at most. The workspaces stay open.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.connections.close();
        // What still hangs then is dropped with the runtime.
        let _ = tokio::time::timeout(SHUTDOWN, self.connections.wait()).await;
    }

    /// Waits until [`shutdown`](Self::shutdown) was called; for a server's graceful shutdown, which
    /// [`overdue`](Self::overdue) bounds.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.clone().cancelled_owned()
    }

    /// Waits until [`shutdown`](Self::shutdown) was called, and 5 s more; for a server that then ends all the
    /// same. A client that reads nothing keeps its HTTP connection open for as long as it likes, and axum's
    /// graceful shutdown waits for every one.
    pub fn overdue(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.stopped();
        async move {
            stopped.await;
            tokio::time::sleep(SHUTDOWN).await;
        }
    }

    pub(crate) fn check_serving(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Error::new(ErrorKind::Closed, "this server is ending; connect again"));
        }
        Ok(())
    }

    /// The one that somebody comes for.
    pub(crate) async fn find(&self, request: &ConnectionRequest) -> Result<Workspace> {
        self.check_serving()?;
        let id = &request.workspace;
        let (known, opener) = match (self.get(id), &self.opener) {
            (Some(known), _) if known.is_open() => return Ok(known),
            (known, Some(opener)) => (known, opener.clone()),
            // Its own error says best what became of it.
            (Some(known), None) => return Ok(known),
            (None, None) => {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no workspace {id:?}")));
            }
        };
        drop(known);
        let (shelf, request) = (self.shelf.clone(), request.clone());
        // Apart, so that nobody's leaving stops it halfway for those who wait with them.
        let opening = tokio::spawn(async move { shelf.open_once(&*opener, request).await });
        opening.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Sandbox, "opening the workspace failed")))
    }
}

impl Shelf {
    async fn open_once(&self, opener: &Opener, request: ConnectionRequest) -> Result<Workspace> {
        let id = request.workspace.clone();
        let turn = self.opening().entry(id.clone()).or_default().clone();
        let held = turn.lock().await;
        let before = self.open().get(&id).filter(|known| known.is_open()).cloned();
        let opened = match before {
            Some(before) => Ok(before),
            None => opener(request).await,
        };
        if let Ok(workspace) = &opened {
            self.open().insert(id.clone(), workspace.clone());
        }
        drop(held);
        let mut opening = self.opening();
        // The map's, and this one: nobody waits.
        if Arc::strong_count(&turn) <= 2 {
            opening.remove(&id);
        }
        opened
    }

    /// Nothing panics while it holds a lock, and the maps are whole at every step.
    fn open(&self) -> MutexGuard<'_, HashMap<String, Workspace>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opening(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
