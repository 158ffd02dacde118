//! The agent's updates as lines of JSON.

use agent_client_protocol_schema::v1::{ContentBlock, EmbeddedResourceResource, SessionUpdate};
use serde_json::{Value, json};

/// A line with a notification.
pub(super) fn notification(method: &str, params: &Value) -> Vec<u8> {
    line(&match params {
        Value::Null => json!({"jsonrpc": "2.0", "method": method}),
        params => json!({"jsonrpc": "2.0", "method": method, "params": params}),
    })
}

/// A line with one update of a session.
pub(super) fn update(session: &str, update: &SessionUpdate) -> Vec<u8> {
    update_json(session, &json!(update))
}

/// The same of JSON that is at hand, without a copy of it: a past may be long.
pub(super) fn update_json(session: &str, update: &Value) -> Vec<u8> {
    let session = Value::from(session);
    let params = format!(r#"{{"sessionId":{session},"update":{update}}}"#);
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{params}}}\n").into_bytes()
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Renders the updates of a burst without a serializer, which would be slower than the server.
pub(super) struct Burst {
    head: Vec<u8>,
    size: usize,
}

impl Burst {
    pub(super) fn new(session: &str, size: usize) -> Self {
        let session = Value::from(session);
        let head = format!(
            r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":{session},"update":{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":""#
        );
        Self { head: head.into_bytes(), size }
    }

    /// Appends the line of the update with this number.
    pub(super) fn line(&self, number: u64, lines: &mut Vec<u8>) {
        lines.extend_from_slice(&self.head);
        let start = lines.len();
        lines.extend_from_slice(format!("u{number} ").as_bytes());
        let padded = lines.len().max(start + self.size);
        lines.resize(padded, b'.');
        lines.extend_from_slice(b"\"}}}}\n");
    }
}

/// A block of a prompt as text, for `recall`.
pub(super) fn block_text(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[audio {}]", audio.mime_type),
        ContentBlock::ResourceLink(link) => format!("[link {}]", link.uri),
        ContentBlock::Resource(resource) => match &resource.resource {
            EmbeddedResourceResource::TextResourceContents(text) => text.text.clone(),
            _ => "[resource]".to_owned(),
        },
        _ => "[unknown]".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_renders_what_the_serializer_would() {
        let mut lines = Vec::new();
        let burst = Burst::new("a\"b", 8);
        burst.line(12, &mut lines);
        let rendered: Value = serde_json::from_slice(&lines).unwrap();
        let chunk: SessionUpdate = serde_json::from_value(json!({
            "sessionUpdate": "agent_message_chunk",
            "content": {"type": "text", "text": "u12 ...."},
        }))
        .unwrap();
        let expected: Value = serde_json::from_slice(&update("a\"b", &chunk)).unwrap();
        assert_eq!(rendered, expected);
    }
}
