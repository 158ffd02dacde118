//! What the agent tells of its session.

use std::sync::Arc;

use sandbox_agent_persist::SessionEvent;
use serde::Deserialize;
use serde_json::Value;

use super::SessionView;
use super::entry::{Entry, Message, Speaker, TurnState, What};
use super::fold::{OVERHEAD, Seen, size};
use crate::acp_types::{
    ContentBlock, ContentChunk, Cost, Plan, PlanEntry, PlanEntryPriority, PlanEntryStatus, SessionInfoUpdate,
    SessionUpdate, ToolCall, ToolCallUpdate,
};
use crate::session::params;

impl SessionView {
    pub(super) fn update(&mut self, event: &Arc<SessionEvent>, update: SessionUpdate) -> Seen {
        match update {
            SessionUpdate::AgentMessageChunk(chunk) => self.chunk(event, Speaker::Agent, chunk),
            SessionUpdate::AgentThoughtChunk(chunk) => self.chunk(event, Speaker::Thought, chunk),
            SessionUpdate::UserMessageChunk(chunk) if self.is_echo(&chunk) => Seen::State,
            SessionUpdate::UserMessageChunk(chunk) => self.chunk(event, Speaker::User, chunk),
            SessionUpdate::ToolCall(call) => self.tool(event, call),
            SessionUpdate::ToolCallUpdate(update) => self.tool_update(event, update),
            SessionUpdate::Plan(plan) => self.planned(event, plan),
            SessionUpdate::AvailableCommandsUpdate(update) => {
                self.commands = update.available_commands;
                Seen::State
            }
            SessionUpdate::CurrentModeUpdate(_) | SessionUpdate::ConfigOptionUpdate(_) => {
                if self.settings.update(&event.payload) { Seen::State } else { Seen::Unknown }
            }
            SessionUpdate::SessionInfoUpdate(info) => self.informed(info),
            SessionUpdate::UsageUpdate(usage) => self.used(Some(usage.used), Some(usage.size), usage.cost),
            _ => Seen::Unknown,
        }
    }

    /// An update that can't be read whole. Some agents leave out of their usage what they don't know.
    pub(super) fn update_in_part(&mut self, event: &Arc<SessionEvent>) -> Seen {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Told {
            session_id: String,
            update: Value,
        }
        match params::<Told>(&event.payload) {
            Some(Told { session_id, update })
                if update["sessionUpdate"] == "usage_update" && !self.forks.contains(&session_id) =>
            {
                let count = |name: &str| update[name].as_u64();
                self.used(count("used"), count("size"), Cost::deserialize(&update["cost"]).ok())
            }
            _ => Seen::Unknown,
        }
    }

    /// What is not told stays as it was.
    fn used(&mut self, context: Option<u64>, size: Option<u64>, cost: Option<Cost>) -> Seen {
        if context.or(size).is_none() && cost.is_none() {
            return Seen::Unknown;
        }
        self.usage.context = context.or(self.usage.context);
        self.usage.context_size = size.or(self.usage.context_size);
        if let Some(cost) = cost {
            self.charge(&cost);
            self.usage.cost = Some(cost);
        }
        Seen::State
    }

    /// Some agents say the prompt back while its turn runs.
    fn is_echo(&self, chunk: &ContentChunk) -> bool {
        let Some(turn) = self.turns.back().filter(|turn| turn.state == TurnState::Running) else {
            return false;
        };
        let prompt = self.entries.iter().rev().find(|entry| entry.first_index == turn.first_index);
        match prompt.map(|entry| &entry.what) {
            Some(What::Message(message)) => match &chunk.content {
                ContentBlock::Text(text) => message.text().contains(&text.text),
                block => message.content.contains(block),
            },
            _ => false,
        }
    }

    /// One more piece of what somebody says: of the message with its id, or else of what is being said.
    fn chunk(&mut self, event: &Arc<SessionEvent>, speaker: Speaker, chunk: ContentChunk) -> Seen {
        if says_nothing(&chunk.content) {
            return Seen::State;
        }
        let id = chunk.message_id.map(|id| id.to_string());
        let key = id.clone().map(|id| (event.connection_id.clone(), speaker, id));
        let known = match &key {
            Some(key) => self.messages.get(key).copied(),
            None => self.said_last(speaker),
        };
        let room = self.keep_bytes;
        let (bytes, index) = (size(&chunk.content), event.event_index);
        if let Some(number) = known {
            let mut content = Some(chunk.content);
            let grown = self.change(number, index, |entry| grow(entry, content.take(), bytes, room));
            if grown {
                return Seen::Entry(number);
            }
            // It was left out meanwhile: what comes now begins anew.
            let Some(content) = content else { return Seen::State };
            return self.say(event, speaker, content, bytes, id, key);
        }
        self.say(event, speaker, chunk.content, bytes, id, key)
    }

    fn say(
        &mut self,
        event: &Arc<SessionEvent>,
        speaker: Speaker,
        content: ContentBlock,
        bytes: usize,
        message_id: Option<String>,
        key: Option<(String, Speaker, String)>,
    ) -> Seen {
        let message = Message { speaker, content: vec![content], message_id, cut: false };
        let number = self.push(event, What::Message(message), bytes);
        if let Some(key) = key {
            self.messages.insert(key, number);
        }
        Seen::Entry(number)
    }

