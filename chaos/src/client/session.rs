//! One session, from its first opening to its last prompt.

use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::{
    Delivery, ErrorKind, PermissionPolicy, PermissionReply, Prompt, SandboxAgent, Session, SessionRequest,
    Turn,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::past::Past;
use super::readers::Readers;
use super::{AGAIN, Calls};
use crate::limits;
use crate::log::Line;
use crate::plan::{Permissions, PromptPlan, SessionPlan, Wait};

/// How often a prompt that was not sent is sent again.
const TRIES: u32 = 4;
/// How often a session is opened in vain, and a last prompt sent in vain, once all is well.
const LAST_TRIES: u32 = 4;

pub(super) struct SessionLife<'a> {
    sdk: &'a SandboxAgent,
    plan: &'a SessionPlan,
    past: &'a Past,
    calls: Calls,
    healed: watch::Receiver<bool>,
    session: Option<Session>,
    readers: Readers,
    /// Turns that the plan doesn't wait for.
    turns: JoinSet<()>,
    /// Who answers permissions.
    answering: JoinSet<()>,
}

impl<'a> SessionLife<'a> {
    pub(super) fn new(
        sdk: &'a SandboxAgent,
        plan: &'a SessionPlan,
        past: &'a Past,
        calls: Calls,
        healed: watch::Receiver<bool>,
    ) -> Self {
        let readers = Readers::new(calls.clone());
        Self {
            sdk,
            plan,
            past,
            calls,
            healed,
            session: None,
            readers,
            turns: JoinSet::new(),
            answering: JoinSet::new(),
        }
    }

    /// Gives back the readers, to be ended when the SDK is closed.
    pub(super) async fn live(mut self) -> Readers {
        let plan = self.plan;
        for (number, prompt) in plan.prompts.iter().enumerate() {
            if !self.past.wants(&plan.id, number, prompt) {
                continue;
            }
            sleep(prompt.pause).await;
            if plan.detach == Some(number) {
                self.detach().await;
            }
            if number == plan.late_reader
                && let Some(session) = self.opened().await
            {
                self.readers.stream(&session, 0);
            }
            self.prompt(number, prompt).await;
        }
        // It fails when nobody can say so any more: then the end has come.
        let _ = self.healed.wait_for(|healed| *healed).await;
        self.last_prompt().await;
        if let Some(session) = self.session.take() {
            self.readers.catch_up(session.last_index()).await;
        }
        self.readers
    }

    /// Lets go of the session; a turn that runs is left to itself.
    async fn detach(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        let detaching = self.sdk.detach_session(&self.plan.id);
        if let Some(Err(error)) = self.calls.bounded("detach_session", limits::CLOSING, detaching).await {
            self.calls.log.write(Line::Trouble { kind: format!("detach failed: {error:?}") });
        }
        self.calls.log.write(Line::Trouble { kind: "detach".to_owned() });
    }

    /// The session; opened when there is none, or when the one that was there has ended.
    async fn opened(&mut self) -> Option<Session> {
        if let Some(session) = &self.session {
            return Some(session.clone());
        }
        let mut tries = 0;
        loop {
            let healed = *self.healed.borrow();
            match self.open().await? {
                Ok(session) => return Some(session),
                Err(error) => {
                    let session = self.plan.id.clone();
                    self.calls.log.write(Line::NotOpened { session, error });
                }
            }
            tries += u32::from(healed);
            if tries == LAST_TRIES {
                return None;
            }
            sleep(AGAIN).await;
        }
    }

    async fn open(&mut self) -> Option<Result<Session, String>> {
        let policy = match self.plan.permissions {
            Permissions::Policy => PermissionPolicy::Allow,
            Permissions::Answered | Permissions::Ignored => PermissionPolicy::Ask,
        };
        let request = SessionRequest::new(&self.plan.id, "mock").cwd("/tmp").permissions(policy);
        let opening = self.sdk.resume_or_create(request);
        let opened = match self.calls.bounded("resume_or_create", limits::OPENING, opening).await? {
            Ok(opened) => opened,
            Err(error) => return Some(Err(format!("{error:?}"))),
        };
        let session = opened.session;
        let outcome = format!("{:?}", opened.outcome);
        self.calls.log.write(Line::Opened { session: self.plan.id.clone(), outcome });
        self.readers.end();
        self.readers.stream(&session, 0);
        self.readers.stream(&session, session.last_index());
        if self.plan.callback {
            self.readers.callback(&session);
        }
        if self.plan.permissions == Permissions::Answered {
            self.answering.abort_all();
            self.answering.spawn(answer(session.clone()));
        }
        if let Some(turn) = session.running_turn() {
            let calls = self.calls.clone();
            self.turns.spawn(async move {
                // Whose outcome it is, the record says.
                let _ = calls.bounded("a turn that was found running", limits::PROMPT, turn).await;
            });
        }
        self.session = Some(session.clone());
        Some(Ok(session))
    }

