//! Runs a session's prompts, one after the other, each until it has an outcome.

use std::sync::Arc;

use sandbox_agent_persist::{SessionEvent, envelope};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use super::core::{Live, SessionCore};
use super::memo::Memo;
use super::prompt::WhenBusy;
use super::queue::{Adopted, Job, Next, Ticket};
use super::request::Wish;
use super::running::Running;
use super::turn::cancelled;
use super::{ids, key, transcript};
use crate::acp::{Link, Outbound, read_answer};
use crate::acp_types::PromptResponse;
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};

/// Where a prompt says in `_meta` by which key it is known.
const KEY: &str = "sandboxAgent/idempotencyKey";

pub(crate) async fn run(core: Arc<SessionCore>) {
    let stop = core.stop.clone();
    while let Some(next) = stop.run_until_cancelled(core.queue.next()).await {
        match next {
            Next::Adopted(adopted) => run_adopted(&core, adopted).await,
            Next::Job(job) => run_job(&core, job).await,
        }
    }
    core.queue.close(&core.end_error());
}

/// Shows that the turn is over before whoever waits for it is told.
fn end(core: &SessionCore, ticket: &Ticket, last: u64, result: Result<PromptResponse>) {
    core.queue.set_running(None);
    core.state.change(|facts| facts.turn = false);
    ticket.end(last, result);
}

async fn run_job(core: &Arc<SessionCore>, job: Job) {
    core.state.change(|facts| facts.turn = true);
    let result = watched(core, &job.ticket, turn(core, &job)).await;
    let first = job.ticket.progress.borrow().first;
    let last = core.tail.last();
    end(core, &job.ticket, last, result);
    // Behind the turn, whose end waits for nothing that nobody asked for.
    if let Some(first) = first {
        core.compact_turn(first, last);
        core.note_activity().await;
    }
}

/// Waits for a turn that another SDK, or this one before it lost the server, began.
async fn run_adopted(core: &Arc<SessionCore>, mut adopted: Box<Adopted>) {
    core.state.change(|facts| facts.turn = true);
    let Some(answer) = adopted.answer.take() else { return };
    let Adopted { live, rpc_id, index, given_up, ticket, .. } = &*adopted;
    let turn = async {
        let running = Running { core, live, ticket, stored: *index, adopted: true };
        let ended = or_ended(core, Delivery::Unknown, running.wait(answer, rpc_id)).await;
        live.link.pending.forget(rpc_id);
        if core.is_ended() && ended.is_err() {
            return ended.and_then(|event| read_answer(&event.payload));
        }
        core.cancel_permissions().await;
        match ended {
            Ok(event) => read_answer(&event.payload),
            Err(error) => {
                // One that may go on is noted once; any other end is final.
                if !given_up || reason(&error) != key::LOST {
                    note_end(core, &live.link, rpc_id, &error).await;
                }
                Err(error)
            }
        }
    };
    let result = watched(core, ticket, turn).await;
    let last = core.tail.last();
    end(core, ticket, last, result);
    core.compact_turn(adopted.index, last);
    core.note_activity().await;
}

/// The end of the session ends what is done here.
async fn or_ended<T>(
    core: &SessionCore,
    delivery: Delivery,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let done = core.stop.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err(core.end_error().with_delivery(delivery)))
}

