//! Recognises the updates by which an agent tells a session's past again while it loads it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::RawValue;
use sandbox_agent_persist::envelope::{self, Kind};
use serde::Deserialize;

/// What is being loaded, if anything.
#[derive(Debug, Default)]
pub(super) struct Replay(Mutex<Option<Loading>>);

#[derive(Debug)]
struct Loading {
    server_id: String,
    /// The JSON text of the request's id: its answer is the end of what is told again.
    rpc_id: String,
    agent_session_id: String,
    /// The SSE ids of a run of updates that the record had.
    run: Option<Run>,
}

/// Updates that the record had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The record has it.
    Before,
    /// It is new; what had been told again before it ends here.
    New(Option<Run>),
}

impl Replay {
    /// From now on, until the request is answered, the past of this session is told again.
    pub(super) fn begin(&self, server_id: &str, rpc_id: &str, agent_session_id: &str) {
        *self.lock() = Some(Loading {
            server_id: server_id.to_owned(),
            rpc_id: rpc_id.to_owned(),
            agent_session_id: agent_session_id.to_owned(),
            run: None,
        });
    }

    pub(super) fn see(&self, server_id: &str, sse_id: u64, payload: &RawValue) -> Seen {
        let mut loading = self.lock();
        let Some(load) = loading.as_mut().filter(|load| load.server_id == server_id) else {
            return Seen::New(None);
        };
        if load.tells_again(payload) {
            let from = load.run.map_or(sse_id, |run| run.from);
            load.run = Some(Run { from, to: sse_id });
            return Seen::Before;
        }
        let run = load.run.take();
        if matches!(envelope::kind(payload), Kind::Response { id } if id == load.rpc_id) {
            *loading = None;
        }
        Seen::New(run)
    }

    /// The request was answered, by whatever way, or given up: the run that ends with it.
    pub(super) fn end(&self, server_id: &str) -> Option<Run> {
        self.lock().take_if(|load| load.server_id == server_id)?.run
    }

    /// Something else came in the order of the process: the run that it ends.
    pub(super) fn interrupt(&self, server_id: &str) -> Option<Run> {
        self.lock().as_mut().filter(|load| load.server_id == server_id)?.run.take()
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Option<Loading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loading {
    /// What was said and done; commands and settings are told as they are now.
    fn tells_again(&self, payload: &RawValue) -> bool {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            params: Params<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            session_id: String,
            #[serde(borrow)]
            update: &'a RawValue,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Update {
            session_update: String,
        }
        let Ok(message) = serde_json::from_str::<Message<'_>>(payload.get()) else { return false };
        let Ok(update) = serde_json::from_str::<Update>(message.params.update.get()) else { return false };
        message.params.session_id == self.agent_session_id
            && matches!(
                update.session_update.as_str(),
                "user_message_chunk"
                    | "agent_message_chunk"
                    | "agent_thought_chunk"
                    | "tool_call"
                    | "tool_call_update"
                    | "plan"
            )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn update(session: &str, kind: &str) -> Box<RawValue> {
        let text = format!(
            r#"{{"method":"session/update","params":{{"sessionId":"{session}","update":{{"sessionUpdate":"{kind}"}}}}}}"#
        );
        RawValue::from_string(text).unwrap()
    }

    fn response(id: &str) -> Box<RawValue> {
        RawValue::from_string(format!(r#"{{"id":"{id}","result":{{}}}}"#)).unwrap()
    }

    #[test]
    fn what_is_told_again_becomes_runs_and_ends_with_the_answer() {
        let replay = Replay::default();
        let chunk = update("a", "agent_message_chunk");
        assert_eq!(replay.see("s", 2, &chunk), Seen::New(None), "nothing is being loaded");
        replay.begin("s", "\"load\"", "a");
        assert_eq!(replay.see("other", 3, &chunk), Seen::New(None));
        assert_eq!(replay.see("s", 3, &chunk), Seen::Before);
        assert_eq!(replay.see("s", 4, &update("a", "tool_call")), Seen::Before);
        let commands = update("a", "available_commands_update");
        assert_eq!(replay.see("s", 5, &commands), Seen::New(Some(Run { from: 3, to: 4 })));
        assert_eq!(replay.see("s", 6, &update("b", "plan")), Seen::New(None), "another session");
        assert_eq!(replay.see("s", 7, &chunk), Seen::Before);
        assert_eq!(replay.see("s", 8, &response("load")), Seen::New(Some(Run { from: 7, to: 7 })));
        assert_eq!(replay.see("s", 9, &chunk), Seen::New(None));
    }
}
