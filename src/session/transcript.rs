//! The newest turns as readable text, for an agent that does not know them.

use std::collections::HashSet;

use sandbox_agent_persist::{Sender, SessionEvent};
use serde_json::{Value, json};

use super::backwards::Backwards;
use super::key;
use super::store::Store;
use super::view::{EventView, SessionEventExt};
use crate::acp_types::{ContentBlock, SessionUpdate};
use crate::error::{Delivery, Result};

/// Marks the block in `_meta`, so that a transcript never holds a transcript.
const MARK: &str = "sandboxAgent/transcript";

/// What one side said, newest first while it is being collected.
struct Said {
    who: &'static str,
    text: String,
}

/// The content block that tells the history; `None` when nothing was said.
pub(crate) async fn block(store: &Store, session_id: &str, max_chars: usize) -> Result<Option<Value>> {
    let (said, cut) = collect(store, session_id, max_chars).await?;
    Ok((!said.is_empty())
        .then(|| json!({ "type": "text", "text": render(&said, cut), "_meta": { MARK: true } })))
}

/// Reads backwards until the budget is full; says whether there was more.
async fn collect(store: &Store, session_id: &str, max_chars: usize) -> Result<(Vec<Said>, bool)> {
    let mut said: Vec<Said> = Vec::new();
    let mut room = max_chars;
    // What was not sent was not said.
    let mut not_sent = HashSet::new();
    let mut record = Backwards::new(store, session_id);
    while let Some(events) = record.next().await? {
        for event in &events {
            if let Some((id, Delivery::NotSent)) = key::end_of_turn(event) {
                not_sent.insert(id);
            }
            let Some((who, text)) = words(event) else { continue };
            if who == USER && key::prompt_id(&event.payload).is_some_and(|id| not_sent.contains(&id)) {
                continue;
            }
            let length = text.chars().count();
            if length > room {
                add(&mut said, who, &keep_end(&text, room));
                return Ok((said, true));
            }
            room -= length;
            add(&mut said, who, &text);
        }
    }
    Ok((said, record.has_older()))
}

/// Puts text before what was collected; chunks of one message become one.
fn add(said: &mut Vec<Said>, who: &'static str, text: &str) {
    match said.last_mut() {
        Some(last) if last.who == who && who == AGENT => last.text.insert_str(0, text),
        _ => said.push(Said { who, text: text.to_owned() }),
    }
}

const USER: &str = "User";
const AGENT: &str = "Agent";
const NOTE: &str = "Note";

/// What an event says in words, and who says it.
fn words(event: &SessionEvent) -> Option<(&'static str, String)> {
    match event.view() {
        EventView::Prompt(prompt) if event.sender == Sender::Client => {
            let texts: Vec<_> = prompt.prompt.iter().filter_map(own_text).collect();
            Some((USER, texts.join("\n"))).filter(|(_, text)| !text.is_empty())
        }
        EventView::Update(update) => match update.update {
            SessionUpdate::AgentMessageChunk(chunk) => match chunk.content {
                ContentBlock::Text(text) => Some((AGENT, text.text)),
                _ => None,
            },
            _ => None,
        },
        EventView::Gap(gap) => {
            Some((NOTE, format!("{} events of the agent are missing here.", gap.missing())))
        }
        _ => None,
    }
}

fn own_text(block: &ContentBlock) -> Option<&str> {
    match block {
        ContentBlock::Text(text) if !is_transcript(block) => Some(&text.text),
        _ => None,
    }
}

/// Whether this block of a prompt is what the SDK told of the past.
pub(crate) fn is_transcript(block: &ContentBlock) -> bool {
    match block {
        ContentBlock::Text(text) => text.meta.as_ref().is_some_and(|meta| meta.contains_key(MARK)),
        _ => false,
    }
}

/// The last `room` characters.
fn keep_end(text: &str, room: usize) -> String {
    let skip = text.chars().count().saturating_sub(room);
    text.chars().skip(skip).collect()
}

fn render(said: &[Said], cut: bool) -> String {
    let mut text = String::from("This session is continued. What was said before:\n");
    if cut {
        text.push_str("\n[The beginning is left out.]\n");
    }
    for Said { who, text: words } in said.iter().rev() {
        text.push_str(&format!("\n{who}: {words}\n"));
    }
    text.push_str("\nEnd of what was said before. The new prompt follows.");
    text
}
