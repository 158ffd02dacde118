//! What was said in a session, read back from its lines.

use std::io;

use agent_client_protocol_schema::v1::{
    ContentBlock, ContentChunk, PromptRequest, SessionNotification, SessionUpdate,
};
use serde_json::{Value, json};

use super::update::notification;

/// One line of a session's past.
#[allow(clippy::large_enum_variant, reason = "nearly all of a past are updates")]
pub(super) enum Said {
    Prompt(Vec<ContentBlock>),
    Update(SessionUpdate),
}

/// The line of a prompt. That of an update is the line that the client got.
pub(super) fn prompt_line(session: &str, prompt: &[ContentBlock]) -> Vec<u8> {
    notification("session/prompt", &json!({"sessionId": session, "prompt": prompt}))
}

/// Half a line, which a killed process left, is passed over: the client never saw it.
pub(super) fn read(lines: &[u8]) -> io::Result<Vec<Said>> {
    let mut past = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        match Said::read(line) {
            Ok(said) => past.push(said),
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(past)
}

impl Said {
    fn read(line: &[u8]) -> serde_json::Result<Self> {
        let mut message: Value = serde_json::from_slice(line)?;
        let params = message.get_mut("params").map(Value::take).unwrap_or_default();
        if message["method"] == "session/prompt" {
            return Ok(Self::Prompt(serde_json::from_value::<PromptRequest>(params)?.prompt));
        }
        Ok(Self::Update(serde_json::from_value::<SessionNotification>(params)?.update))
    }

    /// The updates that tell a client about it. Settings are not told: they are the defaults
    /// again.
    fn into_updates(self) -> Vec<SessionUpdate> {
        match self {
            Self::Prompt(blocks) => {
                let chunks = blocks.into_iter().map(ContentChunk::new);
                chunks.map(SessionUpdate::UserMessageChunk).collect()
            }
            Self::Update(SessionUpdate::CurrentModeUpdate(_) | SessionUpdate::ConfigOptionUpdate(_)) => {
                Vec::new()
            }
            Self::Update(update) => vec![update],
        }
    }
}

/// The past as updates, as it was told.
pub(super) fn replay(past: Vec<Said>) -> Vec<SessionUpdate> {
    past.into_iter().flat_map(Said::into_updates).collect()
}

/// Puts text that the agent said in a row into one chunk.
pub(super) fn merge(past: Vec<Said>) -> Vec<Said> {
    let mut merged: Vec<Said> = Vec::new();
    for said in past {
        match (merged.last_mut().and_then(text_mut), text(&said)) {
            (Some(before), Some(more)) => before.push_str(more),
            _ => merged.push(said),
        }
    }
    merged
}

fn text(said: &Said) -> Option<&str> {
    match said {
        Said::Update(SessionUpdate::AgentMessageChunk(ContentChunk {
            content: ContentBlock::Text(text),
            ..
        })) => Some(&text.text),
        _ => None,
    }
}

fn text_mut(said: &mut Said) -> Option<&mut String> {
    match said {
        Said::Update(SessionUpdate::AgentMessageChunk(ContentChunk {
            content: ContentBlock::Text(text),
            ..
        })) => Some(&mut text.text),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_passed_over_wherever_it_ends() {
        let line = prompt_line("a", &["né".into()]);
        for end in 0..line.len() {
            let past = [&line[..end], b"\n", &line].concat();
            let whole = if end == line.len() - 1 { 2 } else { 1 };
            assert_eq!(read(&past).unwrap().len(), whole, "{end}");
        }
    }

    #[test]
    fn a_line_that_is_none_of_ours_is_an_error() {
        for line in ["\"x\"", "{}", "noise", r#"{"method":"session/prompt","params":[]}"#] {
            assert!(read(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn empty_prompts_part_what_was_said_too() {
        let said = |text: &str| {
            let chunk = SessionUpdate::AgentMessageChunk(ContentChunk::new(text.into()));
            Said::Update(chunk)
        };
        let past = vec![said("a"), said("b"), Said::Prompt(Vec::new()), said("c")];
        assert_eq!(replay(merge(past)).len(), 2);
    }
}
