//! Prompts: accepted once, sent once, followed to their end, also across a restart.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use sandbox_agent_sdk::{Delivery, ErrorKind as SdkErrorKind, Prompt, Session, Turn};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::control::{Control, ObserverPrompts};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Activity, ChatUser, FrameBody, State};
use crate::line::{Appended, Frames, Start, now_ms};
use crate::participant::{Participant, Person};
use crate::prompt::{Accepted, NewPrompt, Phase, PromptState};

/// What is on its way.
#[derive(Debug, Default)]
pub(crate) struct Prompts {
    /// How to withdraw each.
    stops: Mutex<HashMap<String, CancellationToken>>,
    /// The sessions that are being taken up, with what has to wait for that.
    waiting: Mutex<HashMap<String, Vec<(PromptState, String)>>>,
}

impl Prompts {
    fn stops(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Vec<(PromptState, String)>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Accepts a prompt; the frame that says it is stored when this returns.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        who: &Participant,
        free_hand: bool,
        prompt: NewPrompt,
    ) -> Result<Accepted> {
        self.check_prompt(&prompt)?;
        let session = self.session(prompt.session_id.as_deref())?;
        let _gate = self.gate.lock().await;
        self.check_open()?;
        if let Some(known) = self.line.tail.look(|now| now.prompt(&prompt.prompt_id).cloned()) {
            return Ok(Accepted::known(known));
        }
        let proposed = !free_hand && self.has_to_wait(who, prompt.term).await?;
        let waiting = self.line.tail.look(|now| now.prompts.len());
        if waiting >= self.limits.prompts {
            let message = format!("{waiting} prompts wait, which are as many as may; wait for one to end");
            return Err(Error::new(ErrorKind::Full, message));
        }
        let Person { id, name, .. } = &who.person;
        let chat = ChatUser {
            session_id: session.id().to_owned(),
            prompt_id: prompt.prompt_id.clone(),
            user_id: id.clone(),
            name: name.clone(),
            text: prompt.text.clone(),
            proposed,
            created_at: now_ms(),
        };
        let unique = format!("chat:{}", prompt.prompt_id);
        match self.line.append_once(&unique, FrameBody::ChatUser(chat)).await? {
            Appended::At(sequence) => {
                let phase = if proposed { Phase::Proposed } else { Phase::Queued };
                let state = PromptState::new(&prompt.prompt_id, session.id(), id, phase, sequence);
                if !proposed {
                    self.start(&session, state.clone(), prompt.text);
                }
                Ok(Accepted { prompt: state, known: false })
            }
            Appended::Known => self.finished(&session, &prompt.prompt_id, id).await,
        }
    }

    fn check_prompt(&self, prompt: &NewPrompt) -> Result<()> {
        if prompt.prompt_id.is_empty() || prompt.prompt_id.len() > 128 {
            return Err(Error::invalid("a prompt's id has 1 to 128 bytes, such as a UUID"));
        }
        let limit = self.limits.prompt_bytes;
        if json_length(&prompt.text) > limit {
            let message =
                format!("a prompt has at most {limit} bytes, as JSON has it; put the rest into a file");
            return Err(Error::new(ErrorKind::TooLarge { limit }, message));
        }
        Ok(())
    }

    /// Whether a prompt of theirs is a proposal. Control that is free becomes theirs.
    async fn has_to_wait(self: &Arc<Self>, who: &Participant, term: Option<u64>) -> Result<bool> {
        let control = self.line.tail.look(|now| now.control.clone());
        control.check_term(term)?;
        if control.is_driver(&who.person.id) {
            return Ok(false);
        }
        if control.is_free(&self.policy) && who.rights.can_control() {
            self.change_control(control.ask(&who.person, &self.policy)).await?;
            return Ok(false);
        }
        match self.policy.observers {
            ObserverPrompts::Refuse => control.check_driver(&who.person.id).map(|()| false),
            ObserverPrompts::Propose => Ok(!control.drivers.is_empty()),
        }
    }

    /// What is known of a prompt that was over long ago.
    async fn finished(&self, session: &Session, prompt_id: &str, by: &str) -> Result<Accepted> {
        let phase = match session.delivery(prompt_id).await? {
            Some(Delivery::Executed) => Phase::Done,
            _ => Phase::Unknown,
        };
        Ok(Accepted::known(PromptState::new(prompt_id, session.id(), by, phase, 0)))
    }

    /// Queues a prompt in its session: the order of calls is the order of turns.
    fn start(self: &Arc<Self>, session: &Session, state: PromptState, text: String) {
        if let Some(waiting) = self.prompts.waiting().get_mut(session.id()) {
            waiting.push((state, text));
            return;
        }
        let turn = session.prompt(Prompt::new(text).idempotency_key(&state.prompt_id));
        self.follow_turn(session, state, turn);
    }

