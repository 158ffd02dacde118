//! A workspace: one SDK, its sessions, and everybody who takes part.
//!
//! ```text
//! sessions → pump ┐
//! members  → gate ┴→ line → subscribers, hook
//! ```
//!
//! What members change (prompts, control, presence) is decided one at a time, behind the gate, by what
//! the line says at that moment; what comes of it is a frame, and nothing else.

mod answers;
mod builder;
mod claim;
mod driving;
mod hook;
mod opening;
mod presence;
mod processes;
mod prompts;
mod pump;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_sdk::{SandboxAgent, Session, SessionRequest, SessionState};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use builder::WorkspaceBuilder;
pub use hook::Hook;

use crate::authorize::{Authorize, ConnectionRequest};
use crate::call::Call;
use crate::control::ControlPolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Activity, FrameBody, State};
use crate::limits::Limits;
use crate::line::{Frames, Line, Start};
use crate::member::Member;
use crate::participant::{Participant, Person, Rights};
use crate::snapshot::Snapshot;
use presence::Presences;

/// Many people and programs on the sessions of one SDK. A cheap clone.
///
/// It lives as long as any clone or [`Member`] of it; the last one that goes detaches nothing and ends
/// nothing by itself: [`close`](Self::close) and [`detach`](Self::detach) do. One process at a time runs a
/// workspace; where two do, the one that writes second stops with [`Overtaken`](ErrorKind::Overtaken).
#[derive(Clone)]
pub struct Workspace {
    pub(crate) inner: Arc<Inner>,
    /// None in the hands of what the workspace runs itself, which must not keep it alive.
    _guard: Option<Arc<DropGuard>>,
}

pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) sdk: SandboxAgent,
    pub(crate) line: Line,
    pub(crate) limits: Limits,
    pub(crate) policy: ControlPolicy,
    authorize: Arc<dyn Authorize>,
    /// The session that prompts go to unless they name one.
    first: String,
    sessions: Mutex<HashMap<String, Adopted>>,
    /// How many it has taken in.
    adopted: AtomicU64,
    /// Held while a member's call is decided.
    gate: tokio::sync::Mutex<()>,
    presences: Mutex<Presences>,
    answering: answers::Answering,
    prompts: prompts::Prompts,
    /// Ends what the workspace does by itself.
    stop: CancellationToken,
    /// Ends the line, after that.
    end_line: CancellationToken,
    /// Ends hooks that are not through by then.
    end_hooks: CancellationToken,
    /// Whether it is being closed, so that turns that end by it are not over.
    closing: AtomicBool,
    tasks: TaskTracker,
    hooks: TaskTracker,
    /// The one that the workspace was opened in.
    runtime: Handle,
}

