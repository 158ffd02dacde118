//! From events to Markdown, one after the other.

use std::collections::HashMap;

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{Sender, SessionEvent, SessionRecord};
use serde::Deserialize;
use serde_json::Value;

use crate::acp_types::{ContentBlock, Plan, PlanEntryStatus, SessionUpdate, ToolCallContent, ToolCallStatus};
use crate::session::{EventView, SessionEventExt, is_transcript};
use crate::time;
use crate::view::says_nothing;

/// Tool calls whose title is remembered until they end; a loop gone wrong has more.
const TOOLS: usize = 1_000;

/// What was written last decides how the next event is set off from it.
#[derive(Default)]
pub(super) struct Renderer {
    open: Block,
    speaker: Option<&'static str>,
    /// The titles of tool calls that have not ended.
    tools: HashMap<String, String>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Block {
    #[default]
    None,
    Text,
    Thought,
}

/// The beginning of the document.
pub(super) fn head(record: &SessionRecord) -> String {
    let title = record.title.as_deref().unwrap_or(&record.id);
    let mut text = format!("# {}\n\n", line(title));
    let mut fact = |name: &str, value: &str| text.push_str(&format!("- {name}: {}\n", line(value)));
    fact("Session", &record.id);
    fact("Agent", &record.agent);
    fact("Created", &time::print(record.created_at));
    if let Some(at) = record.last_activity_at {
        fact("Last activity", &time::print(at));
    }
    if let Some(cwd) = record.session_init.as_ref().and_then(|init| init["cwd"].as_str()) {
        fact("Working directory", cwd);
    }
    if !record.tags.is_empty() {
        fact("Tags", &record.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    if let Some(at) = record.destroyed_at {
        fact("Destroyed", &time::print(at));
    }
    text
}

impl Renderer {
    /// Writes what the event says, if that is anything for a reader.
    pub(super) fn add(&mut self, event: &SessionEvent, text: &mut String) {
        match event.view() {
            EventView::Prompt(prompt) if event.sender == Sender::Client => {
                self.speak("User", text, true);
                for block in &prompt.prompt {
                    if is_transcript(block) {
                        self.note("The agent was told what was said before.", text);
                        continue;
                    }
                    self.paragraph(text);
                    text.push_str(&content(block));
                    self.open = Block::Text;
                }
            }
            EventView::Update(update) if event.sender == Sender::Agent => self.update(update.update, text),
            EventView::PermissionRequest(request) if event.sender == Sender::Agent => {
                let title = request.tool_call.fields.title.unwrap_or_default();
                self.note(&format!("The agent asks for permission: {}", line(&title)), text);
            }
            EventView::Gap(gap) => {
                self.note(&format!("{} events of the agent are missing here.", gap.missing()), text);
            }
            _ => self.other(event, text),
        }
    }

    /// Events that the store does not have any more.
    pub(super) fn missing(&mut self, from: u64, to: u64) -> String {
        let mut text = String::new();
        self.note(&format!("Events {from} to {to} are not in the store any more."), &mut text);
        text
    }

    /// The end of the document.
    pub(super) fn end(&mut self) -> String {
        let open = std::mem::take(&mut self.open);
        if open == Block::None { String::new() } else { "\n".to_owned() }
    }

    fn update(&mut self, update: SessionUpdate, text: &mut String) {
        match update {
            SessionUpdate::AgentMessageChunk(chunk) | SessionUpdate::AgentThoughtChunk(chunk)
                if says_nothing(&chunk.content) => {}
            SessionUpdate::AgentMessageChunk(chunk) => {
                self.speak("Agent", text, false);
                if self.open != Block::Text {
                    self.paragraph(text);
                    self.open = Block::Text;
                }
                text.push_str(&content(&chunk.content));
            }
            SessionUpdate::AgentThoughtChunk(chunk) => {
                self.speak("Agent", text, false);
                if self.open != Block::Thought {
                    self.paragraph(text);
                    text.push_str("> ");
                    self.open = Block::Thought;
                }
                text.push_str(&content(&chunk.content).replace('\n', "\n> "));
            }
            SessionUpdate::ToolCall(call) => {
                let (id, title) = (call.tool_call_id.to_string(), line(&call.title));
                self.speak("Agent", text, false);
                self.item(&format!("**{title}**"), text);
                self.outcome(&id, &title, Some(call.status), &call.content, text);
            }
            SessionUpdate::ToolCallUpdate(update) => {
                let id = update.tool_call_id.to_string();
                let fields = update.fields;
                let named = fields.title.as_deref().map(line);
                let title = named.or_else(|| self.tools.get(&id).cloned()).unwrap_or_else(|| id.clone());
                self.speak("Agent", text, false);
                self.outcome(&id, &title, fields.status, &fields.content.unwrap_or_default(), text);
            }
            SessionUpdate::Plan(plan) => {
                self.speak("Agent", text, false);
                self.plan(&plan, text);
            }
            _ => {}
        }
    }

    /// What a tool call has come to, once it has come to something.
    fn outcome(
        &mut self,
        id: &str,
        title: &str,
        status: Option<ToolCallStatus>,
        contents: &[ToolCallContent],
        text: &mut String,
    ) {
        let ended = match status {
            Some(ToolCallStatus::Completed) => "done",
            Some(ToolCallStatus::Failed) => "failed",
            _ => {
                if self.tools.len() < TOOLS {
                    self.tools.insert(id.to_owned(), title.to_owned());
                }
                return;
            }
        };
        self.tools.remove(id);
        self.item(&format!("**{title}**: {ended}"), text);
        for part in contents {
            match part {
                ToolCallContent::Content(part) => self.fenced(&content(&part.content), text),
                ToolCallContent::Diff(diff) => {
                    self.item(&format!("changed `{}`", diff.path.display()), text);
                    self.fenced(&diff.new_text, text);
                }
                _ => {}
            }
        }
    }

    fn plan(&mut self, plan: &Plan, text: &mut String) {
        self.paragraph(text);
        text.push_str("Plan:\n");
        for entry in &plan.entries {
            let done = if entry.status == PlanEntryStatus::Completed { 'x' } else { ' ' };
            text.push_str(&format!("\n- [{done}] {}", line(&entry.content)));
        }
        text.push('\n');
    }

    /// Answers to permissions, and turns that did not end as they should.
    fn other(&mut self, event: &SessionEvent, text: &mut String) {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            result: Value,
            #[serde(default)]
            error: Value,
        }
        let kind = envelope::kind(&event.payload);
        let Kind::Response { .. } = kind else {
            if event.sender == Sender::Client
                && let Kind::Notification { method } = kind
            {
                match &*method {
                    envelope::TURN_ENDED => self.note("The turn ended without an answer of the agent.", text),
                    envelope::PROCESS_ENDED => self.note("The agent's process ended here.", text),
                    _ => {}
                }
            }
            return;
        };
        let Ok(answer) = serde_json::from_str::<Answer>(event.payload.get()) else { return };
        let outcome = &answer.result["outcome"];
        match event.sender {
            Sender::Client if outcome["optionId"].is_string() => {
                self.note(
                    &format!("Answered: {}", line(outcome["optionId"].as_str().unwrap_or_default())),
                    text,
                );
            }
            Sender::Client => {}
            Sender::Agent if answer.error["message"].is_string() => {
                let message = answer.error["message"].as_str().unwrap_or_default();
                self.note(&format!("The agent failed: {}", line(message)), text);
            }
            Sender::Agent => match answer.result["stopReason"].as_str() {
                None | Some("end_turn") => {}
                Some(reason) => self.note(&format!("The turn ended: {}", line(reason)), text),
            },
        }
    }

    /// From now on this one speaks; each prompt is a word of its own.
    fn speak(&mut self, who: &'static str, text: &mut String, anew: bool) {
        if anew || self.speaker != Some(who) {
            self.paragraph(text);
            text.push_str(&format!("## {who}\n"));
            self.speaker = Some(who);
        }
    }

    fn note(&mut self, words: &str, text: &mut String) {
        self.paragraph(text);
        text.push_str(&format!("*{words}*\n"));
    }

    fn item(&mut self, words: &str, text: &mut String) {
        self.paragraph(text);
        text.push_str(&format!("- {words}\n"));
    }

    fn fenced(&mut self, words: &str, text: &mut String) {
        self.paragraph(text);
        let longest = words.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        text.push_str(&format!("{fence}\n{}\n{fence}\n", words.trim_end_matches('\n')));
    }

    /// Ends what is open, with an empty line behind it.
    fn paragraph(&mut self, text: &mut String) {
        text.push_str(if self.open == Block::None { "\n" } else { "\n\n" });
        self.open = Block::None;
    }
}

fn content(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image, {}]", line(&image.mime_type)),
        ContentBlock::Audio(audio) => format!("[audio, {}]", line(&audio.mime_type)),
        ContentBlock::ResourceLink(link) => format!("[{}]({})", line(&link.name), line(&link.uri)),
        _ => "[a resource]".to_owned(),
    }
}

/// The words in one line, so that they can't end the heading or item that they are in.
fn line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
