//! Requests of both sides, and what was answered to them.

use std::sync::Arc;

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{Sender, SessionEvent};
use serde::Deserialize;
use serde_json::Value;

use super::SessionView;
use super::entry::{Permission, PermissionAnswer, Request, Tokens, TurnState, What};
use super::fold::Seen;
use crate::acp_types::RequestPermissionRequest;
use crate::session::{Settings, is_change, params};

/// How many requests may be without an answer; a loop gone wrong has more.
const ASKED: usize = 10_000;

/// A request: the process, who asks, and the JSON text of its id.
pub(super) type Asked = (String, Sender, String);

/// What was asked, as far as its answer matters.
pub(super) enum Question {
    Prompt {
        first_index: u64,
    },
    /// Opening the session, in any way.
    Open,
    Fork,
    Change {
        method: String,
        params: Value,
    },
    /// Known, and its answer says nothing to people.
    Plumbing,
    Unknown,
    Permission(u64),
    Request(u64),
}

/// The name of a request.
pub(super) fn of(event: &SessionEvent) -> Asked {
    let id = match envelope::kind(&event.payload) {
        Kind::Request { id, .. } | Kind::Response { id } => id.to_owned(),
        _ => String::new(),
    };
    (event.connection_id.clone(), event.sender, id)
}

impl SessionView {
    pub(super) fn wait_for(&mut self, asked: Asked, question: Question) {
        if self.asked.len() < ASKED {
            self.asked.insert(asked, question);
        }
    }

    /// A request of the client's that is no prompt.
    pub(super) fn ask(&mut self, event: &Arc<SessionEvent>, id: &str, method: &str) -> Seen {
        let question = match method {
            "session/new" | "session/load" | "session/resume" => Question::Open,
            "session/fork" => Question::Fork,
            "initialize" | "authenticate" | "logout" | "session/list" | "session/close"
            | "session/delete" => Question::Plumbing,
            method if is_change(method) => {
                let params = params(&event.payload).unwrap_or_default();
                Question::Change { method: method.to_owned(), params }
            }
            _ => Question::Unknown,
        };
        let seen = if matches!(question, Question::Unknown) { Seen::Unknown } else { Seen::State };
        self.wait_for((event.connection_id.clone(), event.sender, id.to_owned()), question);
        seen
    }

    pub(super) fn permission(
        &mut self,
        event: &Arc<SessionEvent>,
        request: RequestPermissionRequest,
    ) -> Seen {
        let id = request.tool_call.tool_call_id.to_string();
        let key = (event.connection_id.clone(), id.clone());
        let known = self.tool_of_turn(&key).and_then(|number| self.entry(number));
        let title = match known.map(|entry| &entry.what) {
            Some(What::Tool(call)) => Some(call.title.clone()),
            _ => None,
        };
        let title = request.tool_call.fields.title.clone().or(title).unwrap_or_default();
        // Some agents tell of a tool call only by asking for it.
        if self.tool_of_turn(&key).is_none() {
            self.tools.remove(&key);
        }
        self.tool_update(event, request.tool_call);
        let (options, answer) = (request.options, PermissionAnswer::Open);
        let permission = Permission { title, tool_call_id: id, options, answer };
        let number = self.push(event, What::Permission(permission), event.payload.get().len());
        self.wait_for(of(event), Question::Permission(number));
        Seen::Entry(number)
    }

    /// What the agent asks its client for.
    pub(super) fn request(&mut self, event: &Arc<SessionEvent>, method: String) -> Seen {
        let request = Request { method, event: event.clone(), answer: None };
        let number = self.push(event, What::Request(request), event.size());
        self.wait_for(of(event), Question::Request(number));
        Seen::Entry(number)
    }

