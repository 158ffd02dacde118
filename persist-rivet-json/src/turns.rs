//! Which turns of a session are running, read off the events that pass.

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{RawValue, Sender, SessionEvent};
use serde::Deserialize;

/// The running turns of a session, in the order of their prompts.
#[derive(Debug, Default)]
pub(crate) struct Turns(Vec<Turn>);

#[derive(Debug)]
struct Turn {
    /// The id of its request, as JSON text.
    request_id: String,
    connection_id: String,
    prompt_index: u64,
}

/// More prompts of one session than wait for their answers at once; an older one was forgotten.
const MOST: usize = 64;

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

    /// Takes notice of an event that is stored.
    pub(crate) fn see(&mut self, event: &SessionEvent) {
        // Nothing that an agent says begins a turn, so that without one there is nothing to read.
        if event.sender == Sender::Agent && self.are_over() {
            return;
        }
        match envelope::kind(&event.payload) {
            Kind::Request { id, method } if event.sender == Sender::Client && method == envelope::PROMPT => {
                self.begin(id, event);
            }
            Kind::Response { id } if event.sender == Sender::Agent => self.end(id),
            Kind::Notification { method } => match &*method {
                envelope::TURN_ENDED => {
                    if let Some(id) = ended_turn(&event.payload) {
                        self.end(id);
                    }
                }
                envelope::PROCESS_ENDED | envelope::AGENT_EXITED => {
                    self.0.retain(|turn| turn.connection_id != event.connection_id);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn begin(&mut self, request_id: &str, prompt: &SessionEvent) {
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Turn {
            request_id: request_id.to_owned(),
            connection_id: prompt.connection_id.clone(),
            prompt_index: prompt.event_index,
        });
    }

    fn end(&mut self, request_id: &str) {
        self.0.retain(|turn| turn.request_id != request_id);
    }
}

/// The request whose turn ended without a response, as JSON text.
fn ended_turn(payload: &RawValue) -> Option<&str> {
    #[derive(Deserialize)]
    struct Ended<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    let ended: Ended<'_> = serde_json::from_str(payload.get()).ok()?;
    Some(ended.params.id.get())
}
