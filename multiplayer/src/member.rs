//! What somebody who was let in can do.

use std::fmt;

use sandbox_agent_sdk::{PermissionReply, SessionRequest};

use crate::call::Page;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::line::{self, Frames, Start};
use crate::participant::{Participant, Rights};
use crate::prompt::{Accepted, NewPrompt};
use crate::snapshot::Snapshot;
use crate::workspace::Workspace;

/// The most frames that one page has.
const PAGE: usize = 1000;

/// Somebody who takes part in a workspace: the same calls, whether in this process or behind a host.
///
/// Each call is checked against their rights, and against who drives. Nothing of it needs to be awaited
/// to its end: what was accepted happens also when the call is dropped. Each is bounded by
/// [`Limits::store`](crate::Limits::store), and by what comes before it in the line.
pub struct Member {
    workspace: Workspace,
    participant: Participant,
    /// Whether who drives does not matter.
    free_hand: bool,
    /// Whether they show among those who are here.
    seated: bool,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("workspace", &self.workspace.id())
            .field("participant", &self.participant)
            .finish_non_exhaustive()
    }
}

impl Member {
    pub(crate) fn new(workspace: Workspace, participant: Participant) -> Self {
        Self { workspace, participant, free_hand: false, seated: false }
    }

    pub(crate) fn host(workspace: Workspace, participant: Participant) -> Self {
        let mut host = Self::new(workspace, participant);
        host.free_hand = true;
        host
    }

    pub(crate) async fn arrive(mut self) -> Result<Self> {
        self.seated = true;
        let inner = self.workspace.inner.clone();
        inner.sit(&self.participant);
        let shown = inner.clone();
        inner.apart(async move { shown.show_presence().await }).await?;
        Ok(self)
    }

    /// Who they are, and what they may do.
    pub fn participant(&self) -> &Participant {
        &self.participant
    }

    /// The workspace.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// What the workspace is like now, and every frame behind that.
    pub fn subscribe(&self) -> Result<(Snapshot, Frames)> {
        let snapshot = self.snapshot()?;
        let frames = self.frames_after(snapshot.sequence)?;
        Ok((snapshot, frames))
    }