    /// A response of either side.
    pub(super) fn answered(&mut self, event: &Arc<SessionEvent>, id: &str) -> Seen {
        let asker = match event.sender {
            Sender::Client => Sender::Agent,
            Sender::Agent => Sender::Client,
        };
        let key = (event.connection_id.clone(), asker, id.to_owned());
        let answer: Answer = serde_json::from_str(event.payload.get()).unwrap_or_default();
        match self.asked.remove(&key) {
            Some(Question::Prompt { first_index }) => {
                self.end(event, first_index, answer.turn(), &answer.result)
            }
            Some(Question::Open) => {
                let opened = Settings::opened(&answer.result);
                self.settings = opened.or(&self.settings);
                Seen::State
            }
            Some(Question::Fork) => {
                self.forks.extend(answer.result["sessionId"].as_str().map(str::to_owned));
                Seen::State
            }
            Some(Question::Change { method, params }) => {
                if answer.error.is_none() {
                    self.settings.apply(&method, &params, &answer.result);
                }
                Seen::State
            }
            Some(Question::Plumbing) => Seen::State,
            Some(Question::Permission(number)) => self.decided(event, number, &answer.result),
            Some(Question::Request(number)) => {
                let kept = self.change(number, event.event_index, |entry| {
                    if let What::Request(request) = &mut entry.what {
                        request.answer = Some(event.clone());
                        entry.bytes += event.size();
                    }
                });
                if kept { Seen::Entry(number) } else { Seen::State }
            }
            Some(Question::Unknown) | None => Seen::Unknown,
        }
    }

    fn decided(&mut self, event: &SessionEvent, number: u64, result: &Value) -> Seen {
        let option = result["outcome"]["optionId"].as_str().map(str::to_owned);
        let kept = self.change(number, event.event_index, |entry| {
            if let What::Permission(permission) = &mut entry.what {
                permission.answer = option.map_or(PermissionAnswer::Cancelled, PermissionAnswer::Option);
            }
        });
        if kept { Seen::Entry(number) } else { Seen::State }
    }

    /// A turn without a response.
    pub(super) fn lost(&mut self, event: &Arc<SessionEvent>) -> Seen {
        #[derive(Deserialize)]
        struct Ended {
            id: Box<serde_json::value::RawValue>,
            #[serde(default)]
            reason: String,
        }
        let Some(Ended { id, reason }) = params::<Ended>(&event.payload) else { return Seen::Unknown };
        let key = (event.connection_id.clone(), Sender::Client, id.get().to_owned());
        // The response may come after all.
        let Some(Question::Prompt { first_index }) = self.asked.get(&key) else { return Seen::Unknown };
        let first_index = *first_index;
        self.end(event, first_index, TurnState::Lost(reason), &Value::Null)
    }

    fn end(&mut self, event: &SessionEvent, first_index: u64, state: TurnState, result: &Value) -> Seen {
        let tokens = tokens(&result["usage"]);
        self.usage.tokens = tokens.or(self.usage.tokens);
        let turn = self.turns.iter_mut().rev().find(|turn| turn.first_index == first_index);
        if let Some(turn) = turn {
            turn.last_index = event.event_index;
            turn.state = state.clone();
            turn.tokens = tokens;
        }
        self.messages.clear();
        if state == TurnState::Ended("end_turn".to_owned()) {
            return Seen::State;
        }
        Seen::Entry(self.push(event, What::TurnEnded(state), 0))
    }
}

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Option<Value>,
}

impl Answer {
    fn turn(&self) -> TurnState {
        match (&self.error, self.result["stopReason"].as_str()) {
            (Some(error), _) => TurnState::Failed {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
            },
            (None, Some(reason)) => TurnState::Ended(reason.to_owned()),
            (None, None) => TurnState::Ended(String::new()),
        }
    }
}

fn tokens(usage: &Value) -> Option<Tokens> {
    let count = |name: &str| usage[name].as_u64();
    let tokens = Tokens {
        total: count("totalTokens").unwrap_or_default(),
        input: count("inputTokens").unwrap_or_default(),
        output: count("outputTokens").unwrap_or_default(),
        thought: count("thoughtTokens"),
        cached_read: count("cachedReadTokens"),
        cached_write: count("cachedWriteTokens"),
    };
    (tokens != Tokens::default()).then_some(tokens)
}