    fn follow_turn(self: &Arc<Self>, session: &Session, state: PromptState, turn: Turn) {
        let stop = CancellationToken::new();
        self.prompts.stops().insert(state.prompt_id.clone(), stop.clone());
        let (inner, session) = (self.clone(), session.clone());
        self.tasks.spawn(async move {
            let id = state.prompt_id.clone();
            if let Err(error) = inner.see_through(&session, state, turn, stop).await {
                tracing::debug!(prompt = %id, %error, "how a prompt ended could not be shown");
            }
            inner.prompts.stops().remove(&id);
        });
    }

    async fn see_through(
        &self,
        session: &Session,
        mut state: PromptState,
        mut turn: Turn,
        stop: CancellationToken,
    ) -> Result<()> {
        let mut withdrawn = false;
        let begun = loop {
            tokio::select! {
                event = turn.next() => break matches!(event, Some(Ok(_))),
                () = self.stop.cancelled() => return Ok(()),
                () = stop.cancelled(), if !withdrawn => {
                    withdrawn = true;
                    turn.cancel().await?;
                }
            }
        };
        if begun {
            state.phase = Phase::Running;
            self.show_prompt(&state).await?;
        }
        let ended = loop {
            tokio::select! {
                ended = &mut turn => break ended,
                () = self.stop.cancelled() => return Ok(()),
                () = stop.cancelled(), if !withdrawn => {
                    withdrawn = true;
                    turn.cancel().await?;
                }
            }
        };
        match ended {
            Ok(response) => {
                state.phase = Phase::Done;
                state.stop_reason = serde_json::to_value(response.stop_reason)
                    .ok()
                    .and_then(|reason| reason.as_str().map(str::to_owned));
            }
            // The next one that opens the workspace finds out how it went.
            Err(error) if *error.kind() == SdkErrorKind::Closed && self.closing.load(Ordering::Relaxed) => {
                return Ok(());
            }
            Err(error) if *error.kind() == SdkErrorKind::Cancelled => state.phase = Phase::Withdrawn,
            Err(error)
                if *error.kind() == SdkErrorKind::DuplicatePrompt
                    && error.delivery() == Some(Delivery::Executed) =>
            {
                state.phase = Phase::Done;
            }
            Err(error) => {
                state.phase = Phase::Failed;
                state.error = Some(Error::from(error).to_failure());
            }
        }
        // Whoever sees the end has seen all of the turn.
        let all = timeout(self.limits.store, self.line.reached(session.id(), session.last_index()));
        tokio::select! {
            all = all => match all {
                Ok(reached) => reached?,
                Err(_) => tracing::warn!(session = %session.id(), "the end of a turn is told before all of it"),
            },
            () = self.stop.cancelled() => return Ok(()),
        }
        self.show_prompt(&state).await
    }

    async fn show_prompt(&self, prompt: &PromptState) -> Result<()> {
        let id = &prompt.session_id;
        let known = self.line.tail.look(|now| now.sessions.get(id).cloned());
        let (agent, state) = match self.session(Some(id)) {
            Ok(session) => (session.record().agent, Activity::from(*session.state().borrow())),
            // It is gone; its prompts are told of all the same.
            Err(_) => known.map_or((String::new(), Activity::Closed), |known| (known.agent, known.state)),
        };
        let state = State { session_id: id.clone(), agent, state, prompt: Some(prompt.clone()) };
        self.line.append(FrameBody::State(Box::new(state))).await.map(drop)
    }

    /// Ends a prompt that can't go to its agent.
    pub(super) async fn fail(&self, mut prompt: PromptState, error: &Error) -> Result<()> {
        prompt.phase = Phase::Failed;
        prompt.error = Some(error.to_failure());
        self.show_prompt(&prompt).await
    }

    /// Sends the proposals that control allows by now; behind the gate.
    pub(super) async fn accept_what_may_go(self: &Arc<Self>, control: &Control) -> Result<()> {
        let proposals = self.line.tail.look(|now| now.proposals().cloned().collect::<Vec<_>>());
        for proposal in proposals {
            if !control.drivers.is_empty() && !control.is_driver(&proposal.by) {
                continue;
            }
            if let Err(error) = self.send_proposal(proposal.clone()).await {
                self.fail(proposal, &error).await?;
            }
        }
        Ok(())
    }

    /// A driver, or whoever has a free hand, lets a proposal go to the agent.
    pub(crate) async fn accept_proposal(
        self: &Arc<Self>,
        by: Option<String>,
        prompt_id: String,
    ) -> Result<()> {
        let inner = self.clone();
        self.apart(async move {
            let _gate = inner.gate.lock().await;
            if let Some(by) = &by {
                inner.line.tail.look(|now| now.control.check_driver(by))?;
            }
            let proposal = inner
                .line
                .tail
                .look(|now| now.proposals().find(|proposal| proposal.prompt_id == prompt_id).cloned());
            inner.send_proposal(proposal.ok_or_else(|| no_prompt(&prompt_id))?).await
        })
        .await
    }

