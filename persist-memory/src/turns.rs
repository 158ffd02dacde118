//! Which turns of a session are running, read off the events that pass.

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{RawValue, Sender, SessionEvent};
use serde::Deserialize;

/// The running turns of a session, in the order of their prompts.
#[derive(Default)]
pub(crate) struct Turns(Vec<Turn>);

struct Turn {
    request_id: String,
    connection_id: String,
    prompt_index: u64,
}

/// What an event does to the running turns. Ids of requests are their JSON text.
pub(crate) enum Change {
    Nothing,
    Begins(String),
    Ends(String),
    ProcessEnds(String),
}

#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(borrow)]
    params: EndedParams<'a>,
}

#[derive(Deserialize)]
struct EndedParams<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

impl Turns {
    /// The index of the oldest prompt that still runs.
    pub(crate) fn oldest_prompt(&self) -> Option<u64> {
        self.0.first().map(|turn| turn.prompt_index)
    }

    pub(crate) fn are_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn end_all(&mut self) {
        self.0.clear();
    }

    /// What the event, if it is stored, changes in this.
    pub(crate) fn change(&self, event: &SessionEvent) -> Change {
        // Nothing that an agent says begins a turn, so that without one there is nothing to read.
        if event.sender == Sender::Agent && self.are_over() {
            return Change::Nothing;
        }
        match envelope::kind(&event.payload) {
            Kind::Request { id, method } if event.sender == Sender::Client && method == envelope::PROMPT => {
                Change::Begins(id.to_owned())
            }
            Kind::Response { id } if event.sender == Sender::Agent => Change::Ends(id.to_owned()),
            Kind::Notification { method } => match &*method {
                envelope::TURN_ENDED => match serde_json::from_str::<Ended<'_>>(event.payload.get()) {
                    Ok(ended) => Change::Ends(ended.params.id.get().to_owned()),
                    Err(_) => Change::Nothing,
                },
                envelope::PROCESS_ENDED | envelope::AGENT_EXITED => {
                    Change::ProcessEnds(event.connection_id.clone())
                }
                _ => Change::Nothing,
            },
            _ => Change::Nothing,
        }
    }

    pub(crate) fn end(&mut self, change: &Change) {
        self.0.retain(|turn| match change {
            Change::Ends(request_id) => turn.request_id != *request_id,
            Change::ProcessEnds(connection_id) => turn.connection_id != *connection_id,
            Change::Begins(_) | Change::Nothing => true,
        });
    }

    pub(crate) fn begin(&mut self, change: Change, prompt: &SessionEvent) {
        if let Change::Begins(request_id) = change {
            self.0.push(Turn {
                request_id,
                connection_id: prompt.connection_id.clone(),
                prompt_index: prompt.event_index,
            });
        }
    }
}
