//! Opens a session: on the process that ran it last, or else on a new one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::core::{Live, SessionCore};
use super::dispatch;
use super::handshake::Shaken;
use super::memo::Memo;
use super::outcome::ResumeOutcome;
use super::recorder::now_ms;
use super::request::Wish;
use super::settings::NotRestored;
use crate::acp::{Ground, Link, Process};
use crate::error::{Error, ErrorKind, Result};

/// How long the end of a process that said so may take to be recorded.
const EXIT: Duration = Duration::from_secs(5);
/// How long another SDK that is opening the session is waited for. One that died at it costs as much.
const OPENING: Duration = Duration::from_secs(3);
/// Several SDKs that open one session at once overtake each other less often.
const OVERTAKEN: usize = 5;

/// A session that is open.
pub(crate) struct Ready {
    pub(crate) live: Live,
    pub(crate) outcome: ResumeOutcome,
    pub(crate) not_restored: Vec<NotRestored>,
}

impl SessionCore {
    /// The agent process in use; opens the session on one where there is none.
    pub(crate) async fn ensure_live(self: &Arc<Self>, wish: Wish) -> Result<Ready> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| live.link.is_exiting()) {
            // Nothing can be sent to it any more; all that it wrote is recorded first.
            let _ = timeout(EXIT, live.link.dies()).await;
        }
        if let Some(live) = live.as_ref().filter(|live| !live.link.is_dead()) {
            return Ok(Ready { live: live.clone(), outcome: ResumeOutcome::Open, not_restored: Vec::new() });
        }
        if self.is_ended() {
            return Err(self.end_error());
        }
        *live = None;
        let _opening = Opening::begin(self);
        self.hold(wish.claim).await?;
        let provisional = self.provisionally();
        let ready = self.open_held(&wish).await;
        let Ok(ready) = ready else {
            self.give_up_hold().await;
            provisional.settled();
            return ready;
        };
        provisional.settled();
        self.count(ready.outcome);
        *live = Some(ready.live.clone());
        Ok(ready)
    }

    async fn open_held(self: &Arc<Self>, wish: &Wish) -> Result<Ready> {
        self.refresh_record().await?;
        if wish.revive && self.record().destroyed_at.is_some() {
            self.change_record(|record| record.destroyed_at = None).await?;
        }
        if self.record().destroyed_at.is_some() {
            return Err(Error::new(
                ErrorKind::SessionDestroyed,
                format!("session {:?} was destroyed; resume it to open it again", self.id),
            ));
        }
        self.climb(wish).await
    }

    async fn climb(self: &Arc<Self>, wish: &Wish) -> Result<Ready> {
        // Who is overtaken by another SDK finds its process in the next round.
        for round in 0..OVERTAKEN {
            // One that has overtaken this one lives, however long its agent takes.
            let patience = if round == 0 { OPENING } else { self.limits.request };
            if let Some(ready) = self.reattach(wish, patience).await? {
                return Ok(ready);
            }
            if let Some(ready) = self.open(wish).await? {
                self.end_unopened();
                return Ok(ready);
            }
        }
        let message =
            format!("session {:?} is being opened by others again and again; resume it later", self.id);
        Err(Error::protocol(message))
    }

    /// Starts a process and opens the session on it; `None` when another SDK has opened it meanwhile.
    /// The process is ended when that fails.
    async fn open(self: &Arc<Self>, wish: &Wish) -> Result<Option<Ready>> {
        let process = Process::fresh(&self.record().agent);
        let server_id = process.server_id.clone();
        self.set_opened_on(&server_id);
        // Known before it starts, so that a crash leaves no process that nobody knows of.
        self.change_record(|record| {
            record.last_connection_id.clone_from(&server_id);
            Memo::change(record, |memo| memo.opening = Some(now_ms()));
        })
        .await?;
        let (link, unread) = Link::new(self.ground(), process);
        unread.read(self.receiver());
        let mut abandon = Abandon(Some((self.clone(), link.clone())));
        let opened = self.shake_hands(&link, wish).await;
        if opened.is_err() && self.is_ended() {
            // The runtime may end with the SDK: nothing is left to a task.
            abandon.0 = None;
            link.bury(&Error::closed());
            link.delete().await;
        }
        if let Err(error) = &opened
            && error.is_agent_gone()
            && self.is_overtaken(&link).await?
        {
            return Ok(None);
        }
        let Some(Shaken { agent_session_id, outcome, not_restored }) = opened? else { return Ok(None) };
        abandon.0 = None;
        self.use_link(&link);
        Ok(Some(Ready { live: Live { link, agent_session_id }, outcome, not_restored }))
    }

    /// What becomes of all that a process gives.
    pub(super) fn receiver(self: &Arc<Self>) -> impl Fn(Arc<Link>, crate::acp::Inbound) + Send + 'static {
        let core = self.clone();
        move |link, inbound| dispatch::receive(&core, link, inbound)
    }

    pub(super) fn ground(&self) -> Ground {
        Ground {
            http: self.http.clone(),
            limits: self.limits.clone(),
            counters: self.counters.clone(),
            runtime: self.runtime.clone(),
            stop: self.stop.child_token(),
        }
    }

    /// From now on the session is on this process.
    pub(super) fn use_link(self: &Arc<Self>, link: &Arc<Link>) {
        self.set_link(Some(link.clone()));
        self.state.change(|facts| facts.live = true);
        self.follow(link);
    }

    /// Shows in the state whether the process can be heard.
    fn follow(self: &Arc<Self>, link: &Arc<Link>) {
        let (core, link) = (self.clone(), link.clone());
        self.runtime.spawn(async move {
            let mut connected = link.connection();
            loop {
                let now = *connected.borrow_and_update();
                core.state.change(|facts| facts.connected = now);
                let changed = link.stop_token().run_until_cancelled(connected.changed()).await;
                if !matches!(changed, Some(Ok(()))) {
                    break;
                }
            }
            core.state.change(|facts| (facts.live, facts.connected) = (false, false));
        });
    }

    fn count(&self, outcome: ResumeOutcome) {
        let counters = &self.counters;
        match outcome {
            ResumeOutcome::Open => return,
            ResumeOutcome::Reattached => &counters.sessions_reattached,
            ResumeOutcome::Resumed => &counters.sessions_resumed,
            ResumeOutcome::Loaded => &counters.sessions_loaded,
            ResumeOutcome::Transcript => &counters.sessions_retold,
            ResumeOutcome::Fresh => &counters.sessions_fresh,
        }
        .increment();
    }
}

/// Shown in the state for as long as it lives, also when the call is dropped.
struct Opening<'a>(&'a SessionCore);

impl<'a> Opening<'a> {
    fn begin(core: &'a SessionCore) -> Self {
        core.state.change(|facts| facts.opening = true);
        Self(core)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.state.change(|facts| facts.opening = false);
    }
}

/// Ends a process on which no session came about, also when the call that opened it was dropped.
struct Abandon(Option<(Arc<SessionCore>, Arc<Link>)>);

impl Drop for Abandon {
    fn drop(&mut self) {
        if let Some((core, link)) = self.0.take() {
            let writes = core.writes_yet();
            core.runtime.clone().spawn(async move {
                link.bury(&Error::closed());
                core.note_end_of(&link, "abandoned").await;
                drop(writes);
                link.delete().await;
            });
        }
    }
}