    /// Takes a prompt back that was not sent yet, or cancels its turn: one's own, or any for who drives.
    pub(crate) async fn withdraw(self: &Arc<Self>, by: Option<String>, prompt_id: String) -> Result<()> {
        let inner = self.clone();
        self.apart(async move {
            let _gate = inner.gate.lock().await;
            let known = inner.line.tail.look(|now| now.prompt(&prompt_id).cloned());
            let mut state =
                known.filter(|state| !state.phase.is_over()).ok_or_else(|| no_prompt(&prompt_id))?;
            if let Some(by) = by.filter(|by| *by != state.by) {
                inner.line.tail.look(|now| now.control.check_driver(&by))?;
            }
            if state.phase == Phase::Proposed {
                state.phase = Phase::Withdrawn;
                return inner.show_prompt(&state).await;
            }
            match inner.prompts.stops().get(&prompt_id) {
                Some(stop) => stop.cancel(),
                None => return Err(Error::new(ErrorKind::Full, "its session is being taken up; try again")),
            }
            Ok(())
        })
        .await
    }

    async fn send_proposal(self: &Arc<Self>, mut proposal: PromptState) -> Result<()> {
        let session = self.session(Some(&proposal.session_id))?;
        match self.said(&proposal).await? {
            Some(text) => {
                proposal.phase = Phase::Queued;
                self.show_prompt(&proposal).await?;
                self.start(&session, proposal, text);
                Ok(())
            }
            None => self.fail(proposal, &forgotten()).await,
        }
    }

    /// What a prompt says, as the line has it; `None` when that was evicted.
    async fn said(&self, prompt: &PromptState) -> Result<Option<String>> {
        let start = Start::After(prompt.sequence.saturating_sub(1));
        let mut frames = Frames::new(self.line.tail.clone(), self.line.store.clone(), start)?;
        Ok(match frames.recv().await {
            Some(frame) => match &frame?.body {
                FrameBody::ChatUser(chat) if chat.prompt_id == prompt.prompt_id => Some(chat.text.clone()),
                _ => None,
            },
            None => None,
        })
    }

    /// Whether a session is being taken up.
    pub(super) fn is_being_taken_up(&self, session_id: &str) -> bool {
        self.prompts.waiting().contains_key(session_id)
    }

    /// From now on prompts of this session wait until [`go_on`](Self::go_on) is done.
    pub(super) fn hold_prompts(&self, session_id: &str) {
        self.prompts.waiting().entry(session_id.to_owned()).or_default();
    }

    /// Goes on with prompts that were accepted before the workspace was opened, then with those that waited.
    pub(super) async fn go_on(
        self: &Arc<Self>,
        session: &Session,
        unfinished: Vec<PromptState>,
        taken_up: bool,
    ) {
        if let Err(error) = self.take_up_prompts(session, unfinished).await {
            tracing::warn!(session = %session.id(), %error, "prompts of before could not be taken up");
        }
        let gate = self.gate.lock().await;
        let waiting = self.prompts.waiting().remove(session.id()).unwrap_or_default();
        for (state, text) in waiting {
            self.start(session, state, text);
        }
        drop(gate);
        // What the agent still waits for is listed again by now.
        if taken_up && let Err(error) = self.reconcile(session).await {
            tracing::debug!(session = %session.id(), %error, "permissions of before stay listed");
        }
    }

    async fn take_up_prompts(
        self: &Arc<Self>,
        session: &Session,
        unfinished: Vec<PromptState>,
    ) -> Result<()> {
        let mut running = session.running_turn();
        let mut of_running = None;
        if running.is_some() {
            for prompt in &unfinished {
                // The newest that the agent has is the one that runs.
                if let Some(Delivery::Unknown | Delivery::Executed) =
                    session.delivery(&prompt.prompt_id).await?
                {
                    of_running = Some(prompt.prompt_id.clone());
                }
            }
        }
        for prompt in unfinished {
            if of_running.as_ref() == Some(&prompt.prompt_id)
                && let Some(turn) = running.take()
            {
                self.follow_turn(session, prompt, turn);
                continue;
            }
            let said = match self.said(&prompt).await {
                Ok(said) => said,
                Err(error) => {
                    self.fail(prompt, &error).await?;
                    continue;
                }
            };
            match said {
                Some(text) => {
                    let turn = session.prompt(Prompt::new(text).idempotency_key(&prompt.prompt_id));
                    self.follow_turn(session, prompt, turn);
                }
                None => self.fail(prompt, &forgotten()).await?,
            }
        }
        Ok(())
    }
}

fn no_prompt(id: &str) -> Error {
    Error::not_found(format!("no prompt {id:?} waits or runs; it is over, or was never sent"))
}

/// The error of a prompt that the store no longer has.
fn forgotten() -> Error {
    let message = "the store dropped this prompt before it was sent; send it again under another id";
    Error::new(ErrorKind::Store, message).with_delivery(Delivery::NotSent)
}

/// How many bytes a text is as JSON, without the quotes around it: a control character is six.
fn json_length(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}