/// A session that the workspace has taken in.
pub(crate) struct Adopted {
    pub(crate) session: Session,
    /// Which of all that it has taken in: an id may come again.
    number: u64,
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl Workspace {
    /// A workspace with this id, on this SDK; [`open`](WorkspaceBuilder::open) opens it.
    pub fn builder(id: impl Into<String>, sdk: SandboxAgent) -> WorkspaceBuilder {
        WorkspaceBuilder::new(id.into(), sdk)
    }

    /// The handle of what it runs itself.
    fn of(inner: Arc<Inner>) -> Self {
        Self { inner, _guard: None }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The SDK that it owns.
    pub fn sdk(&self) -> &SandboxAgent {
        &self.inner.sdk
    }

    /// Whether it goes on: it was not closed, and its store did not fail.
    pub fn is_open(&self) -> bool {
        self.inner.check_open().is_ok()
    }

    /// What it is like now.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.line.tail.snapshot()
    }

    /// Asks the hook who this is, and what they may do.
    ///
    /// Bounded by [`Limits::authorize`]; then, and where the hook says no, the error is
    /// [`Refused`](ErrorKind::Refused).
    pub async fn authorize(&self, request: &ConnectionRequest) -> Result<Participant> {
        if let Some(end) = self.inner.line.tail.end() {
            return Err(end.error());
        }
        match timeout(self.inner.limits.authorize, self.inner.authorize.connect(request)).await {
            Ok(Ok(participant)) if participant.person.id.is_empty() => {
                Err(Error::invalid("the hook let somebody in without an id"))
            }
            Ok(answer) => answer,
            Err(_) => Err(Error::refused("who this is could not be found out in time; try again")),
        }
    }

    /// Asks the hook whether they may make this call now. Bounded by [`Limits::authorize`].
    pub(crate) async fn allow(&self, participant: &Participant, call: &Call) -> Result<()> {
        let asked = self.inner.authorize.allow(participant, call);
        match timeout(self.inner.limits.authorize, asked).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(Error::refused("whether this is allowed could not be found out in time; try again"))
            }
        }
    }

    /// Lets somebody in by the hook, whatever workspace the request names, and shows that they are here until the member is dropped.
    ///
    /// Bounded by [`Limits::authorize`], and [`Limits::store`] for the frame that shows it.
    pub async fn join(&self, request: &ConnectionRequest) -> Result<Member> {
        let participant = self.authorize(request).await?;
        self.seat(participant).await
    }

    /// Lets somebody in whom the caller knows, and shows that they are here until the member is dropped.
    pub async fn seat(&self, participant: Participant) -> Result<Member> {
        let member = Member::new(self.clone(), participant);
        member.arrive().await
    }

    /// Somebody whom the caller knows, for a call or two: they don't show among those who are here, and control
    /// that they get is free again after [`Limits::grace`] unless they take a seat.
    pub fn visit(&self, participant: Participant) -> Member {
        Member::new(self.clone(), participant)
    }

    /// The program that hosts the workspace: it may do everything, whoever drives.
    pub fn host(&self) -> Member {
        Member::host(self.clone(), Participant::new(Person::program("host"), Rights::OWNER))
    }

    /// Opens another session of the workspace, or the one that it has under this id. One that the store has for
    /// another workspace is [`InvalidInput`](ErrorKind::InvalidInput).
    ///
    /// Bounded as [`SandboxAgent::resume_or_create_session`] is.
    pub async fn open_session(&self, request: SessionRequest) -> Result<Session> {
        if let Some(session) = self.inner.sdk.get_session(request.id()).await? {
            // Before anything of the request is done to it.
            self.inner.claim(&session).await?;
        }
        let session = self.inner.sdk.resume_or_create_session(request).await?;
        self.take_in(session).await
    }

    /// Takes in a session that is new to the store.
    pub(crate) async fn new_session(&self, request: SessionRequest) -> Result<Session> {
        self.take_in(self.inner.sdk.create_session(request).await?).await
    }

    async fn take_in(&self, session: Session) -> Result<Session> {
        let (inner, adopted) = (self.inner.clone(), session.clone());
        self.inner.apart(async move { inner.adopt(adopted).await }).await?;
        Ok(session)
    }

    /// A session of the workspace.
    pub fn session(&self, id: &str) -> Option<Session> {
        self.inner.sessions().get(id).map(|adopted| adopted.session.clone())
    }

    /// Ends the sandbox's agent processes and the line; what is stored stays, and can be opened again.
    ///
    /// Bounded as [`SandboxAgent::close`] is, and by [`Limits::store`] for what is still to be stored.
    pub async fn close(&self) -> Result<()> {
        self.inner.closing.store(true, Ordering::Relaxed);
        let closed = self.inner.sdk.close().await;
        self.inner.end().await;
        Ok(closed?)
    }

    /// Ends the line and leaves the agent processes running, to be found again by the next one that opens it.
    ///
    /// Bounded as [`close`](Self::close) is.
    pub async fn detach(&self) -> Result<()> {
        self.inner.closing.store(true, Ordering::Relaxed);
        let detached = self.inner.sdk.detach().await;
        self.inner.end().await;
        Ok(detached?)
    }

    pub(crate) fn frames(&self, start: Start) -> Result<Frames> {
        Frames::new(self.inner.line.tail.clone(), self.inner.line.store.clone(), start)
    }
}

impl Inner {
    /// A session of this workspace, the first one unless told.
    pub(crate) fn session(&self, id: Option<&str>) -> Result<Session> {
        let id = id.unwrap_or(&self.first);
        self.sessions().get(id).map(|adopted| adopted.session.clone()).ok_or_else(|| {
            if id.is_empty() {
                return Error::not_found(format!(
                    "workspace {:?} has no session yet; open one there",
                    self.id
                ));
            }
            Error::not_found(format!("workspace {:?} has no session {id:?}; open it there", self.id))
        })
    }

    /// Takes a session in: from now on what happens in it is in the line.
    pub(crate) async fn adopt(self: &Arc<Self>, session: Session) -> Result<()> {
        self.claim(&session).await?;
        let id = session.id().to_owned();
        let number = {
            let mut sessions = self.sessions();
            match sessions.get(&id) {
                Some(known) if *known.session.state().borrow() != SessionState::Closed => return Ok(()),
                _ => {}
            }
            let number = self.adopted.fetch_add(1, Ordering::Relaxed);
            sessions.insert(id.clone(), Adopted { session: session.clone(), number });
            number
        };
        let agent = session.record().agent;
        let state = Activity::from(*session.state().borrow());
        let frame = FrameBody::State(Box::new(State { session_id: id.clone(), agent, state, prompt: None }));
        if let Err(error) = self.line.append(frame).await {
            self.sessions().remove(&id);
            return Err(error);
        }
        self.tasks.spawn(pump::run(self.clone(), session, number));
        Ok(())
    }

    /// Ends what runs, then the line, in this order, so that the last of it is in the line.
    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.end_line.cancel();
        self.line.ended().await;
        // They get what is left of the line, and no more time than the store does.
        self.hooks.close();
        let _in_time = timeout(self.limits.store, self.hooks.wait()).await;
        self.end_hooks.cancel();
    }

    /// Runs to its end, also when the call that began it is dropped: what is decided behind the gate is not
    /// left half done.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.tasks.spawn(work).await.unwrap_or_else(|_| Err(Error::closed()))
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        match self.line.tail.end() {
            Some(end) => Err(end.error()),
            None if self.stop.is_cancelled() => {
                Err(Error::new(ErrorKind::Closed, "the workspace is closing"))
            }
            None => Ok(()),
        }
    }

    /// Nothing panics while it holds the lock, and the map is whole at every step.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, HashMap<String, Adopted>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
