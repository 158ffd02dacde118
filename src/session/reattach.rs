//! Takes up the process that ran a session last, where it still lives.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_persist::{RawValue, envelope};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::core::{Live, SessionCore};
use super::dispatch;
use super::memo::Memo;
use super::open::Ready;
use super::outcome::ResumeOutcome;
use super::past::{OpenTurn, Past};
use super::queue::{Adopted, Ticket};
use super::recorder::now_ms;
use super::request::Wish;
use super::settings::Settings;
use crate::acp::{Link, Process};
use crate::error::{Error, Result};

/// The server sends what was missed with the stream's headers; once so long nothing came, it was all.
const QUIET: Duration = Duration::from_millis(30);
/// Whether more comes is not waited for without end: the agent may be writing right now.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How long the end of a process that has exited may take to be recorded.
const END: Duration = Duration::from_secs(5);

impl SessionCore {
    /// The session on its old process; `None` when that is gone or of no use.
    /// Somebody who is opening the session is waited for, so long.
    pub(super) async fn reattach(self: &Arc<Self>, wish: &Wish, patience: Duration) -> Result<Option<Ready>> {
        let opening = self.wait_for_opener(patience).await?;
        let record = self.record();
        if record.last_connection_id.is_empty() {
            return Ok(None);
        }
        let past = Past::read(&self.store, &record).await?;
        // Without an event of it there is nothing to go on from, unless it is at its beginning.
        let recorded = past.recorded.or(opening.map(|_| 0)).filter(|_| !past.ended);
        let Some(recorded) = recorded else {
            self.end_turn_of(&record.last_connection_id, past.turn).await;
            return Ok(None);
        };
        let process = Process::running(&record.last_connection_id, &record.agent, recorded);
        let (link, unread) = Link::new(self.ground(), process);
        if opening.is_some() {
            // What such a process tells of the past, the record has.
            self.replay.begin(&link.server_id, "", &record.agent_session_id);
        }
        // Before anything is read: the answer may be the first that comes.
        let mut answer = past.turn.as_ref().map(|turn| link.expect_answer(turn.rpc_id.clone()));
        if let Some(turn) = &past.turn {
            link.pending.set_left(&turn.rpc_id, true);
        }
        unread.read(self.receiver());
        let stop = Stop(Some(link.clone()));
        let heard = self.hear(&link).await;
        dispatch::end_replay(self, &link);
        match heard {
            Ok(()) => {}
            Err(error) if error.is_agent_gone() => {
                let answered = answer.as_mut().is_some_and(|answer| matches!(answer.try_recv(), Ok(Ok(_))));
                self.end_turn_of(&link.server_id, past.turn.filter(|_| !answered)).await;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        if opening.is_some() {
            // Ended once the session is open elsewhere: whoever opens it may still be at it.
            self.set_unopened(link);
            return Ok(None);
        }
        let agent_session_id = record.agent_session_id.clone();
        let mut settings = Settings::recorded(&record);
        let brought = self.bring_back(&link, &agent_session_id, &mut settings, &record, wish).await;
        let not_restored = match brought {
            Err(error) if error.is_agent_gone() => return Ok(None),
            brought => brought?,
        };
        self.keep(&link, &agent_session_id, &settings, false, None).await?;
        let live = Live { link: link.clone(), agent_session_id };
        self.use_link(&link);
        self.take_over(&live, past, answer);
        stop.keep();
        Ok(Some(Ready { live, outcome: ResumeOutcome::Reattached, not_restored }))
    }

    /// While another SDK may be opening the session, waits for it. Since when it has been opening, if
    /// nobody finishes that any more.
    async fn wait_for_opener(&self, patience: Duration) -> Result<Option<i64>> {
        let start = Instant::now();
        loop {
            let record = self.record();
            let Some(since) = Memo::read(&record).opening else { return Ok(None) };
            // By two clocks: the other one's may be ahead.
            if age(since) >= patience || start.elapsed() >= patience {
                return Ok(Some(since));
            }
            if self.opened_on().as_deref() == Some(&record.last_connection_id) {
                // It was this one, which failed.
                return Ok(Some(since));
            }
            tokio::select! {
                () = sleep(QUIET) => self.refresh_record().await?,
                () = self.stop.cancelled() => return Err(self.end_error()),
            }
        }
    }

    /// Takes a process that was left running as this session's own, to end it: it is not read.
    pub(crate) async fn claim_left_behind(&self) -> Result<()> {
        self.refresh_record().await?;
        let record = self.record();
        let reads =
            self.link().is_some_and(|link| !link.is_dead() && link.server_id == record.last_connection_id);
        if reads || record.last_connection_id.is_empty() {
            return Ok(());
        }
        let past = Past::read(&self.store, &record).await?;
        if !past.ended {
            let recorded = past.recorded.unwrap_or(0);
            let process = Process::running(&record.last_connection_id, &record.agent, recorded);
            self.set_link(Some(Link::new(self.ground(), process).0));
        }
        Ok(())
    }

    /// Waits until the process is heard, and what it wrote meanwhile has come.
    async fn hear(&self, link: &Arc<Link>) -> Result<()> {
        let mut connected = link.connection();
        tokio::select! {
            biased;
            error = link.dies() => return Err(error),
            // The sender is the link's.
            _ = connected.wait_for(|connected| *connected) => {}
            () = self.stop.cancelled() => return Err(self.end_error()),
        }
        let start = Instant::now();
        let mut done = None;
        while done != Some(link.done()) && start.elapsed() < CATCH_UP {
            done = Some(link.done());
            tokio::select! {
                error = link.dies() => return Err(error),
                () = sleep(QUIET) => {}
            }
        }
        // What came is acted on only once it is stored.
        self.recorder.barrier().await?;
        if !link.is_exiting() {
            return Ok(());
        }
        tokio::select! {
            error = link.dies() => Err(error),
            () = sleep(END) => Err(Error::protocol("the end of an agent's process could not be recorded")),
        }
    }

    /// What the process was asked and asked itself is taken up where it stood.
    fn take_over(self: &Arc<Self>, live: &Live, past: Past, answer: Option<super::queue::AnswerReceiver>) {
        let Past { turn, unanswered, replies, .. } = past;
        for event in &unanswered {
            dispatch::ask_again(self, &live.link, event);
        }
        let (core, link) = (self.clone(), live.link.clone());
        self.runtime.spawn(async move {
            for reply in replies {
                // The agent takes the first answer to a request; this may be it.
                if let Err(error) = link.post_reply(&reply.payload).await {
                    tracing::debug!(session = %core.id, %error, "an answer could not be sent again");
                }
            }
        });
        if let Some((OpenTurn { rpc_id, index, given_up }, answer)) = turn.zip(answer) {
            let ticket = Ticket::running(index);
            self.counters.turns_started.increment();
            self.state.change(|facts| facts.turn = true);
            let answer = Some(answer);
            self.queue.adopt(Box::new(Adopted {
                live: live.clone(),
                rpc_id,
                index,
                given_up,
                answer,
                ticket,
            }));
        }
    }

    /// The process is gone, and the turn with it.
    async fn end_turn_of(&self, server_id: &str, turn: Option<OpenTurn>) {
        let Some(turn) = turn.filter(|turn| !turn.given_up) else { return };
        let id: Box<RawValue> = RawValue::from_string(turn.rpc_id).unwrap_or_default();
        let params = json!({ "id": id, "reason": "process_ended" });
        self.note_of(server_id, envelope::TURN_ENDED, params).await;
    }
}

/// How long ago that was, by a clock that somebody may have set back.
fn age(since: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms().saturating_sub(since)).unwrap_or(0))
}

/// Ends the reading of a process that is not used after all.
struct Stop(Option<Arc<Link>>);

impl Stop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.stop_token().cancel();
        }
    }
}