/// Lets a span and the counters see a turn.
async fn watched(
    core: &SessionCore,
    ticket: &Ticket,
    turn: impl Future<Output = Result<PromptResponse>>,
) -> Result<PromptResponse> {
    let span = tracing::info_span!(
        "turn",
        session = %core.id,
        agent = %core.record().agent,
        server_id = field::Empty,
        stop_reason = field::Empty,
        error = field::Empty,
        events = field::Empty,
        missing = field::Empty,
        duration_ms = field::Empty,
    );
    let start = Instant::now();
    let result = turn.instrument(span.clone()).await;
    let stats = ticket.stats();
    span.record("events", stats.events);
    span.record("missing", stats.missing);
    span.record("duration_ms", u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    match &result {
        Ok(response) => {
            core.counters.turns_finished.increment();
            span.record("stop_reason", field::debug(response.stop_reason));
        }
        Err(error) => {
            core.counters.turns_failed.increment();
            span.record("error", field::display(error));
        }
    }
    span.in_scope(|| tracing::debug!("the turn ended"));
    result
}

async fn turn(core: &Arc<SessionCore>, job: &Job) -> Result<PromptResponse> {
    let ticket = &job.ticket;
    // Not broken off: opening ends with the session by itself, and ends its process then.
    let live = free(core, job).await.map_err(|error| error.or_delivery(Delivery::NotSent))?;
    Span::current().record("server_id", field::display(&live.link.server_id));
    let begun =
        async { ticket.cancel.run_until_cancelled(begin(core, job, live)).await.ok_or_else(cancelled)? };
    let begun = or_ended(core, Delivery::NotSent, begun).await;
    let Begun { live, outbound, rpc_id } = begun.map_err(|error| error.or_delivery(Delivery::NotSent))?;
    // Not broken off: once the prompt is stored it is posted, or its end is recorded.
    let stored = store(core, job, &live.link, &outbound).await?;
    core.counters.turns_started.increment();
    ticket.progress.send_modify(|progress| progress.first = Some(stored));
    core.touch();
    if core.is_ended() || ticket.cancel.is_cancelled() {
        let error = if core.is_ended() { core.end_error() } else { cancelled() };
        let error = error.with_delivery(Delivery::NotSent);
        note_end(core, &live.link, &rpc_id, &error).await;
        return Err(error);
    }
    let ended = post(core, job, &live, outbound, &rpc_id, stored).await;
    let sent = !matches!(&ended, Err(error) if error.delivery() == Some(Delivery::NotSent));
    if core.is_ended() && ended.is_err() && sent {
        // The agent goes on with it; whoever takes the session up finds it so.
        return ended.and_then(|event| read_answer(&event.payload));
    }
    core.cancel_permissions().await;
    match ended {
        Ok(event) => read_answer(&event.payload),
        Err(error) => {
            note_end(core, &live.link, &rpc_id, &error).await;
            Err(error)
        }
    }
}

/// Sends a stored prompt, once, and waits for its response.
async fn post(
    core: &Arc<SessionCore>,
    job: &Job,
    live: &Live,
    outbound: Outbound,
    rpc_id: &str,
    stored: u64,
) -> Result<Arc<SessionEvent>> {
    let told = Memo::read(&core.record()).transcript;
    let answer = live.link.expect_answer(rpc_id.to_owned());
    live.link.post_request(rpc_id.to_owned(), &outbound.payload);
    let running = Running { core, live, ticket: &job.ticket, stored, adopted: false };
    // Beside the turn, which goes on whatever becomes of the note.
    let noted = async {
        if told {
            note_debt(core, false).await;
        }
    };
    let turn = async { futures::join!(running.wait(answer, rpc_id), noted).0 };
    let ended = or_ended(core, Delivery::Unknown, turn).await;
    live.link.pending.forget(rpc_id);
    if told && matches!(&ended, Err(error) if error.delivery() == Some(Delivery::NotSent)) {
        note_debt(core, true).await;
    }
    ended
}

async fn note_debt(core: &SessionCore, owed: bool) {
    if let Err(error) = core.owe_transcript(owed).await {
        tracing::warn!(session = %core.id, %error, owed, "it could not be noted whether the agent was told the history");
    }
}

/// A process on which no turn runs.
async fn free(core: &Arc<SessionCore>, job: &Job) -> Result<Live> {
    loop {
        let opening = core.ensure_live(Wish::default());
        let live = job.ticket.cancel.run_until_cancelled(opening).await.ok_or_else(cancelled)??.live;
        let Some(adopted) = core.queue.take_adopted() else { return Ok(live) };
        // Opening it showed that a turn still runs, which comes first.
        match job.prompt.when_busy {
            WhenBusy::Reject => {
                core.queue.adopt(adopted);
                return Err(Error::new(ErrorKind::Busy, "a turn runs, and the prompt was not to wait"));
            }
            WhenBusy::Interrupt => adopted.ticket.cancel.cancel(),
            WhenBusy::Queue => {}
        }
        core.queue.set_running(Some(adopted.ticket.clone()));
        core.queue.set_next(Some(job.ticket.clone()));
        let withdrawn = async {
            job.ticket.cancel.cancelled().await;
            job.ticket.end(0, Err(cancelled()));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = run_adopted(core, adopted) => {}
            () = withdrawn => {}
        }
        core.queue.set_next(None);
        core.queue.set_running(Some(job.ticket.clone()));
    }
}

struct Begun {
    live: Live,
    outbound: Outbound,
    rpc_id: String,
}

/// All that comes before the prompt is stored; dropping it leaves nothing behind.
async fn begin(core: &SessionCore, job: &Job, live: Live) -> Result<Begun> {
    let mut blocks = Vec::new();
    if Memo::read(&core.record()).transcript
        && let Some(block) = transcript::block(&core.store, &core.id, core.limits.transcript_chars).await?
    {
        blocks.push(block);
    }
    for block in &job.prompt.blocks {
        blocks.push(
            serde_json::to_value(block)
                .map_err(|error| Error::invalid("the prompt can't be written as JSON").with_source(error))?,
        );
    }
    if job.prompt.key.as_deref() == Some("") {
        return Err(Error::invalid("an idempotency key must not be empty"));
    }
    if blocks.is_empty() {
        return Err(Error::invalid("a prompt needs at least one content block"));
    }
    let mut params = Map::new();
    params.insert("sessionId".into(), json!(live.agent_session_id));
    params.insert("prompt".into(), Value::Array(blocks));
    if let Some(key) = &job.prompt.key {
        params.insert("_meta".into(), json!({ KEY: key }));
    }
    let outbound = Outbound::request(envelope::PROMPT, params)?;
    let rpc_id = outbound.rpc_id.clone().unwrap_or_default();
    Ok(Begun { live, outbound, rpc_id })
}

/// Stores the prompt, under its key where it has one.
async fn store(core: &SessionCore, job: &Job, link: &Link, outbound: &Outbound) -> Result<u64> {
    let Some(key) = &job.prompt.key else {
        return core.store_outbound(link, outbound).await;
    };
    let mut attempt = 1;
    loop {
        let id = ids::keyed(&core.id, key, attempt);
        if let Some(index) = core.store_as(&link.server_id, id.clone(), outbound).await? {
            return Ok(index);
        }
        match key::delivery(&core.store, &core.id, &id).await? {
            Some(Delivery::NotSent) => attempt += 1,
            delivery => return Err(key::taken(delivery.unwrap_or(Delivery::Unknown))),
        }
    }
}

async fn note_end(core: &SessionCore, link: &Link, rpc_id: &str, error: &Error) {
    let id: Value = serde_json::from_str(rpc_id).unwrap_or_default();
    let params = json!({ "id": id, "reason": reason(error) });
    core.note_of(&link.server_id, envelope::TURN_ENDED, params).await;
}

/// Why a turn has no response, for the record.
fn reason(error: &Error) -> &'static str {
    match error.kind() {
        _ if error.delivery() == Some(Delivery::NotSent) => key::NOT_SENT,
        ErrorKind::AgentExited { .. } | ErrorKind::ProcessGone => "process_ended",
        ErrorKind::TimedOut(Limit::Cancel) | ErrorKind::Cancelled => "cancelled",
        ErrorKind::TimedOut(_) => "timed_out",
        _ => key::LOST,
    }
}
