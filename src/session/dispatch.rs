//! Acts on what a process said, once it is stored and shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{Sender, SessionEvent};
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked;
use super::core::SessionCore;
use super::ids;
use super::info;
use super::permission::PermissionRequest;
use super::recorder::{Draft, Entry, Listener, Then};
use super::replay::{Run, Seen};
use super::settings::Settings;
use super::view::{params, permission};
use crate::acp::{Gap, Inbound, Link, Outbound};
use crate::error::{Error, ErrorKind};

/// Turns what a process gave into an entry for the recorder.
pub(crate) fn receive(core: &Arc<SessionCore>, link: Arc<Link>, inbound: Inbound) {
    core.touch();
    let told_again = match &inbound {
        Inbound::Event { sse_id, payload, .. } => match core.replay.see(&link.server_id, *sse_id, payload) {
            Seen::Before => return,
            Seen::New(run) => run,
        },
        Inbound::Settle(_) => None,
        Inbound::Gap(_) | Inbound::Died { .. } => core.replay.interrupt(&link.server_id),
    };
    if let Some(run) = told_again {
        core.recorder.record(Entry { draft: replay_draft(&link, run), then: Then::Dispatch(link.clone()) });
    }
    let entry = match inbound {
        Inbound::Event { sse_id, payload, permit } => {
            let draft = Draft {
                id: ids::inbound(&link.server_id, sse_id),
                connection_id: link.server_id.clone(),
                sender: Sender::Agent,
                payload,
                permit: Some(permit),
            };
            Entry { draft: Some(draft), then: Then::Dispatch(link) }
        }
        Inbound::Settle(answers) => Entry { draft: None, then: Then::Settle(link, answers) },
        Inbound::Gap(gap) => Entry { draft: gap_draft(&gap), then: Then::Dispatch(link) },
        Inbound::Died { last_sse_id, error } => {
            Entry { draft: death_draft(&link, last_sse_id, &error), then: Then::Bury(link, error) }
        }
    };
    core.recorder.record(entry);
}

fn gap_draft(gap: &Gap) -> Option<Draft> {
    note(ids::gap(&gap.server_id, gap.from, gap.to), &gap.server_id, envelope::GAP, json!(gap))
}

fn replay_draft(link: &Link, run: Run) -> Option<Draft> {
    let Run { from, to } = run;
    let params = json!({ "serverId": link.server_id, "from": from, "to": to });
    note(ids::replayed(&link.server_id, from, to), &link.server_id, envelope::REPLAYED, params)
}

/// What is stored of a process's end. One that is only out of reach has not ended.
fn death_draft(link: &Link, last_sse_id: u64, error: &Error) -> Option<Draft> {
    let reason = match error.kind() {
        ErrorKind::AgentExited { .. } => "exited",
        ErrorKind::ProcessGone => "gone",
        _ => return None,
    };
    link.counters.processes_lost.increment();
    let params = json!({ "serverId": link.server_id, "lastEventId": last_sse_id, "reason": reason });
    note(ids::ended(&link.server_id), &link.server_id, envelope::PROCESS_ENDED, params)
}

fn note(id: String, server_id: &str, method: &str, params: Value) -> Option<Draft> {
    let payload = Outbound::notification(method, params).ok()?.payload;
    Some(Draft { id, connection_id: server_id.to_owned(), sender: Sender::Client, payload, permit: None })
}

const ASK: &str = "session/request_permission";
const UPDATE: &str = "session/update";

impl Listener for Arc<SessionCore> {
    /// Lists a permission request, so that whoever sees the event can answer it.
    fn stored(&self, link: &Arc<Link>, event: &SessionEvent) {
        self.meter(event);
        // Looked for before parsing: nearly all that comes is something else.
        if !event.payload.get().contains(ASK) {
            return;
        }
        match envelope::kind(&event.payload) {
            Kind::Request { id, method } if method == ASK => ask(self, link, id, event),
            _ => {}
        }
    }

    /// An answer by another SDK that reads the same process ends a permission request here too.
    fn theirs(&self, event: &SessionEvent) {
        if event.sender == Sender::Client
            && let Kind::Response { id } = envelope::kind(&event.payload)
            && self.permissions.answered(&event.connection_id, id)
        {
            self.permissions_changed();
        }
    }

    /// What an agent answered ends what waits for it here, although its copy may never come.
    fn theirs_shown(&self, event: &Arc<SessionEvent>) {
        let Some(link) = self.link().filter(|link| link.server_id == event.connection_id) else { return };
        if event.sender == Sender::Agent
            && let Kind::Response { id } = envelope::kind(&event.payload)
        {
            link.pending.complete(id, Ok(event.clone()));
        }
    }

    fn shown(&self, link: &Arc<Link>, event: &Arc<SessionEvent>) {
        match envelope::kind(&event.payload) {
            Kind::Response { id } => {
                link.pending.complete(id, Ok(event.clone()));
            }
            Kind::Request { method, .. } if method == ASK => {}
            Kind::Request { id, method } => asked::handle(self, link, id, &method, event),
            Kind::Notification { method } if method == asked::CANCEL => asked::taken_back(self, link, event),
            Kind::Notification { method } if method == envelope::AGENT_EXITED => {
                link.exited(exit_error(event));
            }
            Kind::Notification { method } if method == UPDATE => remember(self, event),
            Kind::Notification { .. } | Kind::Other => {}
        }
    }