    async fn prompt(&mut self, number: usize, plan: &PromptPlan) {
        for _ in 0..TRIES {
            let Some(session) = self.opened().await else { return };
            let prompt = Prompt::new(plan.text.as_str());
            let prompt = match &plan.key {
                Some(key) => prompt.idempotency_key(key),
                None => prompt,
            };
            let settling = Settling { session: session.clone(), number, calls: self.calls.clone() };
            settling.log_prompt(&plan.text);
            let turn = session.prompt(prompt);
            if plan.wait == Wait::Drop {
                // Its outcome is looked at apart; a kill may come before it.
                self.turns.spawn(async move {
                    settling.settle(turn, Wait::Await, None).await;
                });
                return;
            }
            match settling.settle(turn, plan.wait, plan.cancel_after).await {
                Fate::Over => return,
                Fate::NotSent => {}
                Fate::SessionEnded { sent } => {
                    self.session = None;
                    if sent {
                        return;
                    }
                }
            }
            sleep(AGAIN).await;
        }
    }

    /// The proof that the session still works.
    async fn last_prompt(&mut self) {
        let number = self.plan.prompts.len();
        for attempt in 0..LAST_TRIES {
            let Some(session) = self.opened().await else { break };
            let text = format!("say last {} {attempt} {}", self.plan.id, self.calls.log.life());
            let settling = Settling { session: session.clone(), number, calls: self.calls.clone() };
            settling.log_prompt(&text);
            let turn = session.prompt(text);
            let answered = settling.settle_last(turn).await;
            // They ran before it, so they are over as well.
            let over = async { while self.turns.join_next().await.is_some() {} };
            self.calls.bounded("turns before one that is over", limits::READING, over).await;
            if answered {
                return;
            }
            self.session = None;
            sleep(AGAIN).await;
        }
        let (session, call) = (self.plan.id.clone(), "a last prompt, with all well".to_owned());
        self.calls.log.write(Line::Hung { session, call, bound_ms: 0 });
    }
}

async fn answer(session: Session) {
    let mut requests = session.permission_requests();
    while let Some(request) = requests.next().await {
        let reply = match request.event_index % 3 {
            0 => PermissionReply::Reject,
            1 => PermissionReply::Once,
            _ => PermissionReply::Always,
        };
        // Somebody else's answer, or the turn's end, may have been first.
        let _ = session.respond(&request.id, reply).await;
    }
}

/// What became of a prompt, as far as the client has to do something.
enum Fate {
    Over,
    NotSent,
    SessionEnded { sent: bool },
}

/// One prompt on its way to its outcome.
struct Settling {
    session: Session,
    number: usize,
    calls: Calls,
}

impl Settling {
    fn log_prompt(&self, text: &str) {
        let (session, text) = (self.session.id().to_owned(), text.to_owned());
        self.calls.log.write(Line::Prompted { session, prompt: self.number, text });
    }

    async fn settle(&self, turn: Turn, wait: Wait, cancel_after: Option<Duration>) -> Fate {
        let cancelling = async {
            if let Some(after) = cancel_after {
                sleep(after).await;
                self.session.cancel();
            }
            std::future::pending::<()>().await
        };
        let outcome = async {
            tokio::select! {
                outcome = self.outcome(turn, wait) => outcome,
                () = cancelling => None,
            }
        };
        let Some(outcome) = outcome.await else { return Fate::Over };
        let Err(error) = outcome else { return Fate::Over };
        let not_sent = error.delivery() == Some(Delivery::NotSent);
        match error.kind() {
            ErrorKind::Closed | ErrorKind::Persist(_) => Fate::SessionEnded { sent: !not_sent },
            ErrorKind::Cancelled => Fate::Over,
            _ if not_sent => Fate::NotSent,
            _ => Fate::Over,
        }
    }

    /// Whether the agent answered.
    async fn settle_last(&self, turn: Turn) -> bool {
        matches!(self.outcome(turn, Wait::Await).await, Some(Ok(())))
    }

    async fn outcome(&self, turn: Turn, wait: Wait) -> Option<Result<(), sandbox_agent_sdk::Error>> {
        // Those before it, which the plan did not wait for, have their bounds as well.
        let bound = limits::PROMPT.saturating_mul(self.number as u32 + 1);
        let outcome = match wait {
            Wait::Read => self.calls.bounded("a turn's events", bound, read(turn)).await?,
            Wait::Await | Wait::Drop => self.calls.bounded("a turn", bound, turn).await?.map(drop),
        };
        self.calls.log.write(Line::Settled {
            session: self.session.id().to_owned(),
            prompt: self.number,
            outcome: match &outcome {
                Ok(()) => "answered".to_owned(),
                Err(error) => format!("{error:?}"),
            },
            delivery: outcome
                .as_ref()
                .err()
                .and_then(|error| error.delivery())
                .map(|delivery| format!("{delivery:?}")),
            last_index: self.session.last_index(),
        });
        Some(outcome)
    }
}

/// Reads a turn to its end.
async fn read(mut turn: Turn) -> Result<(), sandbox_agent_sdk::Error> {
    let mut outcome = Ok(());
    while let Some(event) = turn.next().await {
        outcome = event.map(drop);
    }
    outcome
}
