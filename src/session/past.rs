//! What the record says of the process that ran a session last.

use std::collections::HashSet;

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{ListEventsRequest, Sender, SessionEvent, SessionRecord};

use super::backwards::Backwards;
use super::ids;
use super::key;
use super::memo::{LongTurn, Memo};
use super::store::Store;
use crate::error::Result;

/// A reply of ours may have been stored and not sent, if the end came within this many milliseconds.
const JUST_STORED: i64 = 30_000;

#[derive(Debug, Default)]
pub(super) struct Past {
    /// Up to which SSE id its events are stored; `None` when there are none.
    pub(super) recorded: Option<u64>,
    /// It exited, or was ended.
    pub(super) ended: bool,
    /// The prompt that has no outcome.
    pub(super) turn: Option<OpenTurn>,
    /// What the agent asked in that turn and got no answer to, oldest first.
    pub(super) unanswered: Vec<SessionEvent>,
    /// Answers of ours that the agent may not have got, oldest first.
    pub(super) replies: Vec<SessionEvent>,
}

/// A prompt whose turn may still run.
#[derive(Clone, Debug)]
pub(super) struct OpenTurn {
    pub(super) rpc_id: String,
    /// The index of the prompt.
    pub(super) index: u64,
    /// An end of it is stored already: whoever had waited gave it up.
    pub(super) given_up: bool,
}

impl Past {
    /// Reads backwards to the newest prompt; a turn that is longer than that is found by the record.
    pub(super) async fn read(store: &Store, record: &SessionRecord) -> Result<Self> {
        let mut scan = Scan::new(&record.last_connection_id);
        let mut events = Backwards::new(store, &record.id);
        while let Some(page) = events.next().await? {
            for event in page {
                if !scan.step(event) {
                    return Ok(scan.finish());
                }
            }
        }
        if let Some(turn) = Memo::read(record).turn {
            scan.long_turn(store, &record.id, turn).await?;
        }
        Ok(scan.finish())
    }
}

struct Scan<'a> {
    server_id: &'a str,
    ended_id: String,
    past: Past,
    newest_ms: Option<i64>,
    /// Its newest prompt was come by: older turns don't matter.
    at_prompt: bool,
    /// The ids of prompts that have a response, or were not sent.
    settled: HashSet<String>,
    /// And of those that were given up without one.
    given_up: HashSet<String>,
    /// The ids of the agent's requests that have an answer.
    answered: HashSet<String>,
}

impl<'a> Scan<'a> {
    fn new(server_id: &'a str) -> Self {
        Self {
            server_id,
            ended_id: ids::ended(server_id),
            past: Past::default(),
            newest_ms: None,
            at_prompt: false,
            settled: HashSet::new(),
            given_up: HashSet::new(),
            answered: HashSet::new(),
        }
    }

    /// Takes the next older event; false when nothing older matters.
    fn step(&mut self, event: SessionEvent) -> bool {
        if event.connection_id != self.server_id {
            return true;
        }
        self.newest_ms.get_or_insert(event.created_at);
        if let Some(span) = ids::span(&event) {
            self.past.recorded = self.past.recorded.max(Some(*span.end()));
        }
        if self.at_prompt {
            return self.past.recorded.is_none();
        }
        match (event.sender, envelope::kind(&event.payload)) {
            (Sender::Agent, Kind::Notification { method }) if method == envelope::AGENT_EXITED => {
                self.past.ended = true;
            }
            (Sender::Client, Kind::Notification { .. }) if event.id == self.ended_id => {
                self.past.ended = true;
                // How far it got is of no use any more.
                return false;
            }
            (_, Kind::Notification { .. } | Kind::Response { .. }) => self.answer(event),
            (Sender::Agent, Kind::Request { id, .. }) => {
                if !self.answered.contains(id) {
                    self.past.unanswered.push(event);
                }
            }
            (Sender::Client, Kind::Request { id, method }) => {
                let prompt = method == envelope::PROMPT;
                if prompt && !self.settled.contains(id) {
                    self.past.turn = Some(OpenTurn {
                        rpc_id: id.to_owned(),
                        index: event.event_index,
                        given_up: self.given_up.contains(id),
                    });
                }
                self.at_prompt = prompt;
                return !prompt || self.past.recorded.is_none();
            }
            (_, Kind::Other) => {}
        }
        true
    }

    fn answer(&mut self, event: SessionEvent) {
        if let Some((id, reason)) = key::turn_ended(&event) {
            // In all other cases the agent answered, or its process ended.
            let open = reason == key::LOST;
            if open {
                self.given_up.insert(id)
            } else {
                self.settled.insert(id)
            };
            return;
        }
        let Kind::Response { id } = envelope::kind(&event.payload) else { return };
        if event.sender == Sender::Agent {
            self.settled.insert(id.to_owned());
            return;
        }
        self.answered.insert(id.to_owned());
        let newest = self.newest_ms.unwrap_or(event.created_at);
        if newest.saturating_sub(event.created_at) < JUST_STORED {
            self.past.replies.push(event);
        }
    }

    /// The beginning of a turn that is too long to be read, as the record has it.
    async fn long_turn(&mut self, store: &Store, session_id: &str, turn: LongTurn) -> Result<()> {
        let LongTurn { server_id, rpc_id, index, permissions } = turn;
        if server_id != self.server_id || self.settled.contains(&rpc_id) {
            return Ok(());
        }
        let given_up = self.given_up.contains(&rpc_id);
        self.past.turn = Some(OpenTurn { rpc_id, index, given_up });
        for index in permissions.into_iter().rev() {
            let request = ListEventsRequest::new(session_id).after_index(index.saturating_sub(1)).limit(1);
            // One that was evicted can't be shown; the agent's turn can still be cancelled.
            let Ok(page) = store.list_events(&request).await else { continue };
            for event in page.items {
                let known = self.past.unanswered.iter().any(|known| known.event_index == event.event_index);
                if event.event_index == index && !known {
                    self.step(event);
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Past {
        let mut past = self.past;
        if past.turn.is_none() {
            // Whatever was asked ended with its turn.
            past.unanswered.clear();
            past.replies.clear();
        }
        past.unanswered.reverse();
        past.replies.reverse();
        past
    }
}