    /// All that the stream gave is handled, and these still wait: the stream's copies were lost.
    fn settle(&self, link: &Arc<Link>, answers: Vec<String>) -> Vec<Entry> {
        let recovered = answers.into_iter().filter_map(|rpc_id| {
            let draft = Draft {
                id: ids::post(&link.server_id, &rpc_id),
                connection_id: link.server_id.clone(),
                sender: Sender::Agent,
                payload: link.pending.take_hint(&rpc_id)?,
                permit: None,
            };
            Some(Entry { draft: Some(draft), then: Then::Dispatch(link.clone()) })
        });
        recovered.collect()
    }
}

/// Another SDK that reads the same process answers the same.
pub(super) fn answered_already(error: Error) -> Result<(), Error> {
    if *error.kind() == ErrorKind::PermissionGone { Ok(()) } else { Err(error) }
}

/// The past is told again no longer; what was is noted.
pub(super) fn end_replay(core: &SessionCore, link: &Arc<Link>) {
    if let Some(run) = core.replay.end(&link.server_id) {
        core.recorder.record(Entry { draft: replay_draft(link, run), then: Then::Dispatch(link.clone()) });
    }
}

fn exit_error(event: &SessionEvent) -> Error {
    #[derive(Deserialize)]
    struct Exited {
        code: Option<i64>,
    }
    let code = params::<Exited>(&event.payload).and_then(|exited| exited.code);
    let how = code.map_or_else(|| "without a code".to_owned(), |code| format!("with code {code}"));
    Error::new(
        ErrorKind::AgentExited { code },
        format!("the agent's process exited {how}; the next prompt starts a new one"),
    )
}

/// Takes up a request of the agent's that got no answer from whoever had the session before.
pub(super) fn ask_again(core: &Arc<SessionCore>, link: &Arc<Link>, event: &SessionEvent) {
    match envelope::kind(&event.payload) {
        Kind::Request { id, method } if method == ASK => ask(core, link, id, event),
        Kind::Request { id, method } => asked::handle(core, link, id, &method, event),
        _ => {}
    }
}

/// Keeps what the agent says of its settings, so that they can be put back.
fn remember(core: &Arc<SessionCore>, event: &SessionEvent) {
    // Looked for before parsing: nearly all updates are something else.
    let text = event.payload.get();
    if text.contains(info::UPDATE) && (!core.forked.load(Ordering::Relaxed) || is_ours(core, event)) {
        core.heard_info(&event.payload);
    }
    if !text.contains("current_mode_update") && !text.contains("config_option_update") {
        return;
    }
    if core.forked.load(Ordering::Relaxed) && !is_ours(core, event) {
        return;
    }
    // In memory at once, so that two that come together are both kept.
    core.amend(|record| {
        let mut settings = Settings::recorded(record);
        settings.update(&event.payload);
        settings.record(record);
    });
    let core = core.clone();
    core.runtime.clone().spawn(async move {
        if let Err(error) = core.store_record().await {
            tracing::warn!(session = %core.id, %error, "the agent's settings could not be kept");
        }
    });
}

/// Whether an update is of the session itself, and not of a fork on the same process.
fn is_ours(core: &SessionCore, event: &SessionEvent) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Of {
        session_id: String,
    }
    params::<Of>(&event.payload).is_none_or(|of| of.session_id == core.record().agent_session_id)
}

/// Lists a permission request, or lets the policy answer it.
fn ask(core: &Arc<SessionCore>, link: &Arc<Link>, rpc_id: &str, event: &SessionEvent) {
    let Some(asked) = permission(&event.payload) else {
        let error = json!({ "code": -32602, "message": "the permission request can't be read" });
        return asked::answer(core, link, rpc_id, Err(error));
    };
    let request = PermissionRequest {
        // Not the agent's own id: the next process may count from the start again.
        id: event.id.clone(),
        session_id: core.id.clone(),
        event_index: event.event_index,
        tool_call: asked.tool_call,
        options: asked.options,
    };
    if core.permissions.is_answered(&link.server_id, rpc_id) {
        return;
    }
    core.counters.permissions_asked.increment();
    let Some(option) = request.by_policy(core.policy()) else {
        if !core.permissions.has_listener() {
            tracing::warn!(session = %core.id, permission = %request.id, "the agent asks for a permission and nobody listens");
        }
        return list(core, link, rpc_id, 1, request);
    };
    let (core, link, rpc_id) = (core.clone(), link.clone(), rpc_id.to_owned());
    core.runtime.clone().spawn(async move {
        let outcome = json!({ "outcome": { "outcome": "selected", "optionId": option } });
        if let Err(error) = core.reply(&link, &rpc_id, 1, Ok(outcome)).await {
            if *error.kind() == ErrorKind::PermissionGone {
                return;
            }
            tracing::warn!(session = %core.id, %error, "the policy's answer did not get out; somebody has to answer");
            if !link.is_dead() {
                // An answer that is stored keeps its id, sent or not.
                let attempt = if error.is_persist() { 1 } else { 2 };
                list(&core, &link, &rpc_id, attempt, request);
            }
        }
    });
}

fn list(core: &Arc<SessionCore>, link: &Arc<Link>, rpc_id: &str, attempt: u32, request: PermissionRequest) {
    let limit = core.limits.pending_permissions;
    if core.permissions.len() >= limit {
        tracing::warn!(session = %core.id, limit, "as many permission requests wait as are kept; one more is refused");
        let message = format!("{limit} permission requests wait for an answer already");
        return asked::answer(core, link, rpc_id, Err(json!({ "code": -32000, "message": message })));
    }
    core.permissions.add(link, rpc_id, attempt, request);
    core.permissions_changed();
}
