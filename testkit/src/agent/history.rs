//! What was said in a session, read back from its lines.
//!
//! As JSON, not as types: a long past is to be replayed at speed, and word for word.

use std::io::{self, ErrorKind};

use agent_client_protocol_schema::v1::ContentBlock;
use serde_json::{Value, json};

use super::update::notification;

/// One line of a session's past.
pub(super) enum Said {
    /// The blocks of a prompt.
    Prompt(Vec<Value>),
    /// An update of the agent's.
    Update(Value),
}

/// The line of a prompt. That of an update is the line that the client got.
pub(super) fn prompt_line(session: &str, prompt: &[ContentBlock]) -> Vec<u8> {
    notification("session/prompt", &json!({"sessionId": session, "prompt": prompt}))
}

/// Half a line, which a killed process left, is passed over: the client never saw it.
pub(super) fn read(lines: &[u8]) -> io::Result<Vec<Said>> {
    let mut past = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(message) => past.push(Said::read(message)?),
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(past)
}

impl Said {
    fn read(mut message: Value) -> io::Result<Self> {
        let mut take = |at| message.pointer_mut(at).map(Value::take);
        match (take("/params/prompt"), take("/params/update")) {
            (Some(Value::Array(blocks)), None) => Ok(Self::Prompt(blocks)),
            (None, Some(update)) => Ok(Self::Update(update)),
            _ => Err(io::Error::new(ErrorKind::InvalidData, "a line is neither a prompt nor an update")),
        }
    }

    /// The updates that tell a client about it. Settings are not told: they are the defaults
    /// again.
    fn into_updates(self) -> Vec<Value> {
        match self {
            Self::Prompt(blocks) => {
                let chunk = |block| json!({"sessionUpdate": "user_message_chunk", "content": block});
                blocks.into_iter().map(chunk).collect()
            }
            Self::Update(update) => match update["sessionUpdate"].as_str() {
                Some("current_mode_update" | "config_option_update") => Vec::new(),
                _ => vec![update],
            },
        }
    }

    /// The text, when it is a chunk of the agent's message.
    fn text(&mut self) -> Option<&mut String> {
        match self {
            Self::Update(update) if update["sessionUpdate"] == "agent_message_chunk" => {
                match update.pointer_mut("/content/text") {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The past as updates, as it was told.
pub(super) fn replay(past: Vec<Said>) -> impl Iterator<Item = Value> {
    past.into_iter().flat_map(Said::into_updates)
}

/// Puts text that the agent said in a row into one chunk.
pub(super) fn merge(past: Vec<Said>) -> Vec<Said> {
    let mut merged: Vec<Said> = Vec::new();
    for mut said in past {
        match (merged.last_mut().and_then(Said::text), said.text()) {
            (Some(before), Some(more)) => before.push_str(more),
            _ => merged.push(said),
        }
    }
    merged
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
        for line in ["\"x\"", "{}", "7", "noise", r#"{"method":"session/prompt","params":[]}"#] {
            assert!(read(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn empty_prompts_part_what_was_said_too() {
        let said = |text: &str| {
            Said::Update(json!({"sessionUpdate": "agent_message_chunk", "content": {"text": text}}))
        };
        let past = vec![said("a"), said("b"), Said::Prompt(Vec::new()), said("c")];
        assert_eq!(replay(merge(past)).count(), 2);
    }
}