    /// The newest entry, where it is a message without an id by this one.
    fn said_last(&self, speaker: Speaker) -> Option<u64> {
        let What::Message(message) = &self.entries.back()?.what else { return None };
        let same = message.speaker == speaker && message.message_id.is_none();
        // A prompt is a word of its own.
        let prompt = speaker == Speaker::User
            && self.turns.back().is_some_and(|turn| {
                self.entries.back().is_some_and(|entry| entry.first_index == turn.first_index)
            });
        (same && !prompt).then(|| self.left_out + self.entries.len() as u64 - 1)
    }

    fn tool(&mut self, event: &Arc<SessionEvent>, call: ToolCall) -> Seen {
        self.plan_of_tool(call.raw_input.as_ref());
        let key = (event.connection_id.clone(), call.tool_call_id.to_string());
        let bytes = event.payload.get().len();
        if let Some(number) = self.tool_of_turn(&key) {
            self.change(number, event.event_index, |entry| {
                entry.bytes = bytes + OVERHEAD;
                entry.what = What::Tool(Box::new(call));
            });
            return Seen::Entry(number);
        }
        let number = self.push(event, What::Tool(Box::new(call)), bytes);
        self.tools.insert(key, number);
        Seen::Entry(number)
    }

    /// Told again within its turn, it is the same one; agents may count from the start in each.
    pub(super) fn tool_of_turn(&self, key: &(String, String)) -> Option<u64> {
        let turn = self.turns.back().map_or(0, |turn| turn.first_index);
        let number = self.tools.get(key).copied()?;
        self.entry(number).filter(|entry| entry.first_index >= turn).map(|_| number)
    }

    pub(super) fn tool_update(&mut self, event: &Arc<SessionEvent>, update: ToolCallUpdate) -> Seen {
        let id = update.tool_call_id.to_string();
        let known = self.tools.get(&(event.connection_id.clone(), id.clone())).copied();
        let Some(number) = known.filter(|number| *number >= self.left_out) else {
            // Its beginning was lost, or left out.
            let mut call = ToolCall::new(update.tool_call_id, id);
            call.update(update.fields);
            return self.tool(event, call);
        };
        self.plan_of_tool(update.fields.raw_input.as_ref());
        self.change(number, event.event_index, |entry| {
            if let What::Tool(call) = &mut entry.what {
                call.update(update.fields);
                // What an update brings goes over what was.
                entry.bytes = OVERHEAD + serde_json::to_string(call).map_or(0, |text| text.len());
            }
        });
        Seen::Entry(number)
    }

    /// Some agents tell their plan as what a tool of theirs is given: a list of things to do.
    fn plan_of_tool(&mut self, input: Option<&Value>) {
        let turn = self.turns.back().map_or(0, |turn| turn.first_index);
        let told = self.planned.is_some_and(|(_, of)| of == turn);
        let Some(todos) = input.and_then(|input| input["todos"].as_array()).filter(|_| !told) else { return };
        let entries = todos.iter().filter_map(|todo| {
            let status = PlanEntryStatus::deserialize(&todo["status"]).ok();
            let priority = PlanEntryPriority::deserialize(&todo["priority"]).ok();
            Some(PlanEntry::new(
                todo["content"].as_str()?,
                priority.unwrap_or(PlanEntryPriority::Medium),
                status.unwrap_or(PlanEntryStatus::Pending),
            ))
        });
        let entries: Vec<_> = entries.collect();
        if !entries.is_empty() {
            self.plan = Some(Plan::new(entries));
        }
    }

    /// A plan goes over the one before it of the same turn.
    fn planned(&mut self, event: &Arc<SessionEvent>, plan: Plan) -> Seen {
        self.plan = Some(plan.clone());
        let turn = self.turns.back().map_or(0, |turn| turn.first_index);
        let bytes = event.payload.get().len();
        if let Some((number, of)) = self.planned.filter(|(_, of)| *of == turn)
            && self.change(number, event.event_index, |entry| {
                (entry.what, entry.bytes) = (What::Plan(plan.clone()), bytes + OVERHEAD);
            })
        {
            self.planned = Some((number, of));
            return Seen::Entry(number);
        }
        let number = self.push(event, What::Plan(plan), bytes);
        self.planned = Some((number, turn));
        Seen::Entry(number)
    }

    fn informed(&mut self, info: SessionInfoUpdate) -> Seen {
        if !info.title.is_undefined() {
            self.title = info.title.value().filter(|title| !title.trim().is_empty()).cloned();
        }
        Seen::State
    }
}

/// Some agents send an empty text for what they put beside it.
pub(crate) fn says_nothing(block: &ContentBlock) -> bool {
    matches!(block, ContentBlock::Text(text) if text.text.is_empty())
}

fn grow(entry: &mut Entry, content: Option<ContentBlock>, bytes: usize, room: usize) {
    let What::Message(message) = &mut entry.what else { return };
    let Some(content) = content else { return };
    if entry.bytes.saturating_add(bytes) > room {
        message.cut = true;
        return;
    }
    entry.bytes += bytes;
    match (message.content.last_mut(), content) {
        (Some(ContentBlock::Text(before)), ContentBlock::Text(more)) => before.text.push_str(&more.text),
        (_, content) => message.content.push(content),
    }
}