    /// What the workspace is like now.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.need(Rights::can_see, "look on")?;
        Ok(self.workspace.snapshot())
    }

    /// An error where the [line](crate::Snapshot::line) that somebody read before is another one than this
    /// workspace's: [`OtherLine`](crate::ErrorKind::OtherLine). Who names none is not checked.
    pub fn check_line(&self, line: Option<&str>) -> Result<()> {
        let same = line.is_none_or(|line| self.workspace.inner.line.tail.look(|now| now.line == line));
        if same { Ok(()) } else { Err(Error::other_line()) }
    }

    /// Every frame after this one; 0 is before the first. A frame that is not there yet is
    /// [`FutureSequence`](crate::ErrorKind::FutureSequence).
    pub fn frames_after(&self, sequence: u64) -> Result<Frames> {
        self.need(Rights::can_see, "look on")?;
        self.workspace.frames(Start::After(sequence))
    }

    /// Every frame from now on.
    pub fn frames(&self) -> Result<Frames> {
        self.need(Rights::can_see, "look on")?;
        self.workspace.frames(Start::Now)
    }

    /// A page of stored frames after this one: at most `limit` (1,000), and at most `bytes` of JSON or one frame.
    pub async fn page(&self, after: u64, limit: usize, bytes: usize) -> Result<Page> {
        let frames = line::page(self.frames_after(after)?, limit.clamp(1, PAGE), bytes).await?;
        let (last, line) = self.workspace.inner.line.tail.look(|now| (now.sequence, now.line.clone()));
        Ok(Page { frames, last, line })
    }

    /// Says something to an agent. It is stored, and everybody sees it, when this returns; how it goes on is
    /// told by [`State`](crate::State) frames. The same id again changes nothing and says how far it is.
    ///
    /// Needs [`Rights::PROMPT`] and control; where nobody drives, who may have control takes it by this.
    pub async fn prompt(&self, prompt: NewPrompt) -> Result<Accepted> {
        self.need(Rights::can_prompt, "send prompts")?;
        // Apart, so that a call that is dropped can't leave a prompt half accepted.
        let (inner, who, free_hand) =
            (self.workspace.inner.clone(), self.participant.clone(), self.free_hand);
        let accepting = inner.clone();
        inner.apart(async move { accepting.accept(&who, free_hand, prompt).await }).await
    }

    /// Cancels the turn that runs in a session; the first one unless told.
    pub async fn cancel(&self, session_id: Option<&str>) -> Result<()> {
        self.need(Rights::can_prompt, "cancel turns")?;
        let session = self.workspace.inner.session(session_id)?;
        if !self.drives() {
            let own = self.workspace.inner.line.tail.look(|now| {
                let running = now.prompts.iter().find(|prompt| {
                    prompt.session_id == session.id() && prompt.phase == crate::Phase::Running
                });
                running.is_some_and(|prompt| prompt.by == self.id())
            });
            if !own {
                self.need_control()?;
            }
        }
        session.cancel();
        Ok(())
    }

    /// Takes a prompt back that was not sent yet, or cancels its turn: one of their own, or any for who drives.
    pub async fn withdraw(&self, prompt_id: &str) -> Result<()> {
        self.need(Rights::can_prompt, "withdraw prompts")?;
        self.workspace.inner.withdraw(self.bound_by_control(), prompt_id.to_owned()).await
    }

    /// Lets a proposal of somebody else go to the agent.
    pub async fn accept_proposal(&self, prompt_id: &str) -> Result<()> {
        self.need(Rights::can_prompt, "accept proposals")?;
        self.workspace.inner.accept_proposal(self.bound_by_control(), prompt_id.to_owned()).await
    }

    /// Answers a permission; the first answer counts. Needs [`Rights::ANSWER`], and control where somebody
    /// drives and the [policy](crate::ControlPolicy::observers_answer) says no more.
    pub async fn respond_permission(
        &self,
        session_id: &str,
        permission_id: &str,
        reply: PermissionReply,
    ) -> Result<()> {
        self.need(Rights::can_answer, "answer permissions")?;
        let inner = &self.workspace.inner;
        let nobody = inner.line.tail.look(|now| now.control.drivers.is_empty());
        if !nobody && !inner.policy.observers_answer {
            self.need_control()?;
        }
        inner.answer(self.id().to_owned(), session_id.to_owned(), permission_id.to_owned(), reply).await
    }

    /// Asks for control: it is theirs at once where it is free, and else when their turn comes.
    pub async fn request_control(&self) -> Result<Control> {
        self.need(Rights::can_control, "have control")?;
        self.workspace.inner.request_control(self.participant.person.clone()).await
    }

    /// Hands control to somebody who is here or has asked.
    pub async fn give_control(&self, to: &str) -> Result<Control> {
        let from = self.id().to_owned();
        self.workspace.inner.give_control(from, to.to_owned(), self.free_hand).await
    }

    /// Takes control: from somebody who is away, or, where the [policy](crate::ControlPolicy::take) allows it,
    /// from somebody who is here.
    pub async fn take_control(&self) -> Result<Control> {
        self.need(Rights::can_take, "take control")?;
        self.workspace.inner.take_control(self.participant.person.clone(), self.free_hand).await
    }

    /// Lets control go, or gives up asking for it. With a term, only if that is still in force.
    pub async fn release_control(&self, term: Option<u64>) -> Result<Control> {
        self.workspace.inner.release_control(self.id().to_owned(), term).await
    }

    /// Opens a session of the workspace, or a new one. Needs control. A session that the store has and the
    /// workspace has not is somebody else's: only its host can take it in, by
    /// [`Workspace::open_session`].
    pub async fn open_session(&self, request: SessionRequest) -> Result<()> {
        self.need(Rights::can_prompt, "open sessions")?;
        self.need_control()?;
        let id = request.id();
        if self.workspace.inner.line.tail.look(|now| now.sessions.contains_key(id)) {
            return self.workspace.open_session(request).await.map(drop);
        }
        if id.starts_with(line::PREFIX) {
            return Err(Error::invalid(format!(
                "an id that begins with {:?} is a workspace's own",
                line::PREFIX
            )));
        }
        self.workspace.new_session(request).await.map(drop)
    }

    /// Who has to drive for what they do; nobody, with a free hand.
    fn bound_by_control(&self) -> Option<String> {
        (!self.free_hand).then(|| self.id().to_owned())
    }

    pub(crate) fn id(&self) -> &str {
        &self.participant.person.id
    }

    pub(crate) fn need(&self, may: impl FnOnce(Rights) -> bool, what: &str) -> Result<()> {
        self.workspace.inner.check_open()?;
        if may(self.participant.rights) {
            return Ok(());
        }
        Err(Error::refused(format!("{:?} may not {what}; ask the workspace's host for the right", self.id())))
    }

    pub(crate) fn need_control(&self) -> Result<()> {
        if self.free_hand {
            return Ok(());
        }
        self.workspace.inner.line.tail.look(|now| now.control.check_driver(self.id()))
    }

    fn drives(&self) -> bool {
        self.need_control().is_ok()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.seated {
            self.workspace.inner.leave(&self.participant.person);
        }
    }
}
